package state

import (
	"maps"
	"slices"

	pb "squall/proto/squall/v1"
	"squall/proto/text"
)

// maxFireAhead is how far ahead of cluster time an instant may be, in
// nanoseconds: so sums of it and of a plan's numbers never leave 64 bits.
const maxFireAhead = int64(3600e9)

// maxDone is how many runs are kept whole after they are done, and mostDone how
// many when a majority of the servers has not archived them yet.
const maxDone, mostDone = 100, 200

// moves says from which states a run may come to a state. Runs only move
// forward, and are done only by Finish.
var moves = map[pb.RunState][]pb.RunState{
	pb.RunState_RUN_STATE_PREPARING: {pb.RunState_RUN_STATE_GATING},
	pb.RunState_RUN_STATE_FIRED:     {pb.RunState_RUN_STATE_PREPARING},
	pb.RunState_RUN_STATE_HOLDING:   {pb.RunState_RUN_STATE_FIRED},
	pb.RunState_RUN_STATE_REVERTING: {
		pb.RunState_RUN_STATE_GATING, pb.RunState_RUN_STATE_PREPARING,
		pb.RunState_RUN_STATE_FIRED, pb.RunState_RUN_STATE_HOLDING,
	},
	pb.RunState_RUN_STATE_RECOVERING: {pb.RunState_RUN_STATE_HOLDING, pb.RunState_RUN_STATE_REVERTING},
	pb.RunState_RUN_STATE_DONE: {
		pb.RunState_RUN_STATE_GATING, pb.RunState_RUN_STATE_REVERTING, pb.RunState_RUN_STATE_RECOVERING,
	},
}

// move takes a run to a state and gives it to be changed further.
func (t *change) move(id string, to pb.RunState) (*record, *pb.Problem) {
	if t.runs[id] == nil {
		return nil, unknownRun(id)
	}
	if from := t.runs[id].run.GetState(); !slices.Contains(moves[to], from) {
		return nil, refuse(pb.Refusal_REFUSAL_INVALID, "", "run %q is %s, which does not lead to %s",
			id, stateName(from), stateName(to))
	}
	r := t.edit(id)
	from := r.run.GetState()
	t.enter(r, to)
	if reorders(from, to) {
		t.reorder(concerned(r.run)...)
	}
	return r, nil
}

// reorders tells whether hosts have other orders when a run leaves a state for
// another: tasks come, fire or go, or its probes go. What is only noted, such as
// that all hold what they were told to, is nothing that they need to hear.
func reorders(from, to pb.RunState) bool {
	return ordered(from) != ordered(to) || to == pb.RunState_RUN_STATE_FIRED || to == pb.RunState_RUN_STATE_DONE
}

func (t *change) enter(r *record, to pb.RunState) {
	r.run.State = to
	own(t, &r.run.EnteredUnixNanos)
	r.run.EnteredUnixNanos[uint32(to)] = t.last
	t.tell(r, &pb.Event{Kind: pb.EventKind_EVENT_KIND_RUN_STATE, State: to, Text: stateText(r.run)})
}

func unknownRun(id string) *pb.Problem {
	return refuse(pb.Refusal_REFUSAL_UNKNOWN, "list the runs with: squall get runs", "there is no run %q", id)
}

func stateName(s pb.RunState) string { return text.Word(s) }

// concerned are the hosts that a run's orders go to, sorted.
func concerned(r *pb.Run) []string {
	hosts := make(map[string]bool)
	for _, s := range r.GetPlan().GetSteps() {
		for _, slot := range s.GetSlots() {
			hosts[slot.GetHost()] = true
		}
	}
	for _, p := range r.GetPlan().GetProbes() {
		for _, h := range p.GetHosts() {
			hosts[h] = true
		}
	}
	return slices.Sorted(maps.Keys(hosts))
}

func (t *change) prepare(c *pb.Prepare) *pb.Problem {
	_, p := t.move(c.GetRun(), pb.RunState_RUN_STATE_PREPARING)
	return p
}

