package bpf

import (
	"errors"
	"fmt"
	"sync"

	"github.com/cilium/ebpf"
	"google.golang.org/protobuf/proto"
)

// A programPair is a fault's two programs, and the slot of the chain that is
// theirs.
type programPair struct {
	dispatcher *dispatcher
	slot       int
	coll       *ebpf.Collection
	lease      *mappedValue
	in, out    string
	// shape is that of the operation: another one of the same shape can use the
	// same programs. Empty: none can.
	shape string
}

// spares are program pairs without a fault, by shape: loading programs takes the
// kernel milliseconds, and a fault that finds its own loaded only has to set
// their gate and to fill their slot.
type spares struct {
	mu sync.Mutex
	of map[string]*programPair
}

// Warm ends what was attached with a gate that never opened: where programs of
// its shape are kept, they are loaded ahead of the fault that needs them. Only a
// loader that is attached keeps any. err is that of the attaching.
func Warm(a Attachment, err error) error {
	if err != nil {
		return err
	}
	return a.Close()
}

// take finds a spare of a shape, or loads one. Load is told the slot.
func (l *Loader) take(p programPair, load func(slot int) (*ebpf.Collection, error)) (*programPair, error) {
	if err := l.dispatcher.mend(); err != nil {
		return nil, err
	}
	if spare := l.spares.take(p.shape); spare != nil {
		return spare, nil
	}
	var err error
	if p.slot, err = l.dispatcher.take(); err != nil {
		return nil, err
	}
	p.dispatcher = l.dispatcher
	if p.coll, err = load(p.slot); err != nil {
		return nil, errors.Join(err, l.dispatcher.give(p.slot))
	}
	if p.lease, err = mapValue(p.coll.Maps[bootMapLease]); err != nil {
		p.coll.Close()
		return nil, errors.Join(err, l.dispatcher.give(p.slot))
	}
	return &p, nil
}

// enter lets a pair act: from now on packets meet it.
func (l *Loader) enter(p *programPair, g Gate, counters []string) (Attachment, error) {
	err := setGate(p.coll, g)
	if err == nil {
		err = p.dispatcher.put(p.slot, p.coll.Programs[p.in], p.coll.Programs[p.out])
	}
	if err != nil {
		return nil, errors.Join(err, p.Close(), p.end())
	}
	h := newAttached(p.coll, p.lease, p, counters)
	h.free = func() error { return l.putAside(p) }
	h.taken = p.dispatcher.taken
	return h, nil
}

// Close implements io.Closer: packets meet it no more.
func (p *programPair) Close() error { return p.dispatcher.clear(p.slot) }

// end lets go of the programs and the slot.
func (p *programPair) end() error {
	p.coll.Close()
	return errors.Join(p.lease.close(), p.dispatcher.give(p.slot))
}

// putAside keeps a pair as a spare, or ends it.
func (l *Loader) putAside(p *programPair) error {
	if p.shape == "" || !l.dispatcher.stay() || !l.spares.put(p) {
		return p.end()
	}
	return nil
}

// take takes a spare out.
func (x *spares) take(shape string) *programPair {
	x.mu.Lock()
	defer x.mu.Unlock()
	p := x.of[shape]
	delete(x.of, shape)
	return p
}

// put keeps a spare, unless there is one of its shape or it can't be made new.
func (x *spares) put(p *programPair) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.of[p.shape] != nil || p.renew() != nil {
		return false
	}
	if x.of == nil {
		x.of = map[string]*programPair{}
	}
	x.of[p.shape] = p
	return true
}

// close ends all spares.
func (x *spares) close() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	var errs []error
	for shape, p := range x.of {
		errs = append(errs, p.end())
		delete(x.of, shape)
	}
	return errors.Join(errs...)
}

// renew makes it as if it had just been loaded.
func (p *programPair) renew() error {
	if err := setGate(p.coll, Gate{}); err != nil {
		return err
	}
	p.lease.set(0)
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return err
	}
	counters := p.coll.Maps[bootMapCounters]
	for i := range counters.MaxEntries() {
		if err := counters.Put(i, make([]uint64, cpus)); err != nil {
			return fmt.Errorf("reset counters: %w", err)
		}
	}
	return nil
}

// shapeOf is the same text for operations that the same programs can carry out:
// those alike in every field.
func shapeOf(op proto.Message) string {
	text, err := proto.MarshalOptions{Deterministic: true}.Marshal(op)
	if err != nil {
		return ""
	}
	return string(op.ProtoReflect().Descriptor().Name()) + string(text)
}
