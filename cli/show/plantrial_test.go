package show_test

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"squall/cli/show"
	"squall/experiments"
	"squall/experiments/plan"
	pb "squall/proto/squall/v1"
)

const tried = `version: 1
name: tried
title: What the probes show
zones: { dark: [zone-a] }
targets: { machines: { zone: dark }, rest: { zone: [zone-b, zone-c] } }
guardrails: { environments: [staging], max_zones: 1 }
probes:
  checkout: { every: 1s, timeout: 1s, from: rest, http: "http://shop.test/" }
  backlog: { every: 5s, timeout: 2s, promql: { url: "http://prom.test", query: backlog } }
steady_state: { over: 10s, all: [checkout.success >= 0.99, backlog.value < 50, checkout.p95 < 300] }
timeline:
  - { at: T+0s, phase: nameless, faults: [dns.fail: { target: machines, for: 30s }] }
expect:
  - { name: served, check: checkout.success >= 0.9, during: nameless }
abort:
  - { name: hurt, when: checkout.success < 0.95, for: 3s }
  - { name: queue, when: backlog.value > 500, for: 5s }
`

// TestPlansTellWhatProbesShow: the present value, who failed and why, the gate
// and the rules; and why nothing was tried where nothing was.
func TestPlansTellWhatProbesShow(t *testing.T) {
	e, at, problems := experiments.Decode("tried.yaml", []byte(tried))
	if problems != nil {
		t.Fatal(problems)
	}
	p := plan.Make(e, at, plan.World{Hosts: fleet(t, "../../experiments/plan/testdata/fleet.yaml"), Seed: 91})
	p.Trial = &pb.Trial{Untried: "a fleet file has no hosts to ask"}
	golden(t, "testdata/untried.golden", show.Plan(p, e))
	failed := func(host string) *pb.Attempt { return &pb.Attempt{Host: host, Error: "connection refused"} }
	p.Trial = &pb.Trial{
		Probes: []*pb.ProbeTrial{
			{Probe: "checkout", Attempts: []*pb.Attempt{
				{Host: "web-b1", Ok: true, DurationNanos: 12_345_678},
				failed("web-b2"), failed("web-c1"), failed("web-c2"), failed("api-c1"),
				{Host: "api-b1", Missing: true, Error: "the agent did not answer in time"},
			}},
			{Probe: "backlog", Attempts: []*pb.Attempt{{Server: "s1", Ok: true, DurationNanos: 432_100, Value: proto.Float64(17.5)}}},
		},
		SteadyState: []*pb.RuleTrial{
			{Name: "checkout.success >= 0.99", Seen: "checkout.success >= 0.99 (checkout.success 0.2)", Holds: proto.Bool(false)},
			{Name: "backlog.value < 50", Seen: "backlog.value < 50 (backlog.value 17.5)", Holds: proto.Bool(true)},
			{Name: "checkout.p95 < 300", Unknown: "checkout was not tried everywhere"},
		},
		Abort: []*pb.RuleTrial{
			{Name: "hurt", Seen: "checkout.success < 0.95 (checkout.success 0.2)", Holds: proto.Bool(true)},
			{Name: "queue", Seen: "backlog.value > 500 (backlog.value 17.5)", Holds: proto.Bool(false)},
		},
	}
	golden(t, "testdata/tried.golden", show.Plan(p, e))
}
