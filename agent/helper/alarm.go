package helper

import "time"

const (
	// A processor that sleeps takes about half of this to wake up.
	wakeEarly = 100 * time.Microsecond
	// The most that is spent awake between two beats: a tenth of a processor.
	awakeLimit = beatEvery / 10
)

// An alarm ends sleeps in time for a frame. A sleep ends late by what the
// processor takes to wake up, so it is set early and the rest is spent awake,
// as long as there is little of that.
type alarm struct {
	left  time.Duration // that may be spent awake until it is wound
	awake bool          // from since on
	since time.Duration
}

// wind starts a new span between two beats.
func (a *alarm) wind() { a.left = awakeLimit }

// pause is how long to sleep now, if a frame is due at an instant. 0: it is
// due, or so soon that looking again is better.
func (a *alarm) pause(now, due time.Duration) time.Duration {
	if a.awake {
		a.left -= now - a.since
	}
	pause := max(0, due-now-min(wakeEarly, max(0, a.left)))
	a.awake, a.since = pause == 0 && due > now, now
	return pause
}
