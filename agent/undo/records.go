package undo

import (
	"context"
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

// Mark records that a step has moved on. It does not wait for the disk.
func (r *Runner) Mark(m *pb.Mark) error {
	return r.journal.take("mark", r.record(&pb.Record{Kind: &pb.Record_Mark{Mark: m}}))
}

// Schedule records a fired task, with its conversion to boot time, until it
// arms. It returns when that is on disk. When it fails, the caller refuses the
// step with a mark.
func (r *Runner) Schedule(ctx context.Context, s *pb.ScheduleRecord) error {
	err := r.journal.add(ctx, "schedule", r.record(&pb.Record{Kind: &pb.Record_Schedule{Schedule: s}}))
	if err != nil {
		return fmt.Errorf("schedule %s of %s: %w", s.GetTask().GetStep(), s.GetTask().GetRun(), err)
	}
	return nil
}

// Forget drops the tombstone of a step that has ended, when the control plane
// has recorded it. A step with residue is dropped once it is clean.
func (r *Runner) Forget(run, step string) error {
	if s, ok := r.Step(run, step); !ok || s.Open() {
		return nil
	}
	return r.journal.take("forget", r.record(&pb.Record{
		Kind: &pb.Record_Forget{Forget: &pb.Forget{Run: run, Step: step}},
	}))
}

// Accept keeps the highest order held, and does not wait for the disk. One that
// is older is refused with ErrBehind; the same one again is no news.
func (r *Runner) Accept(o *pb.OrderMark) error {
	held := r.Order()
	if newer(held, o) {
		return fmt.Errorf("accept order %d.%d: %w %d.%d", o.GetEpoch(), o.GetIndex(), ErrBehind,
			held.GetEpoch(), held.GetIndex())
	}
	if !newer(o, held) {
		return nil
	}
	return r.journal.take("order", r.record(&pb.Record{Kind: &pb.Record_Order{Order: o}}))
}

// Order is the highest order held; nil before the first.
func (r *Runner) Order() *pb.OrderMark {
	r.journal.mu.Lock()
	defer r.journal.mu.Unlock()
	return r.journal.memory.order.GetOrder()
}

// Latch engages or lifts the halt, at once: see Unrecorded for whether the disk
// has it. A local latch is lifted only by a local one.
func (r *Runner) Latch(l *pb.HaltLatch) error {
	return r.journal.take("halt", r.record(&pb.Record{Kind: &pb.Record_Halt{Halt: l}}))
}

// Latches are those that are engaged, the local one first: one hides the other.
func (r *Runner) Latches() []*pb.HaltLatch {
	r.journal.mu.Lock()
	defer r.journal.mu.Unlock()
	var engaged []*pb.HaltLatch
	for _, local := range []bool{true, false} {
		if l := r.journal.memory.latches[latchIndex(local)].GetHalt(); l.GetEngaged() {
			engaged = append(engaged, l)
		}
	}
	return engaged
}

// Halted is the latch that counts: the first of Latches, or nil.
func (r *Runner) Halted() *pb.HaltLatch {
	for _, l := range r.Latches() {
		return l
	}
	return nil
}

// Unrecorded is what stands and is not on disk yet, oldest first, and what the
// disk answered last; nil when it just has not.
func (r *Runner) Unrecorded() ([]*pb.Record, error) { return r.journal.Unrecorded() }

// Recorded returns when everything that stands now is on disk, or ctx ends.
func (r *Runner) Recorded(ctx context.Context) error { return r.journal.Recorded(ctx) }

// Damage is what could not be read of the journal, until Confirm; nil for none.
// A tombstone or a latch may be missing: no fault begins meanwhile.
func (r *Runner) Damage() *pb.Damage {
	r.journal.mu.Lock()
	defer r.journal.mu.Unlock()
	return r.journal.damaged()
}

// Damaged says that there is damage that nobody has confirmed.
func (r *Runner) Damaged() bool { return r.Damage() != nil }

// Confirm says that somebody who knows what ran here has taken note of the
// damage of this id, or of whatever stands where id is empty: faults may begin
// again. Without that damage it does nothing. The error is ErrClosed alone.
func (r *Runner) Confirm(id string) error {
	d := r.Damage()
	if d == nil || id != "" && id != d.GetId() {
		return nil
	}
	return r.journal.take("confirm", r.record(&pb.Record{
		Kind: &pb.Record_Damage{Damage: &pb.Damage{
			What: d.GetWhat(), Id: d.GetId(), SinceUnixNanos: d.GetSinceUnixNanos(), Confirmed: true,
		}},
	}))
}

func (r *Runner) record(rec *pb.Record) *pb.Record {
	rec.BootNanos, rec.UnixNanos = int64(r.host.Boot()), time.Now().UnixNano()
	return rec
}
