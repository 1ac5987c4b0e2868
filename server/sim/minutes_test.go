package sim

import (
	"runtime/debug"
	"testing"
	"testing/synctest"
	"time"

	pb "squall/proto/squall/v1"
	"squall/server/consensus"
)

// seoul is 84 minutes without names in one zone.
const seoul = `version: 1
name: seoul
title: 84 minutes without names
zones: { dark: [zone-b], lit: [zone-a, zone-c] }
targets:
  struck: { zone: dark }
  rest:   { zone: lit }
guardrails: { environments: [lab], max_zones: 1, max_runtime: 2h, lease: 20s }
probes:
  names:  { every: 5s, timeout: 1s, from: struck, dns: shop.test }
  others: { every: 5s, timeout: 1s, from: rest, tcp: "10.0.0.1:80" }
steady_state: { over: 20s, all: [names.success >= 0.9, others.success >= 0.9] }
timeline:
  - { at: T+0s,  phase: silent, faults: [ dns.fail: { target: struck, for: 84m } ] }
  - { at: T+15s,  phase: deep }
  - { at: T+84m, phase: whole, until: T+85m }
proof:  [ { name: names really fail, check: names.success == 0, over: 10s, during: deep } ]
expect: [ { name: the others notice nothing, check: others.success >= 0.9, over: 10s, during: [silent, deep, whole] } ]
abort:  [ { name: we are blind, when: others.age > 15, for: 3s } ]
revert: { timeout: 30s, verify: [residue.count == 0, names.success >= 0.9] }
`

// eightyFourMinutes plays the run with three servers and thirty hosts; a leader
// is killed half-way.
func eightyFourMinutes(t *testing.T) time.Duration {
	defer debug.SetGCPercent(debug.SetGCPercent(800))
	began := time.Now()
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t, settings{perZone: 10, timing: calm()})
		run := r.run(seoul)
		r.holding(run)
		time.Sleep(42 * time.Minute)
		dead := r.leader()
		dead.kill()
		time.Sleep(downtime)
		dead.start()
		for !r.done(run) {
			time.Sleep(time.Second)
		}
		if got := r.view().Run(run).GetVerdict(); got != pb.Verdict_VERDICT_PASS {
			t.Errorf("the verdict is %v: %v", got, r.view().Run(run).GetFindings())
		}
		r.checkPromises(run)
	})
	return time.Since(began)
}

// calm is the timing of servers that are far apart: most of a simulation's
// work is heartbeats.
func calm() consensus.Timing {
	timing := consensus.WAN()
	timing.Heartbeat, timing.Lease, timing.Commit = 2*time.Second, time.Second, 500*time.Millisecond
	return timing
}

// TestEightyFourMinutesTakeSeconds prints how long the simulation takes.
func TestEightyFourMinutesTakeSeconds(t *testing.T) {
	if testing.Short() {
		t.Skip("84 simulated minutes take seconds")
	}
	t.Logf("84 minutes, three servers, thirty hosts: %s", eightyFourMinutes(t).Round(10*time.Millisecond))
}
