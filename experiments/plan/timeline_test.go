package plan_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"squall/experiments"
	"squall/experiments/plan"
	pb "squall/proto/squall/v1"
)

// planned decodes and plans an experiment against three zones of three hosts.
func planned(t *testing.T, text string, w plan.World) (*pb.Plan, *pb.Experiment) {
	t.Helper()
	e, src, problems := experiments.Decode("trial.yaml", []byte(text))
	if problems != nil {
		t.Fatal(problems)
	}
	if w.Hosts == nil {
		w.Hosts = region()
	}
	return plan.Make(e, src, w), e
}

// region has three zones of three hosts: two web, one db.
func region() []*pb.Host {
	var hosts []*pb.Host
	for i, zone := range []string{"a", "b", "c"} {
		for k, role := range []string{"web", "web", "db"} {
			hosts = append(hosts, &pb.Host{
				Name: fmt.Sprintf("%s-%s%d", role, zone, k+1), Zone: "zone-" + zone, Environment: "lab", Role: []string{role},
				Address:   []string{fmt.Sprintf("10.1.%d.%d", i, k+1), fmt.Sprintf("fd00::%d:%d", i, k+1)},
				Workloads: []*pb.HostWorkload{{Name: role}},
			})
		}
	}
	return hosts
}

// at is an experiment with a clock and a timeline.
func at(clock, timeline string) string {
	return "version: 1\nname: trial\n" + clock + `
targets: { machines: { zone: zone-a }, webs: { zone: zone-a, role: web } }
timeline:
` + timeline
}

// told prints phases and steps with their real instants in seconds.
func told(p *pb.Plan) string {
	var b strings.Builder
	for _, x := range p.GetPhases() {
		fmt.Fprintf(&b, "%s %g-%g; ", x.GetName(), sec(x.GetStartNanos()), sec(x.GetEndNanos()))
	}
	for _, x := range p.GetSteps() {
		fmt.Fprintf(&b, "%s %g-%g; ", x.GetId(), sec(x.GetStartNanos()), sec(x.GetEndNanos()))
	}
	return strings.TrimSuffix(b.String(), "; ")
}

func sec(nanos int64) float64 { return time.Duration(nanos).Seconds() }

