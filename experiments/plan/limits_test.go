package plan_test

import (
	"maps"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"squall/experiments"
	"squall/experiments/plan"
	pb "squall/proto/squall/v1"
)

// with is an experiment with guardrails that darkens what a target says.
func with(guardrails, target, fault string) string {
	return "version: 1\nname: trial\nguardrails: { " + guardrails + " }\ntargets: { it: { " + target + " } }\n" +
		"timeline: [{ phase: p, faults: [" + fault + "] }]\n"
}

const dark = "power.off: { target: it, for: 30s }"

// change alters one host of the region.
func change(name string, f func(*pb.Host)) []*pb.Host {
	hosts := region()
	for _, h := range hosts {
		if h.GetName() == name {
			f(h)
		}
	}
	return hosts
}

// without is the region with a zone whose hosts are all lost.
func without(zone string) []*pb.Host {
	hosts := region()
	for _, h := range hosts {
		if h.GetZone() == zone {
			h.Presence = pb.Presence_PRESENCE_LOST
		}
	}
	return hosts
}

func TestPhaseThatEndsBeforeAnAttemptThatHangsIsRefused(t *testing.T) {
	const slow = "probes: { shop: { every: 1s, timeout: 30s, from: zone-b, tcp: \"a:1\" } }\nexpect: [{ name: x, check: shop.success > 0.9, during: p }]\ntimeline"
	refused := func(timeout string) bool {
		p, _ := planned(t, strings.Replace(with("", "zone: zone-a", dark), "timeline", strings.Replace(slow, "30s", timeout, 1), 1), plan.World{})
		return strings.Contains(experiments.Problems(p.GetProblems()).Error(), `phase "p" lasts 30s, and an attempt of shop up to `+timeout)
	}
	if !refused("30s") || refused("29s") {
		t.Errorf("30s: %t, 29s: %t", refused("30s"), refused("29s"))
	}
}

