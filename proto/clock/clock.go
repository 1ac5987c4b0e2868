// Package clock finds out how far a clock is from cluster time, and how sure
// that is. It is arithmetic alone: every reading comes in as an argument.
//
// Cluster time is the first leader's wall clock, carried on by each later
// leader from its own estimate. Everybody else measures an offset to it over a
// round trip; uncertainties add up and are never dropped.
package clock

import "time"

const (
	// Window is how long a measurement counts.
	Window = time.Minute
	// maxSamples bounds the memory of an estimator.
	maxSamples = 128
	// driftPPM is how fast two clocks may part: each crystal is good to 50 ppm.
	driftPPM = 100
)

// Estimator estimates the offset between a local clock that never steps (boot
// time, or a monotonic one) and cluster time. Its zero value is ready. It is
// not safe for concurrent use.
type Estimator struct {
	samples []sample
	newest  time.Duration
}

type sample struct {
	offset      time.Duration
	uncertainty time.Duration
	trip        time.Duration
	at          time.Duration
}

// Add takes one round trip: a question sent and its answer received at local
// times, the cluster time in the answer in Unix nanoseconds, and how far off
// that may have been. Round trips that end before they begin are ignored.
func (e *Estimator) Add(sent time.Duration, clusterUnix int64, uncertainty, received time.Duration) {
	if received < sent || uncertainty < 0 {
		return
	}
	half := (received - sent) / 2
	s := sample{
		offset:      time.Duration(clusterUnix) - (sent + half),
		uncertainty: half + uncertainty,
		trip:        received - sent,
		at:          received,
	}
	e.forget(s)
	e.samples = append(e.samples, s)
	e.newest = max(e.newest, received)
}

// Estimate is what to add to local time now to get cluster time in Unix
// nanoseconds, and the most by which that may be wrong. The round trip that
// leaves the least doubt wins. It is not ok without a recent measurement.
func (e *Estimator) Estimate(now time.Duration) (offset, uncertainty time.Duration, ok bool) {
	now = max(now, e.newest)
	for _, s := range e.samples {
		if now-s.at > Window {
			continue
		}
		if doubt := s.doubt(now); !ok || doubt <= uncertainty {
			offset, uncertainty, ok = s.offset, doubt, true
		}
	}
	return offset, uncertainty, ok
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

// forget drops what is too old, and what the new sample contradicts: cluster
// time has then been carried on by a leader that knew less.
func (e *Estimator) forget(s sample) {
	kept := e.samples[:0]
	for _, old := range e.samples {
		apart := (s.offset - old.offset).Abs()
		if s.at-old.at <= Window && apart <= old.doubt(s.at)+s.uncertainty {
			kept = append(kept, old)
		}
	}
	if len(kept) >= maxSamples {
		kept = append(kept[:0], kept[1:]...)
	}
	e.samples = kept
}

func (s sample) doubt(now time.Duration) time.Duration {
	return s.uncertainty + (now-s.at)*driftPPM/1_000_000
}
