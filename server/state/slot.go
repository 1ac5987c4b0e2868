package state

import (
	"fmt"
	"slices"
	"time"

	pb "squall/proto/squall/v1"
	"squall/proto/text"
)

const (
	// maxSlots is how many slots a schedule's history has.
	maxSlots = 200
	// retryAfter applies where a schedule does not say when it tries again.
	retryAfter = 5 * time.Minute
)

// Restored is the cluster time of the newest restore; the Unix epoch where there
// was none. What became of slots up to then may have been forgotten.
func (v *View) Restored() time.Time { return time.Unix(0, v.restored).UTC() }

func (t *change) passSlot(c *pb.PassSlot) *pb.Problem {
	if p := t.dealt(c.GetSlot()); p != nil {
		return p
	}
	if c.GetOutcome() <= pb.SlotOutcome_SLOT_OUTCOME_BEGUN {
		return refuse(pb.Refusal_REFUSAL_INVALID, "", "a slot that begins no run needs another outcome than %s", c.GetOutcome())
	}
	t.tellMissed(c)
	t.deal(c.GetSlot(), &pb.SlotRecord{Outcome: c.GetOutcome(), Why: c.GetWhy(), Count: c.GetCount(), From: c.GetFrom()})
	return nil
}

// holdSlot notes that a slot has come and waits. It is dealt with later.
func (t *change) holdSlot(c *pb.HoldSlot) *pb.Problem {
	if p := t.dealt(c.GetSlot()); p != nil {
		return p
	}
	s := t.editSchedule(c.GetSlot().GetSchedule())
	s.Held = &pb.SlotHold{Slot: c.GetSlot().GetSlot(), Why: c.GetWhy(), SinceUnixNanos: t.last}
	return nil
}

// dealt refuses a slot of a schedule that is not there, what was decided of one
// before somebody changed it, or a slot that it has dealt with: names of slots are
// in the order of time. Another try is let in where it is waited for.
func (t *change) dealt(slot *pb.SlotRef) *pb.Problem {
	s := t.Schedule(slot.GetSchedule())
	switch waits := s.GetRetry().GetSlot(); {
	case s == nil:
		return noSchedule(slot.GetSchedule())
	case slot.GetVersion() != 0 && slot.GetVersion() != s.GetVersion():
		return refuse(pb.Refusal_REFUSAL_INVALID, "", "schedule %q was changed since slot %s was decided on", s.GetName(), slot.GetSlot())
	case again(slot) && waits.GetSlot() == slot.GetSlot() && waits.GetTry() == slot.GetTry():
		return nil
	case again(slot):
		return refuse(pb.Refusal_REFUSAL_INVALID, "", "try %d of slot %s of schedule %q is not waited for", slot.GetTry(), slot.GetSlot(), s.GetName())
	case slot.GetSlot() <= s.GetWatermark():
		return refuse(pb.Refusal_REFUSAL_INVALID, "", "the slot %s of schedule %q was dealt with before", slot.GetSlot(), s.GetName())
	}
	return nil
}

// mayBegin refuses a run in a slot that is dealt with, or of a schedule that is
// paused.
func (t *change) mayBegin(slot *pb.SlotRef) *pb.Problem {
	if p := t.dealt(slot); p != nil {
		return p
	}
	if by := t.Schedule(slot.GetSchedule()).GetPausedBy(); by != nil {
		return refuse(pb.Refusal_REFUSAL_INVALID, "", "schedule %q is paused by %s", slot.GetSchedule(), by.GetName())
	}
	return nil
}

// again tells whether a slot is tried another time.
func again(slot *pb.SlotRef) bool { return slot.GetTry() > 1 }

// deal notes what became of a slot, which is the last one from now on, or of
// another try of the last one.
func (t *change) deal(slot *pb.SlotRef, became *pb.SlotRecord) {
	s := t.editSchedule(slot.GetSchedule())
	s.Retry, s.Held = nil, nil
	if became.GetOutcome() == pb.SlotOutcome_SLOT_OUTCOME_BEGUN {
		s.Begun++
	}
	became.Slot, became.AtUnixNanos = slot.GetSlot(), t.last
	if again(slot) {
		editSlot(s, slot.GetSlot(), func(r *pb.SlotRecord) { triedAgain(r, became) })
		return
	}
	s.Watermark = slot.GetSlot()
	s.History = append(slices.Clip(s.GetHistory()), became)
	s.History = s.History[max(0, len(s.History)-maxSlots):]
}

// editSlot changes the record of a slot, where it is kept still.
func editSlot(s *pb.Scheduled, slot string, change func(*pb.SlotRecord)) {
	i := slices.IndexFunc(s.GetHistory(), func(r *pb.SlotRecord) bool { return r.GetSlot() == slot })
	if i < 0 {
		return
	}
	r := shallow(s.History[i])
	change(r)
	s.History = slices.Clone(s.GetHistory())
	s.History[i] = r
}

