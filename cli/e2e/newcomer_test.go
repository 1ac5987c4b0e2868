package e2e

import (
	"os"
	"strings"
	"testing"

	"squall/agent/host/hosttest"
)

// TestANewcomerFollowsTheREADME types the commands of its tour of the lab, one
// after the other, as they stand there.
func TestANewcomerFollowsTheREADME(t *testing.T) {
	hosttest.RequireRoot(t)
	long(t)
	tour := readTour(t)
	if len(tour) < 5 || tour[0][0] != "lab" || tour[len(tour)-1][1] != "down" {
		t.Fatalf("the README's tour is %v", tour)
	}
	d := newDesk(t)
	t.Cleanup(func() { d.must(t, 0, nil, "lab", "down") })
	for _, words := range tour {
		untilInTime(t, func() (result, string) {
			r := d.squall(t, words...)
			if r.code != 0 {
				return r, "a command of the README did not end well"
			}
			t.Logf("%s took %v", r.line, r.took)
			return r, ""
		})
	}
}

// readTour reads the commands of the README's first block that brings a lab up,
// until it is down again.
func readTour(t *testing.T) (tour [][]string) {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(readme), "bin/squall lab up")
	block, _, _ := strings.Cut("bin/squall lab up"+rest, "```")
	for line := range strings.Lines(block) {
		command, _, _ := strings.Cut(line, "#")
		if words, ok := strings.CutPrefix(strings.TrimSpace(command), "bin/squall "); ok {
			tour = append(tour, unquoted(words))
		}
	}
	return tour
}

// unquoted splits a command line whose quoted words have no quotes in them.
func unquoted(line string) (words []string) {
	for i, part := range strings.Split(line, `"`) {
		if i%2 == 1 {
			words = append(words, part)
		} else {
			words = append(words, strings.Fields(part)...)
		}
	}
	return words
}
