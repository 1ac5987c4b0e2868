// Package late measures how late the machine itself is while a test measures
// something else: on a busy one, all that is bounded in time comes later by as
// much, and is as right as before.
//
// It imports nothing of ours, so that the tests inside a package can use it too.
package late

import (
	"sync"
	"testing"
	"time"
)

// nap is how long the watch sleeps at a time.
const nap = time.Millisecond

// Watch measures how late its own sleeps end.
type Watch struct {
	mu    sync.Mutex // guards what follows
	due   time.Time
	worst time.Duration
}

// Begin starts a watch, which ends with the test. It is for real time alone.
func Begin(t testing.TB) *Watch {
	t.Helper()
	w, end := begin()
	t.Cleanup(end)
	return w
}

func begin() (w *Watch, end func()) {
	w = &Watch{due: time.Now().Add(nap)}
	stop := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(nap):
				w.look(nap)
			}
		}
	})
	return w, func() { close(stop); watching.Wait() }
}

// tries is how often Excuse lets something be tried.
const tries = 8

// Excuse tries what is exact in time and says what was wrong, or nothing. That
// counts at once where the machine was in time meanwhile, by the tolerance. Where
// it was late, it is tried again: a busy machine may make it late a few times, and
// what is wrong stays so.
func Excuse(t testing.TB, tolerance time.Duration, try func() (wrong string)) {
	t.Helper()
	for n := 1; ; n++ {
		wrong, worst := watched(try)
		switch {
		case wrong == "":
			return
		case worst <= tolerance || n == tries:
			t.Errorf("%s; the machine was late by up to %s", wrong, worst)
			return
		}
		t.Logf("%s; the machine was late by up to %s, once more", wrong, worst)
	}
}

func watched(try func() string) (wrong string, worst time.Duration) {
	w, end := begin()
	defer end()
	wrong = try()
	return wrong, w.Worst()
}

// look notes how late it is, and when the next look is due.
func (w *Watch) look(next time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	w.worst = max(w.worst, now.Sub(w.due))
	if next > 0 {
		w.due = now.Add(next)
	}
}

// Worst is how late the machine has been so far, at most: what one thing that
// waited for a processor may have come too late by.
func (w *Watch) Worst() time.Duration {
	w.look(0)
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.worst
}