func TestRefusals(t *testing.T) {
	missing := func(name string) func(*pb.Host) {
		return func(h *pb.Host) {
			h.Abilities = []*pb.Ability{{Name: name, State: pb.AbilityState_ABILITY_STATE_MISSING, Detail: "no tcx in this kernel"}}
		}
	}
	for _, c := range []struct {
		name, text string
		hosts      []*pb.Host
		refusal    pb.Refusal
		says       string
	}{
		{"max_zones", with("max_zones: 1", "zone: [zone-a, zone-b]", dark), nil, pb.Refusal_REFUSAL_GUARDRAIL, "guardrail max_zones: 2 zones with a fault at one time, and at most 1"},
		{"max_hosts as a share", with("max_hosts: 20%", "zone: zone-a", dark), nil, pb.Refusal_REFUSAL_GUARDRAIL, "guardrail max_hosts: 3 of 9 (33%) hosts with a fault at one time, and at most 20%"},
		{"max_hosts as a count", with("max_hosts: 2", "zone: zone-a", dark), nil, pb.Refusal_REFUSAL_GUARDRAIL, "guardrail max_hosts: 3 hosts"},
		{"keep", with("keep: { role: db, count: 3 }", "zone: zone-a", dark), nil, pb.Refusal_REFUSAL_GUARDRAIL, "only 2 connected hosts of role db stay untouched, and 3 must"},
		{"environments", with("environments: [staging]", "zone: zone-a", dark), nil, pb.Refusal_REFUSAL_GUARDRAIL, `in environment "lab", and only staging`},
		{"region-wide", with("max_zones: 3", "zone: [zone-a, zone-b, zone-c], role: db", dark), nil, pb.Refusal_REFUSAL_GUARDRAIL, "all 3 zones have a fault at one time"},
		{"max_runtime", with("max_runtime: 20s", "zone: zone-a", dark), nil, pb.Refusal_REFUSAL_GUARDRAIL, "the run takes 30s, and may take 20s"},
		{"a protected host by name", with("protect: [role=db]", "host: db-a3", dark), nil, pb.Refusal_REFUSAL_GUARDRAIL, "db-a3 can't be touched: protected by role=db"},
		{"squall: never by name", with("", "host: db-a3", dark), change("db-a3", func(h *pb.Host) { h.Squall = pb.SquallPolicy_SQUALL_POLICY_NEVER }), pb.Refusal_REFUSAL_HOST, "its own config says `squall: never`"},
		{"an empty target", with("", "zone: zone-a, role: worker", dark), nil, pb.Refusal_REFUSAL_EMPTY_TARGET, `target "it" of step p.power.off selects no host: none of the 3 hosts in zone zone-a has role worker`},
		{"nothing left to inject", with("empty_target: skip", "zone: zone-a, role: worker", dark), nil, pb.Refusal_REFUSAL_EMPTY_TARGET, "there is no fault left to inject"},
		{
			"a zone that is gone, and counted", strings.Replace(with("", "zone: zone-a", dark), "timeline", "zones: { lit: [zone-b, zone-c] }\nexpect: [{ name: x, during: p, check: \"zones.lit.all(z, z.alive_share > 0.9)\" }]\ntimeline", 1),
			without("zone-c"), pb.Refusal_REFUSAL_ABSENT, `db-c3, web-c1, web-c2 are not connected, and an expression counts the hosts of "lit"`,
		},
		{
			"a host that is gone, and counted", strings.Replace(with("", "zone: zone-a", dark), "timeline", "zones: { lit: [zone-b, zone-c] }\nexpect: [{ name: x, during: p, check: \"zones.lit.all(z, z.alive == z.total)\" }]\ntimeline", 1),
			change("web-c1", func(h *pb.Host) { h.Presence = pb.Presence_PRESENCE_LOST }), pb.Refusal_REFUSAL_ABSENT, `web-c1 is not connected, and an expression counts the hosts of "lit"`,
		},
		{"an unknown zone", with("", "zone: zone-x", dark), nil, pb.Refusal_REFUSAL_UNKNOWN, `there is no zone "zone-x"`},
		{"an unknown host", with("", "host: web-a9", dark), nil, pb.Refusal_REFUSAL_UNKNOWN, `there is no host "web-a9"`},
		{"a host that is gone", with("", "zone: zone-a", dark), change("web-a1", func(h *pb.Host) { h.Presence = pb.Presence_PRESENCE_LOST }), pb.Refusal_REFUSAL_ABSENT, "web-a1 is not connected"},
		{"a missing mechanism", with("", "zone: zone-a", dark), change("web-a1", missing("silence")), pb.Refusal_REFUSAL_HOST, "web-a1 can't do power.off: silence is missing: no tcx in this kernel"},
		{
			"a command that no config has", strings.Replace(with("", "zone: zone-a", dark), "timeline", "probes: { rows: { from: it, exec: rows } }\ntimeline", 1),
			change("web-a1", func(h *pb.Host) { h.Commands = []string{"rows"} }), pb.Refusal_REFUSAL_HOST, `db-a3, web-a2 are without command "rows"`,
		},
		{"a missing journal", with("", "zone: zone-a", "dns.fail: { target: it, for: 5s }"), change("web-a1", missing("journal")), pb.Refusal_REFUSAL_HOST, "journal is missing"},
		{"a fault that the host refuses", with("", "zone: zone-a", dark), change("web-a1", func(h *pb.Host) { h.Refuse = []string{"power.off"} }), pb.Refusal_REFUSAL_HOST, "web-a1's own config refuses power.off"},
		{"undeclared: kill", with("", "zone: zone-a", "power.off: { target: it, for: 5s, undeclared: kill }"), nil, pb.Refusal_REFUSAL_HOST, "refuses `undeclared: kill`"},
		{"lost_contact: hold", with("", "zone: zone-a", "power.off: { target: it, for: 5s, lost_contact: hold }"), nil, pb.Refusal_REFUSAL_HOST, "refuses `lost_contact: hold`"},
		{"max_hold", with("", "zone: zone-a", dark), change("web-a1", func(h *pb.Host) { h.MaxHold = &pb.Span{Nanos: 20e9} }), pb.Refusal_REFUSAL_HOST, "refuses faults longer than 20s: p.power.off lasts 30s"},
		{"no way back", with("", "zone: zone-a", dark), change("db-a3", func(h *pb.Host) { h.Workloads[0].CanStart = proto.Bool(false) }), pb.Refusal_REFUSAL_NO_WAY_BACK, `workload "db" on db-a3 has no way back`},
		{"one resolver, two faults", with("", "zone: zone-a", "dns.fail: { target: it, for: 5s }, dns.fail: { target: it, for: 9s }"), nil, pb.Refusal_REFUSAL_CLAIM, "p.dns.fail and p.dns.fail.2 both take host/db-a3/dns"},
		{"peers without an address", with("", "zone: zone-a", "net.delay: { target: it, delay: 9ms, for: 5s, to: { room: attic } }"), nil, pb.Refusal_REFUSAL_EMPTY_TARGET, "the peers have no address"},
		{"a flap", with("", "zone: zone-a", "dns.fail: { target: it, for: 50s, flap: { period: 5s } }"), nil, pb.Refusal_REFUSAL_UNSUPPORTED, "this build has no flapping faults"},
		{"another mode", with("", "zone: zone-a", "power.off: { target: it, for: 50s, mode: reset }"), nil, pb.Refusal_REFUSAL_UNSUPPORTED, "this build has no power.off mode reset"},
		{"single names", with("", "zone: zone-a", "dns.fail: { target: it, for: 50s, names: [a.test] }"), nil, pb.Refusal_REFUSAL_UNSUPPORTED, "this build has no dns.fail for single names"},
		{"approvals", with("approvals: 2", "zone: zone-a", dark), nil, pb.Refusal_REFUSAL_UNSUPPORTED, "this build has no approvals"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, e := planned(t, c.text, plan.World{Hosts: c.hosts})
			found := false
			for _, problem := range p.GetProblems() {
				found = found || problem.GetRefusal() == c.refusal && strings.Contains(problem.GetMessage(), c.says) && problem.GetFix() != ""
			}
			if !found {
				t.Errorf("no %v with %q and a fix in %v", c.refusal, c.says, experiments.Problems(p.GetProblems()).Error())
			}
			if c.refusal == pb.Refusal_REFUSAL_GUARDRAIL && !strings.Contains(c.name, "by name") {
				hosts := c.hosts
				if hosts == nil {
					hosts = region()
				}
				if len(plan.Admissible(p, e, plan.World{Hosts: hosts})) == 0 {
					t.Error("admission would let it in")
				}
			}
		})
	}
}

