package e2e

import (
	"fmt"
	"os"
	"testing"
)

// busyLoad is the load from which a machine of few processors is late by itself.
const busyLoad = 4.0

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

// twiceWhenBusy plays a scenario whose promise is about time. Where it did not
// hold and the machine was busy with other things, it has one more chance.
func twiceWhenBusy(t *testing.T, play func() (result, string)) result {
	t.Helper()
	r, complaint := play()
	if now := load(t); complaint != "" && now > busyLoad {
		t.Logf("%s, but the load was %.1f: once more. It was: %v", complaint, now, r)
		r, complaint = play()
	}
	if complaint != "" {
		t.Fatalf("%s, at a load of %.1f: %v", complaint, load(t), r)
	}
	return r
}