// fire sets a run's instant. A later attempt counts while every host is as ready
// as before the one that came too late.
func (t *change) fire(c *pb.Fire) *pb.Problem {
	if c.GetT0UnixNanos() <= 0 {
		return refuse(pb.Refusal_REFUSAL_INVALID, "", "run %q: the instant is missing", c.GetRun())
	}
	if c.GetT0UnixNanos()-t.last > maxFireAhead {
		return refuse(pb.Refusal_REFUSAL_INVALID, "", "run %q: the instant lies more than an hour ahead", c.GetRun())
	}
	if t.runs[c.GetRun()] == nil {
		return unknownRun(c.GetRun())
	}
	r := t.edit(c.GetRun())
	first := r.run.GetFires() == 0
	if n := max(c.GetNumber(), 1); n != r.run.GetFires()+1 {
		return refuse(pb.Refusal_REFUSAL_INVALID, "", "run %q: firing %d comes after %d", c.GetRun(), n, r.run.GetFires())
	}
	r.run.T0UnixNanos, r.run.Fires = c.GetT0UnixNanos(), r.run.GetFires()+1 // undone with the whole change when it is refused
	if first {
		_, p := t.move(c.GetRun(), pb.RunState_RUN_STATE_FIRED)
		return p
	}
	return t.fireAgain(r)
}

func (t *change) fireAgain(r *record) *pb.Problem {
	if r.run.GetState() != pb.RunState_RUN_STATE_FIRED {
		return refuse(pb.Refusal_REFUSAL_INVALID, "", "run %q is %s and can't fire again", r.run.GetId(), stateName(r.run.GetState()))
	}
	if host := obeyed(r.run); host != "" {
		return refuse(pb.Refusal_REFUSAL_INVALID, "", "run %q: %s obeyed the firing before", r.run.GetId(), host)
	}
	t.enter(r, pb.RunState_RUN_STATE_FIRED)
	t.reorder(concerned(r.run)...)
	return nil
}

// obeyed is the first host in the order of the plan that has said more of a step
// than that it is ready; empty for none. All servers name the same one.
func obeyed(r *pb.Run) string {
	for _, s := range r.GetPlan().GetSteps() {
		told := r.GetSteps()[s.GetId()].GetHosts()
		for _, slot := range s.GetSlots() {
			if h := told[slot.GetHost()]; h != nil && h.GetState() != pb.StepState_STEP_STATE_READY {
				return slot.GetHost()
			}
		}
	}
	return ""
}

func (t *change) hold(c *pb.Hold) *pb.Problem {
	r, p := t.move(c.GetRun(), pb.RunState_RUN_STATE_HOLDING)
	if p != nil {
		return p
	}
	t.tellBegun(r.run)
	return nil
}

// endRun ends a run's steps. A run that is ending already keeps its first cause.
func (t *change) endRun(c *pb.EndRun) *pb.Problem {
	r := t.runs[c.GetRun()]
	if r == nil {
		return unknownRun(c.GetRun())
	}
	switch r.run.GetState() {
	case pb.RunState_RUN_STATE_REVERTING, pb.RunState_RUN_STATE_RECOVERING:
		return nil
	}
	return t.end(c.GetRun(), c.GetCause(), c.GetDetail())
}

func (t *change) end(id string, cause pb.EndCause, detail string) *pb.Problem {
	if r := t.edit(id); r != nil && r.run.GetEndCause() == pb.EndCause_END_CAUSE_UNSPECIFIED {
		r.run.EndCause, r.run.EndDetail, r.run.EndedBy = cause, detail, t.cmd.GetBy()
	}
	_, p := t.move(id, pb.RunState_RUN_STATE_REVERTING)
	return p
}

