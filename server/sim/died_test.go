package sim

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	pb "squall/proto/squall/v1"
)

// TestDeadMechanismIsNoProof lets one host's mechanism die in mid-fault: the
// servers hear of it while the fault should still hold, and nothing that was
// seen before makes it a pass.
func TestDeadMechanismIsNoProof(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t, settings{})
		run := r.run(short)
		host := r.struck()[0]
		r.until("names to fail", time.Minute, func() bool { return acts(host) })
		time.Sleep(2 * time.Second)
		host.fake.Die("squall/" + run + "/nameless.dns.fail")
		r.until("the servers to hear of it", time.Second, func() bool {
			return strings.Contains(first(r.view().Run(run).GetSteps()["nameless.dns.fail"].GetHosts()[host.name]), "ended at")
		})
		r.until("the end of the run", 5*time.Minute, func() bool { return r.done(run) })
		if got := r.view().Run(run); got.GetVerdict() != pb.Verdict_VERDICT_INCONCLUSIVE {
			t.Errorf("the verdict is %v: %v", got.GetVerdict(), got.GetFindings())
		}
	})
}

// first is what the first evidence of a step says that does not hold.
func first(s *pb.StepStatus) string {
	for _, e := range s.GetEvidence() {
		if !e.GetHolds() && !e.GetFact() && !e.GetAfter() {
			return e.GetText()
		}
	}
	return ""
}
