package judge_test

import (
	"testing"
	"time"

	pb "squall/proto/squall/v1"
)

// TestRulesStandAsTheyAreJudged: people see the rules of the present phase, and
// how long an abort rule has been true of the time that it takes.
func TestRulesStandAsTheyAreJudged(t *testing.T) {
	_, j := compiled(t, `expect:
  - { name: served, check: checkout.success >= 0.99, during: dark }
  - { name: calm before, check: checkout.success >= 0.99, during: calm }
abort:
  - { name: hurt, when: checkout.success < 0.5, for: 10s }
  - { name: blind, when: checkout.age > 15 }
`)
	run, m := good()
	for s := int64(1018); s < 1060; s++ {
		m.put("checkout", "zone-b", s, 0, 1, 0)
		m.put("checkout", "zone-c", s, 0, 1, 1)
	}
	rules := j.Track().Rules(run, m, time.Unix(1025, 0))
	by := map[string]*pb.LiveRule{}
	for _, r := range rules {
		by[r.GetName()] = r
	}
	if len(rules) != 3 || by["calm before"] != nil {
		t.Errorf("shown are %v", rules)
	}
	if r := by["served"]; r.GetState() != pb.FindingState_FINDING_STATE_BROKEN || r.GetSeen() != "checkout.success 0, limit >= 0.99" {
		t.Errorf("the expectation stands as %v", r)
	}
	if r := by["hurt"]; r.GetForNanos() != 10e9 || r.GetTrueNanos() < 3e9 || r.GetTrueNanos() >= 10e9 {
		t.Errorf("the rule that comes true stands as %v", r)
	}
	if r := by["blind"]; r.GetTrueNanos() != 0 || r.GetState() != pb.FindingState_FINDING_STATE_BROKEN {
		t.Errorf("the rule that is far off stands as %v", r)
	}
	if f := j.Abort(run, m, time.Unix(1025, 0)); f != nil {
		t.Errorf("looking at it has aborted the run: %v", f)
	}
}
