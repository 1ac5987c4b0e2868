package undo

import (
	"fmt"
	"time"

	pb "squall/proto/squall/v1"
)

// Steps lists every step that the journal knows, oldest first.
func (r *Runner) Steps() []*Step {
	r.journal.mu.Lock()
	defer r.journal.mu.Unlock()
	return r.journal.memory.all()
}

// Step is one step, as the journal knows it.
func (r *Runner) Step(run, step string) (*Step, bool) {
	r.journal.mu.Lock()
	defer r.journal.mu.Unlock()
	return r.journal.memory.step(key{run, step})
}

// Mark records durably that a step has moved on.
func (r *Runner) Mark(m *pb.Mark) error {
	return r.journal.append("mark", r.record(&pb.Record{Kind: &pb.Record_Mark{Mark: m}}))
}

// Schedule records a fired task, with its conversion to boot time, until it arms.
func (r *Runner) Schedule(s *pb.ScheduleRecord) error {
	return r.journal.admit(r.record(&pb.Record{Kind: &pb.Record_Schedule{Schedule: s}}))
}

// Forget drops the tombstone of a step that has ended, when the control plane
// has recorded it.
func (r *Runner) Forget(run, step string) error {
	if s, ok := r.Step(run, step); !ok || s.Open() {
		return nil
	}
	r.mu.Lock()
	delete(r.busy, key{run, step})
	r.mu.Unlock()
	return r.journal.append("forget", r.record(&pb.Record{
		Kind: &pb.Record_Forget{Forget: &pb.Forget{Run: run, Step: step}},
	}))
}

// Accept records the highest order held. One that is older is refused with
// ErrBehind; the same one again is no news.
func (r *Runner) Accept(o *pb.OrderMark) error {
	held := r.Order()
	if newer(held, o) {
		return fmt.Errorf("accept order %d.%d: %w %d.%d", o.GetEpoch(), o.GetIndex(), ErrBehind,
			held.GetEpoch(), held.GetIndex())
	}
	if !newer(o, held) {
		return nil
	}
	return r.journal.append("order", r.record(&pb.Record{Kind: &pb.Record_Order{Order: o}}))
}

// Order is the highest order held; nil before the first.
func (r *Runner) Order() *pb.OrderMark {
	r.journal.mu.Lock()
	defer r.journal.mu.Unlock()
	return r.journal.memory.order.GetOrder()
}

// Latch engages or lifts the halt. A local latch is lifted only by a local one.
func (r *Runner) Latch(l *pb.HaltLatch) error {
	return r.journal.append("halt", r.record(&pb.Record{Kind: &pb.Record_Halt{Halt: l}}))
}

// Halted is the latch that is engaged, the local one first, or nil.
func (r *Runner) Halted() *pb.HaltLatch {
	r.journal.mu.Lock()
	defer r.journal.mu.Unlock()
	for _, local := range []bool{true, false} {
		if l := r.journal.memory.latches[latchIndex(local)].GetHalt(); l.GetEngaged() {
			return l
		}
	}
	return nil
}

// Damaged says that part of the journal could not be read and that the host has
// not been swept since.
func (r *Runner) Damaged() bool { return r.journal.Damaged() }

func (r *Runner) record(rec *pb.Record) *pb.Record {
	rec.BootNanos, rec.UnixNanos = int64(r.host.Boot()), time.Now().UnixNano()
	return rec
}
