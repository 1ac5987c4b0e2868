package e2e

import (
	"fmt"
	"os"
	"testing"
)

// plays is how often a scenario whose promise is about time may be played: a
// virtual machine of two processors is late by itself now and then.
const plays = 2

// load is the machine's mean over the last minute.
func load(t *testing.T) (mean float64) {
	t.Helper()
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(string(text), &mean); err != nil {
		t.Fatal(err)
	}
	return mean
}

// untilInTime plays a scenario whose promise is about time until it held, and
// tells of every time that it did not.
func untilInTime(t *testing.T, play func() (result, string)) result {
	t.Helper()
	for n := 1; ; n++ {
		r, complaint := play()
		switch {
		case complaint == "":
			return r
		case n == plays:
			t.Fatalf("%s, at a load of %.1f, %d times: %v", complaint, load(t), plays, r)
		}
		t.Logf("%s, at a load of %.1f: once more. It was: %v", complaint, load(t), r)
	}
}
