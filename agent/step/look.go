package step

import (
	"time"

	"squall/agent/host"
	pb "squall/proto/squall/v1"
)

// Name is the host's.
func (e *Engine) Name() string { return e.name }

// Host is what the engine works on.
func (e *Engine) Host() host.Host { return e.host }

// Boot is the host's time since boot.
func (e *Engine) Boot() time.Duration { return e.host.Boot() }

// ClusterNow is cluster time in Unix nanoseconds.
func (e *Engine) ClusterNow() (int64, bool) {
	offset, _, ok := e.clock.Offset()
	return int64(e.host.Boot() + offset), ok
}

// Changed yields when a status may differ from the last look.
func (e *Engine) Changed() <-chan struct{} { return e.changed }

// Statuses is every step as it is now, sorted by run and step. They must not be
// changed.
func (e *Engine) Statuses() []*pb.StepStatus { return e.now.Load().statuses }

// Probes are what the newest order asks to measure.
func (e *Engine) Probes() []*pb.ProbeTask { return e.now.Load().probes }

// Newest is the highest order that this host has accepted; nil before the first.
func (e *Engine) Newest() *pb.OrderMark { return e.now.Load().highest }

// Halted is the halt in force, or nil.
func (e *Engine) Halted() *pb.HaltLatch { return e.now.Load().halted }

// Missing lists the digests of the sets that tasks name and the host lacks.
func (e *Engine) Missing() []string { return e.now.Load().missing }

// Idle says that every step is over.
func (e *Engine) Idle() bool { return e.now.Load().idle }

// NextDeadline is the earliest deadline of what changes the host; 0 is none.
func (e *Engine) NextDeadline() time.Duration { return e.now.Load().deadline }

// Pace is how often to ping: a tenth of the shortest lease, at most a second.
func (e *Engine) Pace() time.Duration {
	return max(min(e.now.Load().lease/10, time.Second), minPace)
}

// LeaseLeft is how long the shortest lease still lasts, never negative.
func (e *Engine) LeaseLeft() time.Duration {
	p := e.now.Load()
	lease := p.lease
	switch {
	case p.granted < 0:
		return 0
	case p.idle:
		lease = DefaultLease
	}
	return max(p.granted+lease-e.host.Boot(), 0)
}