// triedAgain takes what became of another try into a slot's record. A try that
// began nothing leaves the runs of those before it.
func triedAgain(r, became *pb.SlotRecord) {
	r.Outcome, r.Why, r.AtUnixNanos = became.GetOutcome(), became.GetWhy(), became.GetAtUnixNanos()
	if became.GetRun() != "" {
		r.Earlier = append(slices.Clip(r.GetEarlier()), r.GetRun())
		r.Run, r.Verdict = became.GetRun(), pb.Verdict_VERDICT_UNSPECIFIED
	}
}

// closeSlot notes what a run of a schedule came to, in the command that ends it:
// at its slot, and at the schedule, which may try again or pause.
func (t *change) closeSlot(r *pb.Run, skipped string) {
	slot := r.GetSlot()
	known := t.Schedule(slot.GetSchedule())
	if known == nil || r.GetAdmittedIndex() <= known.GetAddedIndex() {
		return // the schedule that it began in is gone
	}
	s := t.editSchedule(known.GetName())
	editSlot(s, slot.GetSlot(), func(rec *pb.SlotRecord) {
		rec.Verdict = r.GetVerdict()
		switch {
		case skipped != "":
			rec.Outcome, rec.Why = pb.SlotOutcome_SLOT_OUTCOME_SKIPPED, skipped
		case r.GetVerdict() == pb.Verdict_VERDICT_NOT_STARTED:
			rec.Why = notMet(r.GetFindings())
		}
	})
	switch {
	case r.GetVerdict() == pb.Verdict_VERDICT_NOT_STARTED:
		s.Begun -= min(s.GetBegun(), 1)
		if skipped == "" {
			t.awaitTry(s, slot)
		}
	case r.GetEnteredUnixNanos()[uint32(pb.RunState_RUN_STATE_PREPARING)] == 0: // it was ended at its gate
		s.Begun -= min(s.GetBegun(), 1)
	case s.GetExperiment().GetSchedule().GetOnFail() == "pause" && failed(r.GetVerdict()):
		t.pauseAfter(s, r)
	}
}

// notMet is the first finding of a gate that kept a run from beginning; empty
// where there is none, as where somebody ended the run.
func notMet(findings []*pb.Finding) string {
	for _, f := range findings {
		if f.GetState() != pb.FindingState_FINDING_STATE_HOLDS {
			return fmt.Sprintf("%.200s", findingText(f))
		}
	}
	return ""
}

// awaitTry has a slot tried again, if there is time before it is too late.
func (t *change) awaitTry(s *pb.Scheduled, slot *pb.SlotRef) {
	rules := s.GetExperiment().GetSchedule()
	after := retryAfter.Nanoseconds()
	if n := rules.GetRetryAfter().GetNanos(); n > 0 {
		after = n
	}
	tries, at := max(slot.GetTry(), 1), t.last+after
	if tries > rules.GetRetry() || at >= slot.GetUntilUnixNanos() || slot.GetSlot() != s.GetWatermark() || s.GetPausedBy() != nil {
		return
	}
	s.Retry = &pb.SlotRetry{AtUnixNanos: at, Slot: &pb.SlotRef{
		Schedule: s.GetName(), Slot: slot.GetSlot(), Try: tries + 1, UntilUnixNanos: slot.GetUntilUnixNanos(),
	}}
}

// failed tells whether somebody should look at a drill before the next one.
func failed(v pb.Verdict) bool {
	switch v {
	case pb.Verdict_VERDICT_FAIL, pb.Verdict_VERDICT_INCONCLUSIVE, pb.Verdict_VERDICT_ABORTED, pb.Verdict_VERDICT_ERROR:
		return true
	}
	return false
}

// pauseAfter pauses a schedule for what a run of it came to. A pause of somebody's stays theirs.
func (t *change) pauseAfter(s *pb.Scheduled, r *pb.Run) {
	if s.GetPausedBy() != nil {
		return
	}
	why := fmt.Sprintf("run %s of slot %s ended as %s", r.GetId(), r.GetSlot().GetSlot(), text.Word(r.GetVerdict()))
	s.PausedBy = &pb.Principal{Name: "on_fail", Role: pb.Role_ROLE_SERVER, Why: why}
	s.PausedUnixNanos, s.PausedRun, s.Version = t.last, r.GetId(), t.index
	t.record(s.GetPausedBy(), "pause schedule", s.GetName(), "done")
	t.tellPaused(s, r)
}

// forgetTries drops the tries that wait: what became of their slots since the
// snapshot is not known.
func (t *change) forgetTries() {
	for _, s := range t.Schedules() {
		if s.GetRetry() != nil {
			t.editSchedule(s.GetName()).Retry = nil
		}
	}
}
