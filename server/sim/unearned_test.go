package sim

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	pb "squall/proto/squall/v1"
)

// darkness takes zone-b's power, and names nothing that must hold after it.
const darkness = `version: 1
name: darkness
zones: { dark: [zone-b], lit: [zone-a, zone-c] }
targets:
  struck: { zone: dark }
  rest:   { zone: lit }
guardrails: { environments: [lab], max_zones: 1, max_runtime: 5m, lease: 10s }
probes:
  others: { every: 1s, timeout: 1s, from: rest, tcp: "10.0.0.1:80" }
timeline:
  - { at: T+0s, phase: dark, faults: [ power.off: { target: struck, for: 8s, back: { boot_limit: 20s } } ] }
expect:
  - { name: the others notice nothing, check: others.success >= 0.9, during: dark }
`

// TestNobodyPassesWhoseWorkloadIsNotBack has one that never gets ready again: the
// verdict waits for it.
func TestNobodyPassesWhoseWorkloadIsNotBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t, settings{})
		r.struck()[0].fake.FailReady("web", errors.New("its port is not open"))
		r.ends(r.run(darkness), pb.Verdict_VERDICT_FAIL)
	})
}

// onTheWayBack is a run whose fault is over, and a host of it whose workload was
// started and is not ready.
func (r *region) onTheWayBack() (run string, m *machine) {
	m = r.struck()[0]
	m.fake.FailReady("web", errors.New("its port is not open"))
	run = r.run(darkness)
	r.until("the way back", time.Minute, func() bool { return m.count()["start web"] > 0 })
	time.Sleep(time.Second)
	return run, m
}

// TestAgentThatDiesOnTheWayBackIsNoPass: nobody says any more whether the
// workload got ready.
func TestAgentThatDiesOnTheWayBackIsNoPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t, settings{})
		run, m := r.onTheWayBack()
		m.stop()
		r.ends(run, pb.Verdict_VERDICT_INCONCLUSIVE)
	})
}

// TestAgentThatRestartsOnTheWayBackSaysIt: the next one looks again.
func TestAgentThatRestartsOnTheWayBackSaysIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t, settings{})
		run, m := r.onTheWayBack()
		m.dies()
		time.Sleep(3 * time.Second)
		m.fake.FailReady("web", nil)
		r.ends(run, pb.Verdict_VERDICT_PASS)
	})
}

// TestFaultOnTheDeadIsNoPass aims at a workload that was dead before.
func TestFaultOnTheDeadIsNoPass(t *testing.T) {
	for _, dead := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			r := newRegion(t, settings{})
			m := r.struck()[0]
			if dead {
				op := &pb.Op{Kind: &pb.Op_KillWorkloads{KillWorkloads: &pb.KillWorkloads{Workload: []string{"web"}}}}
				if err := m.fake.Do(t.Context(), op, nil); err != nil {
					t.Fatal(err)
				}
			}
			run := r.run(strings.Replace(darkness, "struck: { zone: dark }", "struck: { zone: dark, workload: web }", 1))
			r.until("the end of the run", time.Minute, func() bool { return r.done(run) })
			want := pb.Verdict_VERDICT_PASS
			if dead {
				want = pb.Verdict_VERDICT_INCONCLUSIVE
			}
			if got := r.view().Run(run); got.GetVerdict() != want {
				t.Errorf("dead before: %t, the verdict is %v: %v", dead, got.GetVerdict(), got.GetFindings())
			}
		})
	}
}
