package step

import (
	"testing"
	"time"

	pb "squall/proto/squall/v1"
)

const (
	ready     = pb.StepState_STEP_STATE_READY
	scheduled = pb.StepState_STEP_STATE_SCHEDULED
	armed     = pb.StepState_STEP_STATE_ARMED
	held      = pb.StepState_STEP_STATE_HELD
	returning = pb.StepState_STEP_STATE_RETURNING
)

// base is a step that holds from 100 s to 160 s, with a lease until 110 s.
func base(state pb.StepState, seconds int) view {
	return view{
		now: time.Duration(seconds) * time.Second, state: state, start: 100 * time.Second, end: 160 * time.Second,
		deadline: 180 * time.Second, fired: true, lease: 110 * time.Second, renewed: true,
	}
}

func TestDecide(t *testing.T) {
	with := func(v view, edit func(*view)) view { edit(&v); return v }
	for _, c := range []struct {
		name  string
		v     view
		verb  verb
		cause pb.RevertCause
	}{
		{"a prepared step waits for its lease", with(base(ready, 90), func(v *view) { v.fired = false }), wait, 0},
		{"a prepared step that hears nothing lets go", with(base(ready, 110), func(v *view) { v.fired = false }), letGo, pb.RevertCause_REVERT_CAUSE_LEASE},
		{"a prepared step that is called off lets go", with(base(ready, 90), func(v *view) { v.dropped = pb.RevertCause_REVERT_CAUSE_ORDER }), letGo, pb.RevertCause_REVERT_CAUSE_ORDER},
		{"a fired step is scheduled", base(ready, 90), schedule, 0},
		{"a scheduled step waits for its lead", base(scheduled, 90), wait, 0},
		{"it arms shortly before its start", base(scheduled, 99), arm, 0},
		{"it arms late under a living lease", base(scheduled, 105), arm, 0},
		{"it waits for a renewal that is missing", with(base(scheduled, 99), func(v *view) { v.renewed = false }), wait, 0},
		{"without a renewal it never starts", with(base(scheduled, 100), func(v *view) { v.renewed = false }), letGo, pb.RevertCause_REVERT_CAUSE_LEASE},
		{"without a lease it never starts", with(base(scheduled, 100), func(v *view) { v.lease = 0 }), letGo, pb.RevertCause_REVERT_CAUSE_LEASE},
		{"an order that comes after the end starts nothing", with(base(scheduled, 160), func(v *view) { v.lease = forever }), letGo, pb.RevertCause_REVERT_CAUSE_END},
		{"an armed step waits for its start", base(armed, 99), wait, 0},
		{"an armed step holds from its start", base(armed, 100), hold, 0},
		{"an armed step that is called off reverts", with(base(armed, 99), func(v *view) { v.dropped = pb.RevertCause_REVERT_CAUSE_HALT }), revert, pb.RevertCause_REVERT_CAUSE_HALT},
		{"a held step reverts when its lease runs out", base(held, 110), revert, pb.RevertCause_REVERT_CAUSE_LEASE},
		{"a step that may hold without a lease does", with(base(held, 110), func(v *view) { v.hold = true }), wait, 0},
		{"it reverts at its end", with(base(held, 160), func(v *view) { v.hold = true }), revert, pb.RevertCause_REVERT_CAUSE_END},
		{"it waits for a boot token", with(base(held, 160), func(v *view) { v.hold, v.needsToken = true, true }), giveBack, 0},
		{"it goes on waiting", with(base(returning, 170), func(v *view) { v.hold, v.needsToken = true, true }), wait, 0},
		{"the token lets it return", with(base(returning, 170), func(v *view) { v.hold, v.needsToken, v.token = true, true, true }), revert, pb.RevertCause_REVERT_CAUSE_END},
		{"the deadline comes whatever happens", with(base(returning, 180), func(v *view) { v.hold, v.needsToken = true, true }), revert, pb.RevertCause_REVERT_CAUSE_DEADLINE},
		{"a halt outranks the deadline", with(base(held, 200), func(v *view) { v.dropped = pb.RevertCause_REVERT_CAUSE_HALT }), revert, pb.RevertCause_REVERT_CAUSE_HALT},
		{"a reverted step never moves again", base(pb.StepState_STEP_STATE_REVERTED, 120), wait, 0},
		{"a refused step never moves again", base(pb.StepState_STEP_STATE_REFUSED, 120), wait, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := decide(c.v)
			if m.verb != c.verb || m.cause != c.cause {
				t.Errorf("decide = verb %d, cause %s; want verb %d, cause %s", m.verb, m.cause, c.verb, c.cause)
			}
			if m.verb == wait && m.until <= c.v.now {
				t.Errorf("it waits until %s, which is past", m.until)
			}
		})
	}
}
