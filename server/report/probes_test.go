package report_test

import (
	"testing"

	"squall/proto/hist"
	pb "squall/proto/squall/v1"
	"squall/server/report"
	"squall/server/state"
)

// A probe of which no attempt was good has no latency: 0 ms would be the best ever.
func TestProbesTellLatenciesOfGoodAttemptsAlone(t *testing.T) {
	took := &pb.Histogram{}
	hist.Add(took, 40e6)
	r := report.Of(state.New().View(), &pb.Run{
		Plan: &pb.Plan{Probes: []*pb.PlannedProbe{{Name: "dead"}, {Name: "shop"}, {Name: "silent"}}},
		Totals: []*pb.ProbeTotal{
			{Total: &pb.Window{Probe: "dead", Count: 9}},
			{Total: &pb.Window{Probe: "shop", Count: 9, Success: 1, Latency: took}},
		},
	})
	if len(r.GetProbes()) != 2 {
		t.Fatalf("probes: %v", r.GetProbes())
	}
	if p := r.GetProbes()[0]; p.P50Millis != nil || p.P95Millis != nil || p.P99Millis != nil {
		t.Errorf("without a good attempt: %v", p)
	}
	if p := r.GetProbes()[1]; p.GetP50Millis() < 39 || p.GetP95Millis() > 41 {
		t.Errorf("with a good attempt of 40 ms: %v", p)
	}
}