func (t *change) recoverRun(c *pb.Recover) *pb.Problem {
	if r := t.edit(c.GetRun()); r != nil && r.run.GetEndCause() == pb.EndCause_END_CAUSE_UNSPECIFIED {
		r.run.EndCause = pb.EndCause_END_CAUSE_COMPLETE
	}
	_, p := t.move(c.GetRun(), pb.RunState_RUN_STATE_RECOVERING)
	return p
}

// finish closes a run. Its windows are folded, and wait for the archive; the
// oldest runs that are done make room.
func (t *change) finish(c *pb.Finish) *pb.Problem {
	r, p := t.move(c.GetRun(), pb.RunState_RUN_STATE_DONE)
	if p != nil {
		return p
	}
	switch {
	case c.GetSkipped() != "":
		r.run.EndCause, r.run.EndDetail = pb.EndCause_END_CAUSE_SKIPPED, c.GetSkipped()
	case c.GetVerdict() == pb.Verdict_VERDICT_NOT_STARTED:
		r.run.EndCause = pb.EndCause_END_CAUSE_STEADY_STATE
	}
	r.run.Verdict, r.run.Findings = c.GetVerdict(), c.GetFindings()
	r.run.Totals = r.windows.totals()
	t.tellEnd(r.run)
	t.closeSlot(r.run, c.GetSkipped())
	t.leaveOpen(r.run)
	for _, f := range r.run.Findings {
		t.tell(r, &pb.Event{Kind: pb.EventKind_EVENT_KIND_FINDING, Phase: f.GetPhase(), Text: findingText(f)})
	}
	t.tell(r, &pb.Event{Kind: pb.EventKind_EVENT_KIND_VERDICT, Verdict: c.GetVerdict(), Text: verdictText(r.run)})
	t.boundWaiting()
	t.prune()
	return nil
}

// prune drops the oldest runs that are done, but none that may hold something
// still or that gaps are counted from, nor, while there is room, one that waits
// for the archive. The hosts that they concern get new orders, since ends are no
// longer confirmed for them.
func (t *change) prune() {
	done := t.pick(func(r *pb.Run) bool { return !active(r) && !mayHold(r, t.last) })
	if len(done) <= maxDone {
		return
	}
	last := t.lastFired()
	done = slices.DeleteFunc(done, func(r *pb.Run) bool { return last[r.GetId()] })
	left := len(done)
	for _, r := range done {
		if left <= maxDone {
			return
		}
		if !t.archived.get(r.GetId()).GetReleased() && left <= mostDone {
			continue
		}
		own(t, &t.runs)
		delete(t.runs, r.GetId())
		t.reorder(concerned(r)...)
		left--
	}
}

// beginPhase tells the next phase of the plan; phases begin in their order, while
// nobody has ended the run.
func (t *change) beginPhase(c *pb.BeginPhase) *pb.Problem {
	if t.runs[c.GetRun()] == nil {
		return unknownRun(c.GetRun())
	}
	r := t.edit(c.GetRun())
	switch r.run.GetState() {
	case pb.RunState_RUN_STATE_HOLDING, pb.RunState_RUN_STATE_RECOVERING:
	default: // somebody ended it meanwhile
		return refuse(pb.Refusal_REFUSAL_INVALID, "", "run %q is %s, and no phase of it begins", c.GetRun(), stateName(r.run.GetState()))
	}
	phases := r.run.GetPlan().GetPhases()
	if n := int(r.run.GetPhasesBegun()); n >= len(phases) || phases[n].GetName() != c.GetPhase() {
		return refuse(pb.Refusal_REFUSAL_INVALID, "", "run %q: phase %q is not the next one", c.GetRun(), c.GetPhase())
	}
	phase := phases[r.run.GetPhasesBegun()]
	r.run.PhasesBegun++
	t.tell(r, &pb.Event{
		Kind: pb.EventKind_EVENT_KIND_PHASE, Phase: phase.GetName(), Text: phaseText(phase),
		AtUnixNanos: r.run.GetT0UnixNanos() + phase.GetStartNanos(),
	})
	t.tellPhase(r.run, phase)
	return nil
}
