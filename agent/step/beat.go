package step

import "time"

// ClusterNow is cluster time in Unix nanoseconds.
func (e *Engine) ClusterNow() (int64, bool) {
	offset, _, ok := e.clock.Offset()
	return int64(e.host.Boot() + offset), ok
}

// Idle says that every step is over.
func (e *Engine) Idle() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, any := e.lease()
	return !any
}

// NextDeadline is the earliest deadline in the journal; 0 is none.
func (e *Engine) NextDeadline() time.Duration {
	next := time.Duration(0)
	for _, s := range e.runner.Steps() {
		if s.Open() && s.Deadline() > 0 && (next == 0 || s.Deadline() < next) {
			next = s.Deadline()
		}
	}
	return next
}

// Boot is the host's time since boot.
func (e *Engine) Boot() time.Duration { return e.host.Boot() }
