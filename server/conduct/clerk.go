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
		commands, wake := t.slots(clerk, v)
		for _, c := range commands {
			t.recordSlot(ctx, c)
		}
		if len(commands) == 0 {
			t.awaitSlots(ctx, v, wake)
		}
	}
}

// slots are what is due for all schedules, and when the next is.
func (t *term) slots(clerk *slotClerk, v *state.View) (commands []*pb.Command, wake time.Time) {
	now := t.Now()
	if t.Doubt != nil {
		clerk.doubt = t.Doubt()
	}
	for _, s := range v.Schedules() {
		d := clerk.due(now, v, s)
		commands = append(commands, d.Record...)
		if !d.Wake.IsZero() && (wake.IsZero() || d.Wake.Before(wake)) {
			wake = d.Wake
		}
	}
	return commands, wake
}

// recordSlot proposes what becomes of a slot. A run that the machine does not
// let in is on record as refused, with its reason.
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
	for ; ; v = t.Machine.View() {
		select {
		case <-v.Stale():
			if !t.Machine.View().SameSchedules(v) {
				return
			}
		case <-due:
			return
		case <-ctx.Done():
			return
		}
	}
}
