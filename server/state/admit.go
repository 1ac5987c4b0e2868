package state

import (
	"slices"
	"strings"
	"unicode/utf8"

	"squall/experiments/plan"
	pb "squall/proto/squall/v1"
	"squall/proto/text"
)

// maxActive is how many runs may be under way at one time.
const maxActive = 64

// admit lets a run in. Two runs can't both slip through a guardrail: each is
// judged against the state that the one before it left.
func (t *change) admit(c *pb.AdmitRun) *pb.Problem {
	if p := t.admissible(c); p != nil {
		return p
	}
	excepted := t.letPast(c)
	r := recordOf(&pb.Run{
		Id: c.GetRun(), Experiment: c.GetExperiment(), Plan: c.GetPlan(), Source: c.GetSource(),
		By: t.cmd.GetBy(), AdHoc: c.GetAdHoc(), AdmittedIndex: t.index, Slot: c.GetSlot(),
		Excepted: excepted,
	})
	t.owned[r] = true
	own(t, &t.runs)
	t.runs[c.GetRun()] = r
	t.enter(r, pb.RunState_RUN_STATE_GATING)
	if !waits(c) {
		t.enter(r, pb.RunState_RUN_STATE_PREPARING) // nothing to wait for
	}
	t.reorder(concerned(r.run)...)
	t.tellAdmitted(r.run)
	if c.GetSlot() != nil {
		t.deal(c.GetSlot(), &pb.SlotRecord{Outcome: pb.SlotOutcome_SLOT_OUTCOME_BEGUN, Run: c.GetRun()})
	}
	return nil
}

// waits tells whether a run waits until it is known that it may begin.
func waits(c *pb.AdmitRun) bool {
	return c.GetExperiment().GetSteadyState() != nil || c.GetSlot() != nil && c.GetExperiment().GetSchedule().GetSkipWhen() != ""
}

func (t *change) admissible(c *pb.AdmitRun) *pb.Problem {
	switch {
	case c.GetRun() == "" || len(c.GetPlan().GetSteps()) == 0 || c.GetExperiment() == nil:
		return refuse(pb.Refusal_REFUSAL_INVALID, "", "the command names no run, no experiment, or a plan without steps")
	case !GoodName(c.GetRun()):
		return refuse(pb.Refusal_REFUSAL_INVALID, "choose a short one of plain letters", "the run's id %q can't be one", c.GetRun())
	case t.runs[c.GetRun()] != nil || t.archived.get(c.GetRun()) != nil:
		return refuse(pb.Refusal_REFUSAL_INVALID, "choose another id", "run %q exists already", c.GetRun())
	case t.halt.GetEngaged():
		return Halted(t.halt)
	case len(c.GetPlan().GetProblems()) > 0:
		return c.GetPlan().GetProblems()[0]
	case len(t.Active()) >= maxActive:
		return refuse(pb.Refusal_REFUSAL_GUARDRAIL, "wait for one to end", "%d runs are under way, the most that may be", maxActive)
	}
	if p := plan.Bounded(c.GetPlan()); p != nil {
		return p
	}
	if p := t.mayBegin(c.GetSlot()); c.GetSlot() != nil && p != nil {
		return p
	}
	w := t.WorldFor(c.GetSource())
	w.Command = c.GetAdHoc() || len(c.GetSource()) == 0
	if ps := plan.Admissible(c.GetPlan(), c.GetExperiment(), w); len(ps) > 0 {
		return ps[0]
	}
	return nil
}

// maxName is the longest id, in bytes.
const maxName = 128

// GoodName tells whether an id can be shown and looked up: it is short, and a
// single line without anything that a terminal obeys.
func GoodName(id string) bool {
	return id != "" && len(id) <= maxName && utf8.ValidString(id) && !strings.ContainsFunc(id, func(r rune) bool {
		return !text.Legible(r) || r == '\n' || r == '\t'
	})
}

// World is what a plan made now is judged against: registry, cluster-wide
// guardrails, the runs that are not done, and those that are but may still hold
// a host which nobody has heard from.
func (v *View) World() plan.World {
	all := v.counted()
	w := plan.World{
		Hosts: all.hosts, Registry: all.registry, Barred: all.barred, Damaged: all.damaged, NowUnixNanos: v.last,
		Guardrails: v.guardrails, Guards: v.Guards(), Exceptions: v.exceptions,
	}
	for _, r := range v.pick(func(r *pb.Run) bool { return active(r) || mayHold(r, v.last) }) {
		w.Active = append(w.Active, v.runAs(r))
	}
	w.Past = v.past(plan.GuardHorizon(w.Guards))
	return w
}

// runAs is a run as plans are judged against it.
func (v *View) runAs(r *pb.Run) plan.Active {
	return plan.Active{
		Run: r.GetId(), Plan: r.GetPlan(), Guardrails: r.GetExperiment().GetGuardrails(), T0UnixNanos: r.GetT0UnixNanos(),
		Done: !active(r), Over: over(r), Claims: v.runs[r.GetId()].claims,
		FileDigest: v.runs[r.GetId()].file, Excepted: r.GetExcepted(),
	}
}

// mayHold tells whether a run that is done left a host which nobody has heard
// from, and which may hold its fault still.
func mayHold(r *pb.Run, now int64) bool {
	if r.GetT0UnixNanos() == 0 || r.GetT0UnixNanos()+r.GetPlan().GetDeadlineNanos() <= now {
		return false
	}
	return slices.ContainsFunc(unheard(r), func(s unheardSlot) bool {
		return r.GetT0UnixNanos()+s.slot.GetDeadlineNanos() > now
	})
}

// unheardSlot is a step on a host whose end nobody has heard of.
type unheardSlot struct {
	step string
	slot *pb.HostSlot
}

func unheard(r *pb.Run) []unheardSlot {
	var out []unheardSlot
	for _, step := range r.GetPlan().GetSteps() {
		for _, slot := range step.GetSlots() {
			if r.GetT0UnixNanos() != 0 && !Ended(r.GetSteps()[step.GetId()].GetHosts()[slot.GetHost()]) {
				out = append(out, unheardSlot{step.GetId(), slot})
			}
		}
	}
	return out
}

// over tells which steps of a run have ended on their hosts.
func over(r *pb.Run) func(plan.On) bool {
	return func(on plan.On) bool { return Ended(r.GetSteps()[on.Step].GetHosts()[on.Host]) }
}
