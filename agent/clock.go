package agent

import (
	"sync"
	"time"

	"squall/proto/clock"
)

// measured is cluster time as the session measures it.
type measured struct {
	boot func() time.Duration

	mu       sync.Mutex // guards estimate
	estimate clock.Estimator
}

// Offset implements ClusterClock.
func (m *measured) Offset() (offset, uncertainty time.Duration, ok bool) {
	now := m.boot()
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.estimate.Estimate(now)
}

// roundTrip is the lowest seen of late; 0 before the first.
func (m *measured) roundTrip() time.Duration {
	now := m.boot()
	m.mu.Lock()
	defer m.mu.Unlock()
	trip, _ := m.estimate.RoundTrip(now)
	return trip
}

func (m *measured) add(sent time.Duration, r clock.Reading, received time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.estimate.Add(sent, r, received)
}

// alone is the time of a host without servers: its own wall clock, read once,
// so that a clock that is set does not move what is planned.
type alone time.Duration

// newAlone reads the wall clock at a boot time.
func newAlone(boot time.Duration) alone {
	return alone(time.Duration(time.Now().UnixNano()) - boot)
}

// Offset implements ClusterClock.
func (a alone) Offset() (offset, uncertainty time.Duration, ok bool) {
	return time.Duration(a), 0, true
}
