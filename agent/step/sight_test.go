package step

import (
	"testing"
	"testing/synctest"
	"time"

	pb "squall/proto/squall/v1"
)

// shows tells whether anything that a step shows of its time says that it held,
// and whether anything says that it did not.
func shows(s *pb.StepStatus) (holds, breaks bool) {
	for _, e := range s.GetEvidence() {
		if !e.GetAfter() && !e.GetFact() {
			holds, breaks = holds || e.GetHolds(), breaks || !e.GetHolds()
		}
	}
	return holds, breaks
}

// What a fault rests on is gone, or out of sight: the last good reading is told
// as not held at once, and to the end.
func TestEvidenceOfADeadMechanismHoldsNoMore(t *testing.T) {
	for name, test := range map[string]struct {
		happens func(*rig)
		within  time.Duration
	}{
		"it dies":      {func(r *rig) { r.fake.Die("squall/run-1/power.off/silence") }, 0},
		"a look hangs": {func(r *rig) { r.fake.HangEvidence() }, evidenceEvery + lookLimit},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(r *rig) {
				r.hold()
				if holds, breaks := shows(r.status()); !holds || breaks {
					t.Fatalf("while it holds: %v", r.status())
				}
				for len(r.engine.Changed()) > 0 {
					<-r.engine.Changed()
				}
				test.happens(r)
				r.pass(test.within)
				synctest.Wait()
				if holds, breaks := shows(r.status()); holds || !breaks || len(r.engine.Changed()) == 0 {
					t.Errorf("after that: %v, told: %d", r.status(), len(r.engine.Changed()))
				}
				r.pass(20 * time.Second)
				r.order()
				r.pass(time.Second)
				r.want(reverted, pb.RevertCause_REVERT_CAUSE_ORDER)
				if holds, breaks := shows(r.status()); holds || !breaks {
					t.Errorf("at the end: %v", r.status())
				}
			})
		})
	}
}
