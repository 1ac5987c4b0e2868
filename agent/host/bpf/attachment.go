package bpf

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/cilium/ebpf"
)

// attached is an attachment made of programs of this process.
type attached struct {
	coll  *ebpf.Collection
	lease *mappedValue
	links io.Closer
	names []string
	more  func(map[string]uint64) error // adds what is not in the counters map
	free  func() error                  // lets go of the collection, when all is read
	taken func() error                  // an ErrDetached where somebody detached it; nil where nobody can
	done  chan struct{}                 // closed when it has ended

	mu     sync.Mutex // guards what follows
	closed bool
	// why it has ended without being closed.
	why  error
	last map[string]uint64
}

// newAttached takes over a collection and what attaches it. Names are those of the
// counters, in the order of the programs' enum.
func newAttached(coll *ebpf.Collection, lease *mappedValue, links io.Closer, names []string) *attached {
	return &attached{coll: coll, lease: lease, links: links, names: names, done: make(chan struct{}), free: func() error {
		coll.Close()
		return lease.close()
	}}
}

// Renew implements Attachment.
func (h *attached) Renew(until time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed {
		h.lease.set(until)
	}
}

// Counters implements Attachment. It finds out, too, when somebody has detached
// the fault, which is an error from then on and wraps ErrDetached.
func (h *attached) Counters() (map[string]uint64, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return h.last, nil
	}
	if h.why == nil && h.taken != nil {
		if h.why = h.taken(); h.why != nil {
			close(h.done)
		}
	}
	if h.why != nil {
		return nil, h.why
	}
	return h.read()
}

// Done is closed when the fault has ended, for whatever reason.
func (h *attached) Done() <-chan struct{} { return h.done }

// Cause is why it has ended without being closed.
func (h *attached) Cause() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.why
}

// Close implements Attachment.
func (h *attached) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil
	}
	err := h.links.Close()
	last, e := h.read()
	h.closed, h.last = true, last
	if h.why == nil {
		close(h.done)
	}
	return errors.Join(err, e, h.free())
}

// read reads all counters. The caller holds the mutex.
func (h *attached) read() (map[string]uint64, error) {
	sums, err := readCounters(h.coll, h.names)
	if err == nil && h.more != nil {
		err = h.more(sums)
	}
	return sums, err
}

// readCounters adds up what each CPU counted.
func readCounters(coll *ebpf.Collection, names []string) (map[string]uint64, error) {
	sums := make(map[string]uint64, len(names))
	for i, name := range names {
		var cpus []uint64
		if err := coll.Maps[holdMapCounters].Lookup(uint32(i), &cpus); err != nil {
			return nil, fmt.Errorf("read counter %s: %w", name, err)
		}
		for _, n := range cpus {
			sums[name] += n
		}
	}
	return sums, nil
}

// closers ends several things as one, past errors.
type closers []io.Closer

// Close implements io.Closer.
func (c closers) Close() error {
	var errs []error
	for _, x := range c {
		errs = append(errs, x.Close())
	}
	return errors.Join(errs...)
}
