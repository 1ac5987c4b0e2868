// Package clock finds out how far a clock is from cluster time, and how sure
// that is. It is arithmetic alone: every reading comes in as an argument.
//
// Cluster time is the first leader's wall clock, carried on by each later
// leader from its own estimate. Everybody else measures an offset to it over a
// round trip; uncertainties add up and are never dropped. What is planned is
// planned by the leader of today, so a later term's reading makes those of
// earlier terms void, however sure they were: hosts that agree with different
// leaders don't agree with each other.
package clock

import (
	"slices"
	"time"
)

const (
	// Window is how long a measurement counts where there are newer ones that
	// leave less doubt.
	Window = time.Minute
	// maxSamples bounds the memory of an estimator.
	maxSamples = 128
	// driftPPM is how fast two clocks may part: each crystal is good to 50 ppm.
	driftPPM = 100
)

// A Reading is cluster time as somebody tells it at one moment.
type Reading struct {
	// Unix is in nanoseconds.
	Unix int64
	// Doubt is how far off Unix may be.
	Doubt time.Duration
	// Term is that of the leader whose clock it is.
	Term uint64
	// Slewed is by how much the leader has slewed cluster time in its term, and
	// SlewPPM how fast it does, in parts per million.
	Slewed  time.Duration
	SlewPPM int32
}

// Estimator estimates the offset between a local clock that never steps (boot
// time, or a monotonic one) and cluster time. What it knew it never drops for
// nothing: without newer readings the last one counts, with growing doubt. Its
// zero value is ready. It is not safe for concurrent use.
type Estimator struct {
	samples []sample
	newest  time.Duration
}

// sample is one round trip. Its offset is as if nothing had been slewed, so that
// it can be held against others of its term.
type sample struct {
	offset      time.Duration
	uncertainty time.Duration
	trip        time.Duration
	at          time.Duration
	term        uint64
	slewed      time.Duration
	ppm         int32
}

// Add takes one round trip: a question sent and its answer received at local
// times, and the answer. Round trips that end before they begin are ignored,
// and so is who has not heard of the leader that others told of.
func (e *Estimator) Add(sent time.Duration, r Reading, received time.Duration) {
	if received < sent || r.Doubt < 0 {
		return
	}
	half := (received - sent) / 2
	s := sample{
		offset:      time.Duration(r.Unix) - r.Slewed - (sent + half),
		uncertainty: half + r.Doubt,
		trip:        received - sent,
		at:          received,
		term:        r.Term,
		slewed:      r.Slewed,
		ppm:         r.SlewPPM,
	}
	if last := len(e.samples) - 1; last >= 0 && e.samples[last].term > s.term && s.at-e.samples[last].at <= Window {
		return
	}
	e.forget(s)
	e.samples = append(e.samples, s)
	e.newest = max(e.newest, received)
}

// Estimate is what to add to local time now to get cluster time in Unix
// nanoseconds, and the most by which that may be wrong: it grows with the time
// since the last measurement. It is not ok before the first one.
func (e *Estimator) Estimate(now time.Duration) (offset, uncertainty time.Duration, ok bool) {
	best, doubt, ok := e.best(now)
	if !ok {
		return 0, 0, false
	}
	since, doubtful := e.slewSince(now)
	return best.offset + since, doubt + doubtful, true
}

// slewSince is by how much cluster time is slewed now, as far as the newest
// sample tells, and how far that may be off: the rate may have changed since.
func (e *Estimator) slewSince(now time.Duration) (slewed, doubt time.Duration) {
	last := e.samples[len(e.samples)-1]
	further := max(now-last.at, 0) * time.Duration(last.ppm) / 1_000_000
	return last.slewed + further, further.Abs()
}

// Term is that of the leader whose time is estimated; 0 before the first sample.
func (e *Estimator) Term() uint64 {
	if len(e.samples) == 0 {
		return 0
	}
	return e.samples[len(e.samples)-1].term
}

// best is the round trip that leaves the least doubt now.
func (e *Estimator) best(now time.Duration) (best sample, least time.Duration, ok bool) {
	now = max(now, e.newest)
	for _, s := range e.samples {
		if doubt := s.doubt(now); !ok || doubt <= least {
			best, least, ok = s, doubt, true
		}
	}
	return best, least, ok
}

// RoundTrip is the lowest round trip of the window. It is not ok without a
// recent measurement.
func (e *Estimator) RoundTrip(now time.Duration) (lowest time.Duration, ok bool) {
	now = max(now, e.newest)
	for _, s := range e.samples {
		if now-s.at <= Window && (!ok || s.trip < lowest) {
			lowest, ok = s.trip, true
		}
	}
	return lowest, ok
}

// forget drops what is too old and tells less than the new sample, what an
// earlier leader said, and what the new sample contradicts: a clock has then
// been stopped or set.
func (e *Estimator) forget(s sample) {
	e.samples = slices.DeleteFunc(e.samples, func(old sample) bool {
		apart, doubt := (s.offset - old.offset).Abs(), old.doubt(s.at)
		stale := s.at-old.at > Window && doubt >= s.uncertainty
		return stale || old.term != s.term || apart > doubt+s.uncertainty
	})
	if len(e.samples) >= maxSamples {
		e.samples = slices.Delete(e.samples, 0, 1)
	}
}

func (s sample) doubt(now time.Duration) time.Duration {
	return s.uncertainty + (now-s.at)*driftPPM/1_000_000
}