func TestTimelineInRealTime(t *testing.T) {
	const origin = `clock: { origin: "2012-06-29T19:57:00-07:00", speed: 12x }`
	for _, c := range []struct{ name, clock, timeline, want string }{
		{
			"spans are divided by the speed", `clock: { speed: 12x }`,
			`  - { phase: p, faults: [dns.fail: { target: machines, for: 12m }] }`,
			"p 0-60; p.dns.fail 0-60",
		},
		{
			"times of day count from the origin, and go on next day", origin,
			`  - { at: "20:04", phase: p, until: "23:15", faults: [dns.fail: { target: machines, until: "00:25" }] }
  - { at: "00:57", phase: q, until: "01:57" }`,
			"p 35-990; q 1500-1800; p.dns.fail 35-1340",
		},
		{
			"the same time of day is not the next day", origin,
			`  - { at: "19:57", phase: p }
  - { at: "19:57:12", phase: q, until: "19:57:24" }`,
			"p 0-1; q 1-2",
		},
		{
			"a phase ends where the next begins, or with its last fault", "",
			`  - { phase: p, faults: [dns.fail: { target: machines, for: 50s }] }
  - { at: T+20s, phase: q, faults: [net.delay: { target: machines, delay: 1ms, for: 5s }, dns.fail: { target: webs, at: T+55s, for: 9s }] }`,
			"p 0-20; q 20-64; p.dns.fail 0-50; q.net.delay 20-25; q.dns.fail 55-64",
		},
		{
			"a way back belongs to its phase", `clock: { speed: 2x }`,
			`  - { phase: p, faults: [power.off: { target: machines, for: 20s, back: { spread: 10s } }] }`,
			"p 0-15; p.power.off 0-15",
		},
		{
			"instants may name phases", "",
			`  - { phase: p, faults: [dns.fail: { target: machines, until: r }] }
  - { at: T+10s, phase: q }
  - { at: T+30s, phase: r, until: T+40s }`,
			"p 0-10; q 10-30; r 30-40; p.dns.fail 0-30",
		},
		{
			"a phase's floor moves what comes after", `clock: { speed: 60x }`,
			`  - { phase: p, at_least: 30s, faults: [dns.fail: { target: machines, for: 10m }, net.delay: { target: machines, delay: 1ms, for: 5m }] }
  - { at: T+10m, phase: q, until: T+20m }`,
			"p 0-30; q 30-40; p.dns.fail 0-30; p.net.delay 0-5",
		},
		{
			"a step's floor too", `clock: { speed: 60x }`,
			`  - { phase: p, faults: [dns.fail: { target: machines, for: 5m, at_least: 15s }] }
  - { at: T+10m, phase: q, until: T+20m }`,
			"p 0-20; q 20-30; p.dns.fail 0-15",
		},
		{
			"a floor that is no longer than the stretch moves nothing", "",
			`  - { phase: p, at_least: 5s, until: T+10s }
  - { at: T+10s, phase: q, until: T+20s }`,
			"p 0-10; q 10-20",
		},
		{
			"a phase with nothing but a floor", `clock: { speed: 10x }`,
			`  - { phase: p, at_least: 7s }`,
			"p 0-7",
		},
		{
			"further faults of a kind have a number", "",
			`  - { phase: p, faults: [dns.fail: { target: webs, for: 5s }, dns.fail: { target: webs, at: T+5s, for: 5s }] }`,
			"p 0-10; p.dns.fail 0-5; p.dns.fail.2 5-10",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, _ := planned(t, at(c.clock, c.timeline), plan.World{})
			for _, problem := range p.GetProblems() {
				if problem.GetRefusal() != pb.Refusal_REFUSAL_EMPTY_TARGET { // of timelines without a fault
					t.Error(experiments.FormatProblem(problem))
				}
			}
			if got := told(p); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestWatchLastsUntilTheLastWithinHasPassed(t *testing.T) {
	p, _ := planned(t, at("", `  - { phase: p, until: T+10s }
expect: [{ name: x, check: machines.alive == 3, within: 45s, after: p }]
`), plan.World{})
	if got := sec(p.GetLengthNanos()); got != 45 {
		t.Errorf("length %gs", got)
	}
}

func TestHostsGoAndReturnAtTheirOwnInstants(t *testing.T) {
	p, _ := planned(t, at("clock: { speed: 2x }", `  - phase: p
    faults: [power.off: { target: machines, spread: 8s, for: 60s, back: { spread: 20s, at_once: 2, boot_limit: 30s, never: 1 } }]
`), plan.World{Seed: 5})
	step := p.GetSteps()[0]
	starts, ends, never := map[float64]bool{}, map[float64]bool{}, 0
	for _, s := range step.GetSlots() {
		starts[sec(s.GetStartNanos())] = true
		if s.GetNeverBack() {
			never++
			if sec(s.GetEndNanos()) != 40 || sec(s.GetDeadlineNanos()) != 80 {
				t.Errorf("%s never returns, and ends at %g, at the latest at %g", s.GetHost(), sec(s.GetEndNanos()), sec(s.GetDeadlineNanos()))
			}
			continue
		}
		ends[sec(s.GetEndNanos())] = true
		if got := sec(s.GetDeadlineNanos()); got != 30+10+30+10 {
			t.Errorf("%s's deadline is %g", s.GetHost(), got)
		}
	}
	if len(starts) != 3 || !starts[0] || !starts[2] || !starts[4] {
		t.Errorf("starts %v, want 0, 2 and 4", starts)
	}
	if len(ends) != 2 || !ends[30] || !ends[40] || never != 1 {
		t.Errorf("ends %v and %d never, want 30 and 40 and one", ends, never)
	}
	if step.GetBootTokens() != 2 || step.GetBootLimitNanos() != 30e9 || step.GetFault().GetPowerOff().GetBack().GetSpread().GetNanos() != 10e9 {
		t.Errorf("step %v", step)
	}
}

func TestOtherFaultsEndWithTenSecondsOfGrace(t *testing.T) {
	p, _ := planned(t, at("", `  - { phase: p, faults: [dns.fail: { target: machines, for: 20s }] }`), plan.World{})
	for _, s := range p.GetSteps()[0].GetSlots() {
		if sec(s.GetEndNanos()) != 20 || sec(s.GetDeadlineNanos()) != 30 {
			t.Errorf("%v", s)
		}
	}
	if sec(p.GetDeadlineNanos()) != 30 || sec(p.GetLeaseNanos()) != 10 {
		t.Errorf("deadline %g, lease %g", sec(p.GetDeadlineNanos()), sec(p.GetLeaseNanos()))
	}
}

func TestAdHocPlansWithDefaults(t *testing.T) {
	fault, _ := experiments.NewFault("dns.fail")
	e := experiments.AdHoc(fault, nil, &pb.Target{Zone: []string{"zone-b"}}, 20*time.Second)
	p := plan.Make(e, experiments.Source{}, plan.World{Hosts: region(), Seed: 3})
	if len(p.GetProblems()) > 0 || len(p.GetSteps()) != 1 || len(p.GetSteps()[0].GetSlots()) != 3 || sec(p.GetLeaseNanos()) != 10 {
		t.Errorf("problems %v, steps %v, lease %d", p.GetProblems(), p.GetSteps(), p.GetLeaseNanos())
	}
	if share := p.GetSteps()[0].GetFault().GetDnsFail().GetShare(); share.GetFrom() != 1_000_000 {
		t.Errorf("share %v", share)
	}
	if len(plan.Admissible(p, e, plan.World{Hosts: region()})) > 0 {
		t.Error("it is not admissible")
	}
}

// TestAProbeFromNowhereIsOneProblem: that it runs nowhere follows from the place
// that does not exist.
func TestAProbeFromNowhereIsOneProblem(t *testing.T) {
	const text = `version: 1
name: trial
title: T
targets: { it: { zone: zone-a } }
probes: { up: { every: 1s, from: lit, tcp: "a:1" } }
timeline: [ { at: T+0s, phase: dark, faults: [ dns.fail: { target: it, for: 20s } ] } ]
`
	p, _ := planned(t, text, plan.World{})
	if len(p.GetProblems()) != 1 || !strings.Contains(p.GetProblems()[0].GetMessage(), `there is no target, role or zone "lit"`) {
		t.Errorf("it has %v", p.GetProblems())
	}
}
