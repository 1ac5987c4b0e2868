package conduct

import (
	"context"
	"time"

	pb "squall/proto/squall/v1"
	"squall/server/state"
)

// keepSlots begins the runs of schedules until the term is over.
func (t *term) keepSlots(ctx context.Context) {
	clerk := &slotClerk{}
	for ctx.Err() == nil {
		v := t.Machine.View()
		clerk.forget(v)
		if acted, wake := t.dealSlots(ctx, clerk, v.Schedules()); !acted {
			t.awaitSlots(ctx, v, wake)
		}
	}
}

// dealSlots deals with what is due for schedules, one after another, and says
// when the next is. Each is decided on as it is when its turn comes: while those
// before it were committed, somebody may have changed it.
func (t *term) dealSlots(ctx context.Context, clerk *slotClerk, all []*pb.Scheduled) (acted bool, wake time.Time) {
	for _, s := range all {
		d := t.decideSlot(clerk, s.GetName())
		for _, c := range d.Record {
			acted = true
			t.recordSlot(ctx, c)
		}
		if !d.Wake.IsZero() && (wake.IsZero() || d.Wake.Before(wake)) {
			wake = d.Wake
		}
	}
	return acted, wake
}

// decideSlot says what comes next for a schedule, as it is now.
func (t *term) decideSlot(clerk *slotClerk, schedule string) Decision {
	v := t.Machine.View()
	s := v.Schedule(schedule)
	if s == nil {
		return Decision{}
	}
	if t.Doubt != nil {
		clerk.doubt = t.Doubt()
	}
	return clerk.due(t.Now(), v, s)
}

// recordSlot proposes what becomes of a slot. A run that the machine does not
// let in is on record as refused, with its reason; but where it is not let in
// since the schedule was changed meanwhile, the machine takes that record no more
// than the run, and the slot is decided on anew.
func (t *term) recordSlot(ctx context.Context, c *pb.Command) {
	outcomes, err := t.Proposer.Propose(ctx, c)
	if refused := refusal(outcomes); err == nil && refused != nil && c.GetAdmitRun() != nil {
		_, err = t.Proposer.Propose(ctx, &pb.Command{
			Id: c.GetId() + "/refused", By: c.GetBy(),
			Kind: &pb.Command_PassSlot{PassSlot: &pb.PassSlot{
				Slot: c.GetAdmitRun().GetSlot(), Outcome: pb.SlotOutcome_SLOT_OUTCOME_REFUSED, Why: refused.GetMessage(),
			}},
		})
	}
	if err != nil && ctx.Err() == nil {
		t.Log.Warn("a slot is not on record yet", "command", c.GetId(), "err", err)
		sleep(ctx, pause)
	}
}

// refusal is why the first command was not let in; nil where it was.
func refusal(outcomes []*pb.Outcome) *pb.Problem {
	if len(outcomes) == 0 {
		return nil
	}
	return outcomes[0].GetRefused()
}

// awaitSlots waits until a schedule may have changed, or until cluster time wake.
func (t *term) awaitSlots(ctx context.Context, v *state.View, wake time.Time) {
	var due <-chan time.Time
	if !wake.IsZero() {
		timer := time.NewTimer(max(wake.Sub(t.Now()), time.Millisecond))
		defer timer.Stop()
		due = timer.C
	}
	for {
		select {
		case <-v.Stale():
			next := t.Machine.View()
			if !next.SameSchedules(v) {
				return
			}
			v = next
		case <-due:
			return
		case <-ctx.Done():
			return
		}
	}
}
