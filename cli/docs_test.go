package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"squall/experiments"
	pb "squall/proto/squall/v1"
)

// TestEveryRefusalIsDocumented: the table lists each refusal with the exit
// code that it has in code, and each exit code.
func TestEveryRefusalIsDocumented(t *testing.T) {
	doc, err := os.ReadFile("../docs/refusals.md")
	if err != nil {
		t.Fatal(err)
	}
	for number, name := range pb.Refusal_name {
		r := pb.Refusal(number)
		if r == pb.Refusal_REFUSAL_UNSPECIFIED {
			continue
		}
		row := fmt.Sprintf("| `%s` | %d |", strings.TrimPrefix(name, "REFUSAL_"), experiments.ExitCode(r))
		if !strings.Contains(string(doc), row) {
			t.Errorf("docs/refusals.md has no row %q", row)
		}
	}
	for number := range pb.Verdict_name {
		code := experiments.VerdictExitCode(pb.Verdict(number), false)
		if !strings.Contains(string(doc), fmt.Sprintf("\n| %d | ", code)) {
			t.Errorf("docs/refusals.md lacks exit code %d", code)
		}
	}
}
