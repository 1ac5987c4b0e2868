package bpf

import (
	"errors"
	"fmt"
	"sync"

	"github.com/cilium/ebpf"
	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
)

// A standing is a fault's two programs, and the slot of the chain that is
// theirs.
type standing struct {
	points  *points
	slot    int
	coll    *ebpf.Collection
	lease   *cell
	in, out string
	// shape is that of the operation: another one of the same shape can use the
	// same programs. Empty: none can.
	shape string
}

// spares are standings without a fault, by shape: loading programs takes the
// kernel milliseconds, and a fault that finds its own loaded only has to set
// their gate and to fill their slot.
type spares struct {
	mu sync.Mutex
	of map[string]*standing
}

// Warm loads the programs of a silence or a DNS blackhole of the whole host
// ahead of the fault that needs them. Only a kit that is attached keeps them.
func (k *Kit) Warm(op proto.Message) error {
	var s *standing
	var err error
	switch o := op.(type) {
	case *pb.Silence:
		s, err = k.standSilence(o, nil, nil)
	case *pb.DropDNS:
		s, err = k.standDNS(o, nil)
	default:
		return fmt.Errorf("warm %T: its programs are not kept", op)
	}
	if err != nil {
		return err
	}
	return k.lay(s)
}

// take finds a spare of a shape, or loads one. Load is told the slot.
func (k *Kit) take(s standing, load func(slot int) (*ebpf.Collection, error)) (*standing, error) {
	if spare := k.spares.take(s.shape); spare != nil {
		return spare, nil
	}
	var err error
	if s.slot, err = k.points.take(); err != nil {
		return nil, err
	}
	s.points = k.points
	if s.coll, err = load(s.slot); err != nil {
		return nil, errors.Join(err, k.points.give(s.slot))
	}
	if s.lease, err = mapCell(s.coll.Maps[bootMapLease]); err != nil {
		s.coll.Close()
		return nil, errors.Join(err, k.points.give(s.slot))
	}
	return &s, nil
}

// enter lets a standing act: from now on packets meet it.
func (k *Kit) enter(s *standing, g Gate, counters []string) (Attachment, error) {
	err := setGate(s.coll, g)
	if err == nil {
		err = s.points.put(s.slot, s.coll.Programs[s.in], s.coll.Programs[s.out])
	}
	if err != nil {
		return nil, errors.Join(err, s.Close(), s.end())
	}
	h := hold(s.coll, s.lease, s, counters)
	h.free = func() error { return k.lay(s) }
	return h, nil
}

// Close implements io.Closer: packets meet it no more.
func (s *standing) Close() error { return s.points.clear(s.slot) }

// end lets go of the programs and the slot.
func (s *standing) end() error {
	s.coll.Close()
	return errors.Join(s.lease.close(), s.points.give(s.slot))
}

// lay puts a standing aside as a spare, or ends it.
func (k *Kit) lay(s *standing) error {
	if s.shape == "" || !k.points.stay() || !k.spares.put(s) {
		return s.end()
	}
	return nil
}

// take takes a spare out.
func (x *spares) take(shape string) *standing {
	x.mu.Lock()
	defer x.mu.Unlock()
	s := x.of[shape]
	delete(x.of, shape)
	return s
}

// put keeps a spare, unless there is one of its shape or it can't be made new.
func (x *spares) put(s *standing) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.of[s.shape] != nil || s.renew() != nil {
		return false
	}
	if x.of == nil {
		x.of = map[string]*standing{}
	}
	x.of[s.shape] = s
	return true
}

// close ends all spares.
func (x *spares) close() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	var errs []error
	for shape, s := range x.of {
		errs = append(errs, s.end())
		delete(x.of, shape)
	}
	return errors.Join(errs...)
}

// renew makes it as if it had just been loaded.
func (s *standing) renew() error {
	if err := setGate(s.coll, Gate{}); err != nil {
		return err
	}
	s.lease.set(0)
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return err
	}
	counters := s.coll.Maps[bootMapCounters]
	for i := range counters.MaxEntries() {
		if err := counters.Put(i, make([]uint64, cpus)); err != nil {
			return fmt.Errorf("reset counters: %w", err)
		}
	}
	return nil
}

// shapeOf is the same text for operations that the same programs can carry out:
// of those that drop every lookup, the seed is of no account.
func shapeOf(op proto.Message) string {
	op = proto.Clone(op)
	if o, ok := op.(*pb.DropDNS); ok {
		o.Seed = 0
	}
	text, err := proto.MarshalOptions{Deterministic: true}.Marshal(op)
	if err != nil {
		return ""
	}
	return string(op.ProtoReflect().Descriptor().Name()) + string(text)
}
