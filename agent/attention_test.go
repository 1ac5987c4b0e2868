package agent

import (
	"testing"
	"time"
)

// Whoever was asleep itself does not take the other side for dead.
func TestOwnSleepIsNotTheOthersSilence(t *testing.T) {
	for _, c := range []struct {
		what   string
		looks  []int
		silent bool
	}{
		{"a silent other is noticed", []int{250, 500, 750, 1000, 1250}, true},
		{"a little late is no sleep", []int{400, 800, 1200}, true},
		{"one long sleep is forgiven", []int{250, 5000}, false},
		{"and then the other has a second", []int{250, 5000, 5250, 5500}, false},
		{"but no more", []int{250, 5000, 5250, 5500, 5750, 6000}, true},
	} {
		a, silent := listening(0), time.Duration(0)
		for _, at := range c.looks {
			silent = a.silent(time.Duration(at) * time.Millisecond)
		}
		if (silent > silence) != c.silent {
			t.Errorf("%s: silent for %s", c.what, silent)
		}
	}
}
