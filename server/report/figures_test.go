package report_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
	"squall/server/report"
)

const (
	expects  = pb.FindingKind_FINDING_KIND_EXPECT
	verifies = pb.FindingKind_FINDING_KIND_VERIFY
	gapped   = pb.FindingKind_FINDING_KIND_GAP
	holding  = pb.FindingState_FINDING_STATE_HOLDS
)

func after(nanos int64) *pb.Took { return &pb.Took{Nanos: nanos} }

// judgedRun is a run of one fault in the phase dark, with findings.
func judgedRun(findings ...*pb.Finding) *pb.Run {
	return &pb.Run{
		Verdict: pb.Verdict_VERDICT_PASS, Findings: findings,
		Plan: &pb.Plan{
			Phases: []*pb.PlannedPhase{{Name: "calm", EndNanos: 10e9}, {Name: "dark", StartNanos: 10e9, EndNanos: 30e9}, {Name: "after", StartNanos: 30e9, EndNanos: 40e9}},
			Steps:  []*pb.PlannedStep{{Id: "dark.power.off", StartNanos: 10e9, EndNanos: 30e9}},
			Probes: []*pb.PlannedProbe{{Name: "checkout", Probe: &pb.Probe{}}, {Name: "other", Probe: &pb.Probe{}}, {Name: "target/machines"}},
		},
	}
}

func gapOf(probe, phase string, nanos int64) *pb.Finding {
	return &pb.Finding{Kind: gapped, Name: probe, Phase: phase, Gap: &pb.Gap{LongestNanos: nanos}}
}

// What must come to hold within a time says how long it took to fail over; else
// the longest gap of what is expected, while faults were held.
func TestFiguresOfARun(t *testing.T) {
	served := &pb.Finding{Kind: expects, Name: "served", State: holding, Basis: []*pb.Basis{{Probe: "checkout"}, {Probe: "target/machines"}}}
	gaps := []*pb.Finding{gapOf("checkout", "dark", 4e9), gapOf("other", "dark", 9e9), gapOf("checkout", "calm", 7e9), gapOf("target/machines", "dark", 8e9)}
	moved := &pb.Finding{Kind: expects, Name: "fails over", State: holding, Took: after(3e9)}
	for name, c := range map[string]struct {
		run                *pb.Run
		failover, recovery *pb.Took
	}{
		"nothing is expected":   {judgedRun(gaps...), nil, nil},
		"no gap":                {judgedRun(served), after(0), nil},
		"the longest gap":       {judgedRun(append(gaps, served)...), after(4e9), nil},
		"within a time":         {judgedRun(append(gaps, served, moved)...), after(3e9), nil},
		"never":                 {judgedRun(moved, &pb.Finding{Kind: expects, Took: &pb.Took{Never: true}}), &pb.Took{Never: true}, nil},
		"the last that is back": {judgedRun(&pb.Finding{Kind: verifies, Took: after(2e9)}, &pb.Finding{Kind: verifies, Took: after(5e9)}, &pb.Finding{Kind: verifies}), nil, after(5e9)},
	} {
		f := report.Figures(c.run)
		if !proto.Equal(f.GetFailover(), c.failover) || !proto.Equal(f.GetRecovery(), c.recovery) {
			t.Errorf("%s: %v", name, f)
		}
	}
}

// That nothing failed may be that nothing was heard: a run of which nothing was
// learnt tells no times, and none does of what lacks data.
func TestMissingDataTakesNoTime(t *testing.T) {
	const unknown = pb.FindingState_FINDING_STATE_UNKNOWN
	served := func(s pb.FindingState) *pb.Finding {
		return &pb.Finding{Kind: expects, Name: "served", State: s, Basis: []*pb.Basis{{Probe: "checkout"}}}
	}
	moved := func(s pb.FindingState, took *pb.Took) *pb.Finding {
		return &pb.Finding{Kind: expects, Name: "fails over", State: s, Took: took}
	}
	back := func(s pb.FindingState, took *pb.Took) *pb.Finding {
		return &pb.Finding{Kind: verifies, State: s, Took: took}
	}
	const inconclusive, fail = pb.Verdict_VERDICT_INCONCLUSIVE, pb.Verdict_VERDICT_FAIL
	for name, c := range map[string]struct {
		verdict            pb.Verdict
		findings           []*pb.Finding
		failover, recovery *pb.Took
	}{
		"no fault bit, so that there is no gap":  {inconclusive, []*pb.Finding{served(holding), back(holding, after(0))}, nil, nil},
		"no data, so that it never held":         {inconclusive, []*pb.Finding{moved(unknown, &pb.Took{Never: true}), back(unknown, nil)}, nil, nil},
		"it failed, and one has no data":         {fail, []*pb.Finding{served(unknown), back(pb.FindingState_FINDING_STATE_BROKEN, &pb.Took{Never: true})}, nil, &pb.Took{Never: true}},
		"it failed, and never may be no data":    {fail, []*pb.Finding{served(pb.FindingState_FINDING_STATE_BROKEN), moved(unknown, &pb.Took{Never: true})}, nil, nil},
		"it failed, and nobody knows of the end": {fail, []*pb.Finding{moved(pb.FindingState_FINDING_STATE_BROKEN, after(9e9)), back(holding, after(2e9)), back(unknown, nil)}, after(9e9), nil},
	} {
		r := judgedRun(c.findings...)
		r.Verdict = c.verdict
		f := report.Figures(r)
		if !proto.Equal(f.GetFailover(), c.failover) || !proto.Equal(f.GetRecovery(), c.recovery) {
			t.Errorf("%s: %v", name, f)
		}
		if len(f.GetExpect()) == 0 {
			t.Errorf("%s: its expectations are not told", name)
		}
	}
}

// Figures are small, however large a file is, and nobody's who did not see the end.
func TestFiguresAreBounded(t *testing.T) {
	r := judgedRun()
	for range 100 {
		f := &pb.Finding{Kind: expects, Name: strings.Repeat("ü", 5000)}
		for range 100 {
			f.Worst = append(f.Worst, &pb.Extreme{Value: "checkout.success", Op: ">="})
		}
		r.Findings = append(r.Findings, f)
	}
	if n := proto.Size(report.Figures(r)); n > 10<<10 {
		t.Errorf("figures of %d bytes", n)
	}
	for _, v := range []pb.Verdict{pb.Verdict_VERDICT_ABORTED, pb.Verdict_VERDICT_HALTED, pb.Verdict_VERDICT_NOT_STARTED, pb.Verdict_VERDICT_ERROR, pb.Verdict_VERDICT_UNSPECIFIED} {
		r.Verdict = v
		if report.Figures(r) != nil {
			t.Errorf("%v has figures", v)
		}
	}
}
