package judge_test

import (
	"testing"

	"squall/experiments/judge"
	pb "squall/proto/squall/v1"
)

// TestBitNamesTheEvidenceOnce: counters begin with their own name.
func TestBitNamesTheEvidenceOnce(t *testing.T) {
	for text, want := range map[string]string{
		"delayed: 0":                   "delayed: 0",
		"0 of 4 lookups got no answer": "delayed: 0 of 4 lookups got no answer",
	} {
		state, got := judge.Bit(&pb.StepStatus{Evidence: []*pb.Evidence{{Name: "delayed", Text: text}}})
		if state != pb.FindingState_FINDING_STATE_BROKEN || got != want {
			t.Errorf("%q is told as %v %q, want %q", text, state, got, want)
		}
	}
}