// TestUnknownZoneSelectsNothing: a misspelt zone is told as that, and not as a
// fault in every zone.
func TestUnknownZoneSelectsNothing(t *testing.T) {
	p, _ := planned(t, with("", "zone: zone-x", dark), plan.World{})
	says := experiments.Problems(p.GetProblems()).Error()
	if !strings.Contains(says, `there is no zone "zone-x"`) {
		t.Errorf("the zone is not named:\n%s", says)
	}
	if strings.Contains(says, "allow_region_wide") {
		t.Errorf("it selects every zone:\n%s", says)
	}
}

func TestNoProblems(t *testing.T) {
	for name, text := range map[string]string{
		"a fault that follows another at once":      with("max_hosts: 3", "zone: zone-a", "dns.fail: { target: it, for: 5s }, dns.fail: { target: it, at: T+5s, for: 9s }"),
		"darkness and delay on one host":            with("", "zone: zone-a", dark+", net.delay: { target: it, delay: 9ms, for: 5s }"),
		"back: none needs no way back":              with("", "zone: zone-a", "power.off: { target: it, for: 5s, back: none }"),
		"an empty target that may be skipped":       strings.Replace(with("empty_target: skip", "zone: zone-a, role: worker", dark+", dns.fail: { target: all, for: 5s }"), "targets: {", "targets: { all: { zone: zone-a },", 1),
		"protected hosts are left out of a zone":    with("protect: [role=db], keep: { role: db, count: 3 }", "zone: zone-a", dark),
		"a region-wide fault that is meant":         with("allow_region_wide: true", "role: web", "dns.fail: { target: it, for: 5s }"),
		"zones that follow one another":             rolling,
		"one host of a zone, for a single workload": with("", "zone: zone-a, workload: db", "power.off: { target: it, for: 5s }"),
	} {
		t.Run(name, func(t *testing.T) {
			p, _ := planned(t, text, plan.World{})
			if len(p.GetProblems()) > 0 {
				t.Error(experiments.Problems(p.GetProblems()).Error())
			}
		})
	}
}

