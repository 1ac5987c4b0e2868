package main

import (
	"strings"
	"testing"
	"time"

	pb "squall/proto/squall/v1"
)

// TestALabsWordsEndTheirLine: a lab file's `say` of one line has no line end of
// its own, and what comes next must not stand behind it.
func TestALabsWordsEndTheirLine(t *testing.T) {
	for say, want := range map[string]string{
		"":             "lab x is up after 1.5s\n",
		"Try this.":    "lab x is up after 1.5s\nTry this.\n",
		"Try\nthis.\n": "lab x is up after 1.5s\nTry\nthis.\n",
	} {
		var out strings.Builder
		(&app{stderr: &out}).sayUp(&pb.Lab{Name: "x", Say: say}, 1500*time.Millisecond)
		if got := out.String(); got != want {
			t.Errorf("%q is told as %q, want %q", say, got, want)
		}
	}
}
