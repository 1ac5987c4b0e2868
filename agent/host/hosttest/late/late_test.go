package late

import (
	"testing"
	"testing/synctest"
	"time"
)

// A machine that is in time is not late, and one that hung is, from then on.
func TestWorstIsTheLongestHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := Begin(t)
		time.Sleep(time.Second)
		if got := w.Worst(); got != 0 {
			t.Errorf("in time, and late by %s", got)
		}
		w.due = w.due.Add(-300 * time.Millisecond) // as if it had been due long ago
		if got := w.Worst(); got < 299*time.Millisecond || got > 301*time.Millisecond {
			t.Errorf("it hung for 300ms, and was late by %s", got)
		}
		time.Sleep(time.Second)
		if got := w.Worst(); got < 299*time.Millisecond || got > 301*time.Millisecond {
			t.Errorf("a second after a hang of 300ms it was late by %s", got)
		}
	})
}
