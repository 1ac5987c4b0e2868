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

// heard is a test that notes how often it was failed.
type heard struct {
	testing.TB
	errors int
}

func (h *heard) Helper()               {}
func (h *heard) Logf(string, ...any)   {}
func (h *heard) Errorf(string, ...any) { h.errors++ }

// A machine in time excuses nothing, a late one a few times, and what is always
// wrong fails on any.
func TestOnlyALateMachineIsAnExcuse(t *testing.T) {
	for what, c := range map[string]struct {
		wrong, tolerance, tried, errors int
	}{
		"right at once":                  {0, 1, 1, 0},
		"wrong on a machine in time":     {1, 1, 1, 1},
		"wrong once on a late one":       {1, -1, 2, 0},
		"wrong always, on whatever kind": {1000, -1, tries, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			h, tried := &heard{TB: t}, 0
			Excuse(h, time.Duration(c.tolerance)*time.Millisecond, func() string {
				if tried++; tried <= c.wrong {
					return "it is wrong"
				}
				return ""
			})
			if tried != c.tried || h.errors != c.errors {
				t.Errorf("%s: tried %d times, failed %d times", what, tried, h.errors)
			}
		})
	}
}
