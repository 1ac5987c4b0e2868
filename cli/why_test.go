package main

import (
	"strings"
	"testing"

	pb "squall/proto/squall/v1"
)

func TestReportSaysWhoseReadingsAFindingRestsOn(t *testing.T) {
	r := &pb.RunReport{
		Summary: &pb.RunSummary{Id: "r"},
		Plan:    &pb.Plan{Probes: []*pb.PlannedProbe{{Name: "shop", Hosts: []string{"a1", "b1", "c1"}, Control: true}}},
		Findings: []*pb.Finding{{
			Kind: pb.FindingKind_FINDING_KIND_EXPECT, Name: "served", State: pb.FindingState_FINDING_STATE_UNKNOWN, Text: "no data",
			Basis: []*pb.Basis{
				{Probe: "shop", Heard: []byte{2}, Missing: []byte{4}, Dark: []byte{1}},
				{Probe: "shop", Control: true, Heard: []byte{5}},
			},
		}},
	}
	print := func(why bool) string {
		var b strings.Builder
		(&reportText{out: &b, report: r, why: why}).print()
		return b.String()
	}
	for _, want := range []string{"heard b1", "missing c1", "dark by plan a1", "heard server 1, server 3"} {
		if !strings.Contains(print(true), want) {
			t.Errorf("no %q in:\n%s", want, print(true))
		}
		if strings.Contains(print(false), want) {
			t.Errorf("%q is told unasked:\n%s", want, print(false))
		}
	}
}
