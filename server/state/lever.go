package state

import (
	"math"
	"slices"

	pb "squall/proto/squall/v1"
)

const (
	// maxAlso is how many earlier halts a latch names: it travels in every order.
	maxAlso = 64
	// maxPulled is how many halts are remembered. Each is somebody's act, so that
	// nobody comes to the end of it but by a program that does nothing else.
	maxPulled = 1 << 16
)

// PulledAt is the log index at which a halt was committed, whatever became of it
// since; 0 where the log holds none of that id.
func (v *View) PulledAt(halt string) uint64 { return v.pulled.get(halt) }

// pull engages the lever and ends every run. A halt that comes while another
// is engaged joins it; one that was let go of stays let go of, so that a late
// repeat engages nothing.
func (t *change) pull(c *pb.Halt) *pb.Problem {
	switch {
	case !GoodName(c.GetId()):
		return refuse(pb.Refusal_REFUSAL_INVALID, "choose a short one of plain letters", "the halt's id %q can't be one", c.GetId())
	case t.PulledAt(c.GetId()) != 0 && t.halt.GetEngaged():
		return nil
	case t.PulledAt(c.GetId()) != 0:
		t.floor = t.index // hosts that latched the repeat hear again that it was let go of
		return nil
	case t.halt.GetEngaged():
		t.halt = &pb.HaltLatch{
			Id: t.halt.GetId(), Engaged: true, Reason: t.halt.GetReason(), Also: also(t.halt, c.GetId()),
		}
	default:
		t.halt = &pb.HaltLatch{Id: c.GetId(), Engaged: true, Reason: c.GetReason(), Also: also(t.halt, t.halt.GetId())}
	}
	t.floor = t.index
	t.rememberPull(c.GetId())
	t.haltRuns(c)
	return nil
}

// rememberPull keeps a halt from pulling the lever again.
func (t *change) rememberPull(id string) {
	if t.pulled.size >= maxPulled {
		t.pulled = t.pulled.without(oldestPull(t.pulled))
	}
	t.pulled = t.pulled.with(id, t.index)
}

func oldestPull(pulled table[uint64]) (oldest string) {
	least := uint64(math.MaxUint64)
	for id, index := range pulled.all() {
		if index < least {
			oldest, least = id, index
		}
	}
	return oldest
}

func also(known *pb.HaltLatch, id string) []string {
	ids := slices.Clone(known.GetAlso())
	if id != "" {
		ids = append(ids, id)
	}
	return ids[max(0, len(ids)-maxAlso):]
}

func (t *change) haltRuns(c *pb.Halt) {
	for _, r := range t.Active() {
		rec := t.edit(r.GetId())
		t.tell(rec, &pb.Event{Kind: pb.EventKind_EVENT_KIND_HALT, Text: haltText(c)})
		switch {
		case slices.Contains(moves[pb.RunState_RUN_STATE_REVERTING], r.GetState()):
			t.end(r.GetId(), pb.EndCause_END_CAUSE_HALT, c.GetReason())
		case haltedAhead(r):
			rec.run.EndCause, rec.run.EndDetail, rec.run.EndedBy = pb.EndCause_END_CAUSE_HALT, c.GetReason(), t.cmd.GetBy()
		}
	}
}

// haltedAhead tells whether a run seems to have come to its own end because
// its hosts heard of the halt, and said that they had reverted, before the halt
// was committed.
func haltedAhead(r *pb.Run) bool {
	if r.GetEndCause() != pb.EndCause_END_CAUSE_COMPLETE {
		return false
	}
	for _, s := range r.GetSteps() {
		for _, h := range s.GetHosts() {
			if h.GetCause() == pb.RevertCause_REVERT_CAUSE_HALT {
				return true
			}
		}
	}
	return false
}

// Halted refuses what a halt refuses: it names the halt, why it was pulled where
// somebody said so, and how to let go.
func Halted(latch *pb.HaltLatch) *pb.Problem {
	return refuse(pb.Refusal_REFUSAL_HALTED, "let go of it with: squall resume "+latch.GetId(),
		"the halt lever is engaged by %q%s", latch.GetId(), because(latch.GetReason()))
}

func haltText(c *pb.Halt) string { return "halt " + c.GetId() + because(c.GetReason()) }

// because adds a reason, where somebody gave one.
func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

// resume lets go of the lever. It must name the halt that is engaged, so that
// nobody lets go of one that they have not seen.
func (t *change) resume(c *pb.Resume) *pb.Problem {
	switch {
	case t.halt.GetEngaged() && c.GetId() == t.halt.GetId():
		t.halt = &pb.HaltLatch{Id: t.halt.GetId(), Reason: t.halt.GetReason(), Also: t.halt.GetAlso()}
		t.floor = t.index
		return nil
	case t.halt.GetEngaged():
		return refuse(pb.Refusal_REFUSAL_INVALID, "let go of it with: squall resume "+t.halt.GetId(),
			"the halt lever is engaged by %q, not by %q", t.halt.GetId(), c.GetId())
	case c.GetId() == t.halt.GetId() && c.GetId() != "":
		return nil // let go of already
	}
	return refuse(pb.Refusal_REFUSAL_INVALID, "", "the halt lever is not engaged")
}
