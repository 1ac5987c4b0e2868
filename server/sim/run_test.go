package sim

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"squall/agent/host"
	pb "squall/proto/squall/v1"
	"squall/server/report"
)

// short takes zone-b's names, then its power.
const short = `version: 1
name: short
title: Names, then power
hypothesis: The other zones notice nothing.
zones: { dark: [zone-b], lit: [zone-a, zone-c] }
targets:
  struck: { zone: dark }
  rest:   { zone: lit }
guardrails: { environments: [lab], max_zones: 1, max_runtime: 5m, lease: 10s }
probes:
  names:  { every: 1s, timeout: 1s, from: struck, dns: shop.test }
  others: { every: 1s, timeout: 1s, from: rest, tcp: "10.0.0.1:80" }
steady_state: { over: 3s, all: [names.success >= 0.9, others.success >= 0.9] }
timeline:
  - at: T+0s
    phase: nameless
    faults: [ dns.fail: { target: struck, for: 10s } ]
  - { at: T+3s, phase: deep } # a phase of two seconds may hold no whole one
  - { at: T+10s, phase: between }
  - at: T+12s
    phase: dark
    faults: [ power.off: { target: struck, for: 8s, back: { spread: 1s, at_once: 1 } } ]
  - { at: T+22s, phase: whole, until: T+26s }
proof:
  - { name: names really fail, check: names.success == 0, over: 2s, during: deep }
expect:
  - { name: the others notice nothing, check: others.success >= 0.9, over: 3s, during: [nameless, deep, dark, whole] }
revert: { timeout: 20s, verify: [residue.count == 0, names.success >= 0.9] }
`

// checkPromises holds a finished run against what was promised: nothing
// injected twice, nothing reverted late, nothing left.
func (r *region) checkPromises(run string) {
	r.t.Helper()
	for _, m := range r.machines {
		for what, n := range m.count() {
			if n > 1 && !strings.HasPrefix(what, "detach ") {
				r.t.Errorf("%s: %q happened %d times", m.name, what, n)
			}
		}
		r.checkEnds(m)
		if acting := m.fake.Acting(); len(acting) > 0 {
			r.t.Errorf("%s: still acting: %v", m.name, acting)
		}
		if !m.fake.Runs("web") {
			r.t.Errorf("%s: its workload is dead", m.name)
		}
	}
	for _, s := range report.Run(r.view(), run).GetSteps() {
		for _, h := range s.GetHosts() {
			r.checkStep(h)
		}
		limit := late
		if tokens(r.view().Run(run), s.GetId()) {
			limit += told
		}
		if off := time.Duration(s.GetLate().GetMax()); off > limit {
			r.t.Errorf("%s was reverted %v late", s.GetId(), off)
		}
	}
}

// checkEnds holds a host to the ends that it was given when it was armed, by
// what happened to it and not by what it says.
func (r *region) checkEnds(m *machine) {
	r.t.Helper()
	ends := map[string]time.Duration{}
	for _, e := range m.fake.Events() {
		switch e.What {
		case "attach":
			tag, gate := e.Op.GetTag(), e.Op.GetGate()
			ends[tag] = time.Duration(gate.GetEndBootNanos())
		case "crash":
			clear(ends)
		case "detach":
			for tag, end := range ends {
				if !host.Under(tag, e.Name) {
					continue
				}
				delete(ends, tag)
				if e.Boot > end+late {
					r.t.Errorf("%s: %s was detached %v late", m.name, tag, e.Boot-end)
				}
			}
		}
	}
	for tag := range ends {
		r.t.Errorf("%s: %s was never detached", m.name, tag)
	}
}

// tokens tells whether the hosts of a step wait for boot tokens.
func tokens(run *pb.Run, step string) bool {
	return len(run.GetSteps()[step].GetTokenUnixNanos()) > 0
}

const (
	// late is what a revert may take after its planned end.
	late = 20 * time.Millisecond
	// told is what Raft alone takes to tell a follower of a commit: a host that
	// waits for a boot token counts from its grant, and the leader that would have
	// handed it on at once may have died in between.
	told = 50 * time.Millisecond
)

func (r *region) checkStep(s *pb.StepStatus) {
	r.t.Helper()
	seen := map[pb.StepState]int{}
	for _, mark := range s.GetJournal() {
		seen[mark.GetState()]++
	}
	for state, n := range seen {
		if n > 1 {
			r.t.Errorf("%s on %s went %d times through %v", s.GetStep(), s.GetHost(), n, state)
		}
	}
}

// passes waits for the end of a run and demands a pass.
func (r *region) passes(run string) {
	r.t.Helper()
	r.until("the end of the run", 5*time.Minute, func() bool { return r.done(run) })
	rep := report.Run(r.view(), run)
	if got := rep.GetSummary().GetVerdict(); got != pb.Verdict_VERDICT_PASS {
		r.t.Errorf("the verdict is %v: %v %q\n%v", got, rep.GetEndCause(), rep.GetEndDetail(), rep.GetFindings())
	}
	r.checkPromises(run)
	r.agree(run)
}

// agree demands that all servers come to tell the same story.
func (r *region) agree(run string) {
	r.t.Helper()
	r.until("all servers to tell one story", 30*time.Second, func() bool {
		first := report.Run(r.alive()[0].server.State(), run)
		return !slices.ContainsFunc(r.alive(), func(c *control) bool {
			return !finished(c, run) || !proto.Equal(first, report.Run(c.server.State(), run))
		})
	})
}

func finished(c *control, run string) bool {
	return c.server.State().Run(run).GetState() == pb.RunState_RUN_STATE_DONE
}

func TestRunPasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t, settings{})
		r.passes(r.run(short))
	})
}

// TestGuardrailThatIsTightenedEndsTheRun on every host, and the reason names it.
func TestGuardrailThatIsTightenedEndsTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t, settings{})
		run := r.run(short)
		r.until("the faults", 30*time.Second, func() bool { return slices.ContainsFunc(r.struck(), acts) })
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		one := &pb.Guardrails{MaxHosts: &pb.Amount{Of: &pb.Amount_Count{Count: 1}}}
		_, err := r.leader().server.Propose(ctx, &pb.Command{
			Id: "tighten", Kind: &pb.Command_SetGuardrails{SetGuardrails: &pb.SetGuardrails{Guardrails: one}},
		})
		if err != nil {
			t.Fatal(err)
		}
		r.calmWithin(6*time.Second, r.machines)
		r.ends(run, pb.Verdict_VERDICT_ABORTED)
		if detail := r.view().Run(run).GetEndDetail(); !strings.Contains(detail, "guardrail max_hosts") {
			t.Errorf("the run ended by %q", detail)
		}
	})
}
