package sim

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	pb "squall/proto/squall/v1"
)

// long takes zone-b's names for forty seconds, under a lease of five.
const long = `version: 1
name: long
zones: { dark: [zone-b] }
targets: { struck: { zone: dark } }
guardrails: { environments: [lab], max_runtime: 5m, lease: 5s }
timeline:
  - { at: T+0s, phase: nameless, faults: [ dns.fail: { target: struck, for: 40s } ] }
`

const lease = 5 * time.Second

// holding waits until a run holds.
func (r *region) holding(run string) {
	r.t.Helper()
	r.until("the run to hold", 30*time.Second, func() bool {
		return r.view().Run(run).GetState() == pb.RunState_RUN_STATE_HOLDING
	})
}

// struck are the hosts of zone-b.
func (r *region) struck() []*machine {
	return slices.DeleteFunc(slices.Clone(r.machines), func(m *machine) bool { return m.zone != "zone-b" })
}

func acts(m *machine) bool { return len(m.fake.Acting()) > 0 }

// calmWithin demands that nothing acts on hosts any more after a while.
func (r *region) calmWithin(most time.Duration, hosts []*machine) {
	r.t.Helper()
	r.until("the end of the faults", most, func() bool { return !slices.ContainsFunc(hosts, acts) })
}

// darken cuts hosts off from all servers.
func (r *region) darken(hosts ...*machine) {
	for _, m := range hosts {
		for _, c := range r.servers {
			r.net.cut(m.name, c.id)
		}
	}
}

// heal ends what darken, or a part of it, began.
func (r *region) heal(hosts ...*machine) {
	for _, m := range hosts {
		for _, c := range r.servers {
			r.net.heal(m.name, c.id)
		}
	}
}

// lasts demands that faults end when a lease has run out that was renewed last
// before now: it counts from the ping, and there is one every tenth of it.
// Slack is for servers that renew once more.
func (r *region) lasts(hosts []*machine, lease time.Duration, slack ...time.Duration) {
	r.t.Helper()
	began, most := time.Now(), lease+late
	for _, s := range slack {
		most += s
	}
	for time.Since(began) < lease*9/10-late {
		for _, m := range hosts {
			if !acts(m) {
				r.t.Fatalf("%s let go after %v, before its lease", m.name, time.Since(began))
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	r.calmWithin(most-time.Since(began), hosts)
}

// ends waits for the end of a run and demands one of some verdicts.
func (r *region) ends(run string, verdict ...pb.Verdict) {
	r.t.Helper()
	r.until("the end of the run", 5*time.Minute, func() bool { return r.done(run) })
	if got := r.view().Run(run).GetVerdict(); !slices.Contains(verdict, got) {
		r.t.Errorf("the verdict is %v: %v", got, r.view().Run(run).GetFindings())
	}
	r.checkPromises(run)
}

// TestServerCutOff cuts off each server in turn, whether it leads or follows:
// its agents change over, and the run notices nothing.
func TestServerCutOff(t *testing.T) {
	for _, who := range []int{0, 1, 2} {
		synctest.Test(t, func(t *testing.T) {
			r := newRegion(t, settings{})
			run := r.run(short)
			r.holding(run)
			r.servers[who].cutOff()
			time.Sleep(10 * time.Second)
			r.servers[who].rejoin()
			r.passes(run)
		})
	}
}

// stranded leaves a host nobody to talk to but a server that has not heard of
// the run that the host is in.
func stranded(t *testing.T, source string) (r *region, run string, behind *control, host *machine) {
	t.Helper()
	r = newRegion(t, settings{})
	behind = r.servers[slices.IndexFunc(r.servers, func(c *control) bool { return c != r.leader() })]
	behind.cutOff()
	time.Sleep(5 * time.Second)
	run = r.run(source)
	r.holding(run)
	host = r.struck()[0]
	r.until("the start", 3*time.Second, func() bool { return acts(host) })
	for _, c := range r.servers {
		if c != behind {
			r.net.cut(host.name, c.id)
		}
	}
	return r, run, behind, host
}

// TestServerThatIsBehindNeitherSendsNorRenews strands a host until its lease
// has run out: not a moment before, and nothing renews it.
func TestServerThatIsBehindNeitherSendsNorRenews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, run, behind, host := stranded(t, long)
		r.lasts([]*machine{host}, lease)
		if behind.server.State().Run(run) != nil {
			t.Fatal("the server is not behind")
		}
		behind.rejoin()
		r.heal(host)
		r.ends(run, pb.Verdict_VERDICT_INCONCLUSIVE)
	})
}