const rolling = `version: 1
name: rolling
guardrails: { max_zones: 1, max_hosts: 3 }
targets: { one: { zone: zone-a }, two: { zone: zone-b }, three: { zone: zone-c } }
timeline:
  - { phase: a, faults: [dns.fail: { target: one, for: 10s }] }
  - { at: T+10s, phase: b, faults: [dns.fail: { target: two, for: 10s }] }
  - { at: T+20s, phase: c, faults: [dns.fail: { target: three, for: 10s }] }
`

func TestTwoRunsCanNotBothSlipThrough(t *testing.T) {
	first, _ := planned(t, with("max_zones: 1", "zone: zone-a", dark), plan.World{})
	second, e := planned(t, with("max_zones: 1", "zone: zone-b", dark), plan.World{})
	same, f := planned(t, with("", "zone: zone-a", "dns.fail: { target: it, for: 5s }"), plan.World{})
	const t0 = int64(1000e9)
	after := t0 + first.GetDeadlineNanos()
	over := map[plan.On]bool{}
	for _, slot := range first.GetSteps()[0].GetSlots()[1:] {
		over[plan.On{Step: first.GetSteps()[0].GetId(), Host: slot.GetHost()}] = true
	}
	allOver := maps.Clone(over)
	allOver[plan.On{Step: first.GetSteps()[0].GetId(), Host: first.GetSteps()[0].GetSlots()[0].GetHost()}] = true
	for _, c := range []struct {
		name   string
		plan   *pb.Plan
		e      *pb.Experiment
		active plan.Active
		now    int64
		want   pb.Refusal
	}{
		{"another zone at one time", second, e, plan.Active{Run: "r1", Plan: first, T0UnixNanos: t0}, t0 + 5e9, pb.Refusal_REFUSAL_GUARDRAIL},
		{"another zone before the first has fired", second, e, plan.Active{Run: "r1", Plan: first}, t0, pb.Refusal_REFUSAL_GUARDRAIL},
		{"another zone after every deadline", second, e, plan.Active{Run: "r1", Plan: first, T0UnixNanos: t0}, after, 0},
		{"a dark host", same, f, plan.Active{Run: "r1", Plan: first, T0UnixNanos: t0}, t0 + 5e9, pb.Refusal_REFUSAL_CLAIM},
		{"a host that was dark", same, f, plan.Active{Run: "r1", Plan: first, T0UnixNanos: t0}, after, 0},
		{"a host that came back early", same, f, plan.Active{Run: "r1", Plan: first, T0UnixNanos: t0, Over: has(allOver)}, t0 + 5e9, 0},
		{"a host that is still dark among others that came back", same, f, plan.Active{Run: "r1", Plan: first, T0UnixNanos: t0, Over: has(over)}, t0 + 5e9, pb.Refusal_REFUSAL_CLAIM},
		{"another zone while the first is still watched", second, e, plan.Active{Run: "r1", Plan: first, T0UnixNanos: t0, Over: has(allOver)}, t0 + 5e9, pb.Refusal_REFUSAL_GUARDRAIL},
		{"another zone, no guardrail", same, f, plan.Active{Run: "r2", Plan: second, T0UnixNanos: t0}, t0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			problems := plan.Admissible(c.plan, c.e, plan.World{Hosts: region(), Active: []plan.Active{c.active}, NowUnixNanos: c.now})
			switch {
			case c.want == 0 && len(problems) > 0:
				t.Errorf("refused: %v", problems)
			case c.want != 0 && (len(problems) != 1 || problems[0].GetRefusal() != c.want || !strings.Contains(problems[0].GetMessage(), c.active.Run)):
				t.Errorf("want one %v that names the run: %v", c.want, problems)
			}
		})
	}
}

