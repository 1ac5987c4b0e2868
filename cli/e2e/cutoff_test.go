package e2e

import (
	"fmt"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"squall/agent/host/hosttest"
	pb "squall/proto/squall/v1"
)

// blindFile loses names in one zone, and looks at them only from there.
const blindFile = `version: 1
name: blind
title: A zone loses its names, and then its servers
hypothesis: What nobody can see is not passed.
zones: { dark: [zone-b] }
targets:
  callers: { zone: dark, role: [web, db] }
guardrails: { environments: [lab], max_zones: 1, max_runtime: 2m, lease: 5s }
probes:
  names: { every: 500ms, timeout: 1500ms, from: callers, dns: shop.test }
timeline:
  - at: T+0s
    phase: silent
    faults:
      - dns.fail: { target: callers, for: 30s }
  - { at: T+5s, phase: deep, until: T+30s }
proof:
  - { name: names really fail, check: names.success == 0, over: 3s, during: deep }
revert: { timeout: 30s, verify: [residue.count == 0] }
`

// blindLease is the lease of that file.
const blindLease = 5 * time.Second

// TestAZoneCutOffRevertsAtItsLease and a run that can't see it does not pass:
// the zone's hosts live on, but no packet goes between them and any server.
func TestAZoneCutOffRevertsAtItsLease(t *testing.T) {
	hosttest.RequireProgram(t, "ip", "iproute2")
	r := newRegion(t)
	run := r.start(t, "run", r.write(t, "blind.yaml", blindFile), "--why", "to be cut off")
	id := r.heldRun(t, "web-b1", "db-b1")
	cut := time.Now()
	heal := r.cut(t, "10.77.2.0/24", "10.77.1.5", "10.77.2.5", "10.77.3.5")
	for _, host := range []string{"web-b1", "db-b1"} {
		within(t, time.Minute, host+" has reverted", func() bool {
			return r.step(t, host, id).GetState() == pb.StepState_STEP_STATE_REVERTED
		})
		if s := r.step(t, host, id); s.GetCause() != pb.RevertCause_REVERT_CAUSE_LEASE {
			t.Errorf("%s reverted for %v, not for its lease", host, s.GetCause())
		}
		r.lookupsWork(t, host)
	}
	t.Logf("both had reverted %v after the cut", time.Since(cut).Round(time.Millisecond))
	heal()
	out := run.end(t)
	if out.code != 11 && out.code != 13 {
		t.Errorf("exit code %d, want 13 or 11: %v", out.code, out)
	}
	report, _ := r.report(t, id)
	r.checkLease(t, report, cut)
}

// checkLease reads the journals: the end came when the lease did, not before.
func (r *region) checkLease(t *testing.T, report *pb.RunReport, cut time.Time) {
	t.Helper()
	for _, h := range report.GetSteps()[0].GetHosts() {
		for _, m := range h.GetJournal() {
			if m.GetState() != pb.StepState_STEP_STATE_REVERTED {
				continue
			}
			// The lease counts from the last ping that was answered, a beat before the cut.
			after := time.Unix(0, m.GetActualUnixNanos()).Sub(cut)
			t.Logf("%s reverted %v after the cut", h.GetHost(), after.Round(time.Millisecond))
			if after < blindLease/2 || after > blindLease+time.Second {
				t.Errorf("%s reverted %v after the cut, with a lease of %v", h.GetHost(), after, blindLease)
			}
		}
	}
}

// heldRun waits until the hosts hold a step, and gives its run.
func (r *region) heldRun(t *testing.T, hosts ...string) (run string) {
	t.Helper()
	for _, host := range hosts {
		within(t, time.Minute, host+" holds a fault", func() bool {
			for _, s := range r.local(t, host).GetSteps() {
				if s.GetState() == pb.StepState_STEP_STATE_HELD {
					run = s.GetRun()
					return true
				}
			}
			return false
		})
	}
	return run
}

// cut lets no packet pass the region's router between a prefix and the
// addresses, without a word to anybody.
func (r *region) cut(t *testing.T, prefix string, addresses ...string) (heal func()) {
	t.Helper()
	router := strconv.Itoa(r.router(t))
	var undo [][]string
	for i, address := range addresses {
		for j, way := range [][]string{{"from", prefix, "to", address}, {"from", address, "to", prefix}} {
			pref := fmt.Sprint(10 + 2*i + j)
			rule := append([]string{"-t", router, "-n", "ip", "rule", "add", "pref", pref}, way...)
			if out, err := exec.Command("nsenter", append(rule, "blackhole")...).CombinedOutput(); err != nil {
				t.Fatalf("cut %s from %s: %v: %s", prefix, address, err, out)
			}
			undo = append(undo, []string{"-t", router, "-n", "ip", "rule", "del", "pref", pref})
		}
	}
	return func() {
		for _, argv := range undo {
			if out, err := exec.Command("nsenter", argv...).CombinedOutput(); err != nil {
				t.Errorf("heal %s: %v: %s", prefix, err, out)
			}
		}
	}
}