// TestHostComesBackFromAServerThatIsBehind strands a host for less than its
// lease: the run notices nothing. It needs seconds to come back: a dial that a
// dark host began before it was lit again takes two to give up, dials come one
// after the other, and a server that answers is left only for one that does
// better.
func TestHostComesBackFromAServerThatIsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, run, behind, host := stranded(t, short)
		time.Sleep(3 * time.Second)
		behind.rejoin()
		r.heal(host)
		r.passes(run)
	})
}

// TestOneServerThatAnswersIsEnough leaves a host one server of three, and that
// one out of touch for a while: the host must not wait for the silent two.
func TestOneServerThatAnswersIsEnough(t *testing.T) {
	for only := range 3 {
		synctest.Test(t, func(t *testing.T) {
			r := newRegion(t, settings{})
			host, kept := r.struck()[0], r.servers[only]
			for _, c := range r.servers {
				if c != kept {
					r.net.cut(host.name, c.id)
				}
			}
			kept.cutOff()
			time.Sleep(20 * time.Second)
			kept.rejoin()
			time.Sleep(20 * time.Second) // raft comes back to a server that was away within ten
			for range 60 {
				time.Sleep(time.Second)
				if got := r.view().Host(host.name).GetServer(); got != kept.id {
					t.Fatalf("the host is at server %q, want %s", got, kept.id)
				}
			}
		})
	}
}

// TestQuorumLostEndsFaultsAtTheLease kills two servers of three.
func TestQuorumLostEndsFaultsAtTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t, settings{})
		run := r.run(long)
		r.holding(run)
		time.Sleep(5 * time.Second)
		dead := r.kill(0, 2)
		// A server renews for a third of the lease after it last heard from a
		// quorum, which a killed one goes on for a little.
		r.lasts(r.struck(), lease, lease/3+200*time.Millisecond)
		r.revive(dead)
		r.ends(run, pb.Verdict_VERDICT_INCONCLUSIVE)
	})
}

// TestZoneCutOffEndsItsFaultsAtTheLease cuts a zone's hosts from all servers.
func TestZoneCutOffEndsItsFaultsAtTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t, settings{})
		run := r.run(long)
		r.holding(run)
		time.Sleep(5 * time.Second)
		r.darken(r.struck()...)
		r.lasts(r.struck(), lease)
		time.Sleep(10 * time.Second)
		r.heal(r.struck()...)
		r.ends(run, pb.Verdict_VERDICT_INCONCLUSIVE)
	})
}

// TestZoneCutOffForLessThanItsLeaseGoesOn cuts a zone's hosts from all servers,
// and lets them back in time.
func TestZoneCutOffForLessThanItsLeaseGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t, settings{})
		run := r.run(short)
		r.holding(run)
		r.until("the start", 3*time.Second, func() bool { return acts(r.struck()[0]) })
		r.darken(r.struck()...)
		time.Sleep(3 * time.Second)
		r.heal(r.struck()...)
		r.passes(run)
	})
}

// TestClocksThatDifferMoveNothing runs servers whose wall clocks are hours
// apart, and kills whoever leads: what was set still happens when it was said,
// whichever clock comes after which.
func TestClocksThatDifferMoveNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t, settings{skew: []time.Duration{time.Hour, -3 * time.Hour, 90 * time.Second}})
		run := r.run(long)
		r.holding(run)
		r.until("the start", 3*time.Second, func() bool { return acts(r.struck()[0]) })
		began := r.struck()[0].fake.Boot()
		r.outlives(run)
		for _, m := range r.struck() {
			start, end := m.acted()
			if off := (start - began).Abs(); off > late {
				t.Errorf("%s: the start lies %v off", m.name, off)
			}
			if lasted := end - start; (lasted - 40*time.Second).Abs() > late {
				t.Errorf("%s: the fault lasted %v", m.name, lasted)
			}
		}
	})
}

// acted is when what was attached first began to act, and when it was detached,
// in boot time, which is the same on all hosts here.
func (m *machine) acted() (start, end time.Duration) {
	for _, e := range m.fake.Events() {
		switch {
		case e.What == "attach":
			gate := e.Op.GetGate()
			start = time.Duration(gate.GetStartBootNanos())
		case e.What == "detach" && end == 0:
			end = e.Boot
		}
	}
	return start, end
}
