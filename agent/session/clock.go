package session

import (
	"sync"
	"time"

	"squall/proto/clock"
)

// Clock is cluster time as a session measures it.
type Clock struct {
	boot func() time.Duration

	mu       sync.Mutex // guards estimate
	estimate clock.Estimator
}

// Offset implements step.ClusterClock.
func (m *Clock) Offset() (offset, uncertainty time.Duration, ok bool) {
	now := m.boot()
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.estimate.Estimate(now)
}

// NewClock makes a clock that reads boot time from boot.
func NewClock(boot func() time.Duration) *Clock { return &Clock{boot: boot} }

// roundTrip is the lowest seen of late; 0 before the first.
func (m *Clock) roundTrip() time.Duration {
	now := m.boot()
	m.mu.Lock()
	defer m.mu.Unlock()
	trip, _ := m.estimate.RoundTrip(now)
	return trip
}

func (m *Clock) add(sent time.Duration, r clock.Reading, received time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.estimate.Add(sent, r, received)
}

// Alone is the time of a host without servers: its own wall clock, read once,
// so that a clock that is set does not move what is planned.
type Alone time.Duration

// NewAlone reads the wall clock at a boot time.
func NewAlone(boot time.Duration) Alone {
	return Alone(time.Duration(time.Now().UnixNano()) - boot)
}

// Offset implements step.ClusterClock.
func (a Alone) Offset() (offset, uncertainty time.Duration, ok bool) {
	return time.Duration(a), 0, true
}
