package judge_test

import (
	"strings"
	"testing"

	pb "squall/proto/squall/v1"
)

func attempts(probe string, list ...*pb.Attempt) *pb.ProbeTrial {
	return &pb.ProbeTrial{Probe: probe, Attempts: list}
}

func at(host string, ok bool) *pb.Attempt {
	return &pb.Attempt{Host: host, Ok: ok, DurationNanos: 40e6}
}

// TestATrialSaysWhatTheGateWould: one attempt of each probe, judged as the gate
// and the abort rules are in a run.
func TestATrialSaysWhatTheGateWould(t *testing.T) {
	value := 17.0
	missing := &pb.Attempt{Host: "b1", Error: "no answer", Missing: true}
	for _, c := range []struct {
		name, expression string
		tried            []*pb.ProbeTrial
		// want is met, unmet, or why it can't be known; seen what must be shown.
		want, seen string
	}{
		{"all succeed", "checkout.success >= 0.99", []*pb.ProbeTrial{attempts("checkout", at("b1", true), at("c1", true))}, "met", "checkout.success 1"},
		{"one of two fails", "checkout.success >= 0.99", []*pb.ProbeTrial{attempts("checkout", at("b1", true), at("c1", false))}, "unmet", "checkout.success 0.5"},
		{"latency is in milliseconds", "checkout.p95 < 30", []*pb.ProbeTrial{attempts("checkout", at("b1", true), at("c1", true))}, "unmet", "checkout.p95 4"},
		{"no latency without success", "checkout.p95 < 30", []*pb.ProbeTrial{attempts("checkout", at("b1", false), at("c1", false))}, "checkout never succeeded", "no data"},
		{"a host that did not answer", "checkout.success >= 0.5", []*pb.ProbeTrial{attempts("checkout", missing, at("c1", true))}, "checkout was not tried everywhere", "no data"},
		{"no value", "slow.value < 5", []*pb.ProbeTrial{attempts("slow", &pb.Attempt{Server: "s1", Ok: true})}, "no attempt gave the value that it names", "no data"},
		{"the servers' value", "slow.value < 5", []*pb.ProbeTrial{attempts("slow", &pb.Attempt{Server: "s1", Ok: true, Value: &value})}, "unmet", "slow.value 17"},
		{"hosts alive", "machines.alive == machines.total", []*pb.ProbeTrial{attempts("target/machines", at("a1", true), at("a2", true))}, "met", "machines.alive 2"},
		{"one host dead", "machines.alive_share == 1", []*pb.ProbeTrial{attempts("target/machines", at("a1", true), at("a2", false))}, "unmet", "machines.alive_share 0.5"},
		{"nothing is left over before", "residue.count == 0", nil, "met", "residue"},
		{"fresh is of age nought", "checkout.age < 1", []*pb.ProbeTrial{attempts("checkout", at("b1", true), at("c1", true))}, "met", "checkout.age 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, j := compiled(t, "steady_state: { over: 20s, all: [\""+c.expression+"\"] }\nabort:\n  - { name: rule, when: \""+c.expression+"\", for: 5s }\n")
			steady, abort := j.Trial(trialPlan(), c.tried)
			for name, r := range map[string]*pb.RuleTrial{c.expression: steady[0], "rule": abort[0]} {
				if r.GetName() != name || stands(r) != c.want || !strings.Contains(r.GetSeen(), c.seen) {
					t.Errorf("%s: %s, seen %q, want %s, %q", r.GetName(), stands(r), r.GetSeen(), c.want, c.seen)
				}
			}
		})
	}
}

func stands(r *pb.RuleTrial) string {
	switch {
	case r.Holds == nil:
		return r.GetUnknown()
	case r.GetHolds():
		return "met"
	}
	return "unmet"
}

func trialPlan() *pb.Plan {
	p := &pb.Plan{Probes: []*pb.PlannedProbe{
		{Name: "checkout", Hosts: []string{"b1", "c1"}, Probe: &pb.Probe{}},
		{Name: "slow", Control: true, Probe: &pb.Probe{}},
		{Name: "target/machines", Hosts: []string{"a1", "a2"}},
	}}
	for _, name := range []string{"a1", "a2", "b1", "c1"} {
		p.Hosts = append(p.Hosts, &pb.PlannedHost{Name: name, Zone: "zone-" + name[:1]})
	}
	return p
}