// has tells which steps are over.
func has(over map[plan.On]bool) func(plan.On) bool {
	return func(on plan.On) bool { return over[on] }
}

func TestClusterGuardrailsOutrankTheFiles(t *testing.T) {
	cluster := &pb.Guardrails{
		MaxHosts: &pb.Amount{Of: &pb.Amount_Count{Count: 2}}, Protect: []string{"role=db"}, Lease: &pb.Span{Nanos: 6e9},
	}
	p, _ := planned(t, with("max_hosts: 90%", "zone: [zone-a, zone-b]", dark), plan.World{Guardrails: cluster})
	text := experiments.Problems(p.GetProblems()).Error()
	if !strings.Contains(text, "guardrail max_hosts of the cluster: 4 hosts") {
		t.Errorf("problems: %s", text)
	}
	if len(p.GetSteps()[0].GetSlots()) != 4 || p.GetLeaseNanos() != 6e9 {
		t.Errorf("slots %v, lease %d", p.GetSteps()[0].GetSlots(), p.GetLeaseNanos())
	}
}

func TestPeersBecomeOneSetByDigest(t *testing.T) {
	text := "version: 1\nname: trial\nzones: { near: [zone-b, zone-c] }\ntargets: { it: { zone: zone-a } }\ntimeline: [{ phase: p, faults: [" +
		"net.delay: { target: it, delay: 9ms, for: 5s, to: { zone: near, prefix: [10.9.0.0/16, 10.1.1.1] } }," +
		"net.delay: { target: it, delay: 9ms, at: T+9s, for: 5s, to: { prefix: [10.9.0.0/16], zone: [zone-c, zone-b] } }] }]\n"
	p, _ := planned(t, text, plan.World{})
	sets := p.GetAddressSets()
	if len(p.GetProblems()) > 0 || len(sets) != 1 || len(sets[0].GetPrefix()) != 13 {
		t.Fatalf("problems %v, sets %v", p.GetProblems(), sets)
	}
	for _, s := range p.GetSteps() {
		if s.GetAddressSet() != sets[0].GetDigest() || len(s.GetAddressSet()) != 64 {
			t.Errorf("%s names %q", s.GetId(), s.GetAddressSet())
		}
	}
	if got := sets[0].GetPrefix()[0] + " " + sets[0].GetPrefix()[12]; got != "10.1.1.1/32 fd00::2:3/128" {
		t.Errorf("prefixes %v", sets[0].GetPrefix())
	}
}

func TestPickDependsOnTheSeedAlone(t *testing.T) {
	text := with("", "role: web, pick: 2", dark)
	picked := func(seed uint64, hosts []*pb.Host) string {
		p, _ := planned(t, text, plan.World{Seed: seed, Hosts: hosts})
		return p.GetSteps()[0].GetSlots()[0].GetHost() + " " + p.GetSteps()[0].GetSlots()[1].GetHost()
	}
	reversed := region()
	for i, k := 0, len(reversed)-1; i < k; i, k = i+1, k-1 {
		reversed[i], reversed[k] = reversed[k], reversed[i]
	}
	seen := map[string]bool{}
	for seed := range uint64(20) {
		got := picked(seed, region())
		seen[got] = true
		if again := picked(seed, reversed); again != got {
			t.Errorf("seed %d picks %s, and %s from the same hosts in another order", seed, got, again)
		}
	}
	if len(seen) < 5 {
		t.Errorf("20 seeds give only %v", seen)
	}
}
