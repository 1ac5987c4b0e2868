package undo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	pb "squall/proto/squall/v1"
)

// What follows is the queue between who records and the writer.

// entryInLine is a record on its way to the disk.
type entryInLine struct {
	record *pb.Record
	point  string
	// done hears once how it went, for what adds; nil for what takes away.
	done chan error
}

// add records what adds, and returns when it is on disk. Where it can't be, or
// ctx ends first, the error says so, and the record counts for nothing: the
// caller says next how the step ended.
func (j *Journal) add(ctx context.Context, point string, r *pb.Record) error {
	if _, err := appendFrame(nil, 0, r); err != nil {
		return err
	}
	line := &entryInLine{record: r, point: point, done: make(chan error, 1)}
	if err := j.enter(line, j.addable); err != nil {
		return err
	}
	if err := j.reflect(line); err != nil {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	j.nudge()
	select {
	case err := <-line.done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrDisk, ctx.Err())
	}
}

// addable says why nothing may be added now. The caller holds mu.
func (j *Journal) addable() error {
	switch d := j.damaged(); {
	case d != nil:
		return fmt.Errorf("%w, and nobody has confirmed it: %s", ErrDamaged, firstOf(d.GetWhat()))
	case !j.read || j.late:
		return errors.Join(ErrDisk, j.trouble)
	}
	return nil
}

func firstOf(what []string) string {
	if len(what) == 0 {
		return "its content is not known"
	}
	return what[0]
}

// take records what takes away: at once in memory and in the mirror, and on
// disk when the disk lets it. The error is ErrClosed alone.
func (j *Journal) take(point string, r *pb.Record) error {
	line := &entryInLine{record: fitting(r), point: point}
	if err := j.enter(line, func() error { return nil }); err != nil {
		return err
	}
	// A mirror that fails is told by Unrecorded, until the disk has it.
	_ = j.reflect(line)
	j.nudge()
	return nil
}

// enter gives a record its number and lets it stand in memory.
func (j *Journal) enter(line *entryInLine, may func() error) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return ErrClosed
	}
	if err := may(); err != nil {
		return err
	}
	j.seq++
	line.record.Seq, line.record.BootId = j.seq, j.options.BootID
	j.memory.apply(line.record)
	j.queue = append(j.coalesce(line.record), line)
	return nil
}

// coalesce drops from the queue what a newer record makes old, so that a disk
// that hangs for days costs no memory. The caller holds mu.
func (j *Journal) coalesce(r *pb.Record) []*entryInLine {
	same := func(old *pb.Record) bool {
		switch r.GetKind().(type) {
		case *pb.Record_Order:
			return old.GetOrder() != nil
		case *pb.Record_Halt:
			return old.GetHalt() != nil && old.GetHalt().GetLocal() == r.GetHalt().GetLocal()
		}
		return false
	}
	kept := j.queue[:j.writing:j.writing]
	for _, line := range j.queue[j.writing:] {
		if line.done != nil || !same(line.record) {
			kept = append(kept, line)
		}
	}
	return kept
}

// reflect lets a record stand in the mirror.
func (j *Journal) reflect(line *entryInLine) error {
	j.options.Hook("before:mirror")
	err := j.mirror.append(line.record, j.everything)
	j.options.Hook("after:mirror")
	return err
}

// nudge tells the writer that there is something to write.
func (j *Journal) nudge() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// linger is how long what nobody waits for stays in line: an order is followed by
// an intent or an end, an end by an order, and one sync takes them all.
const linger = 50 * time.Millisecond

// gather lets the line grow for as long as nobody waits for what is in it.
func (j *Journal) gather(ctx context.Context) {
	if !j.patient() {
		return
	}
	timer := time.NewTimer(linger)
	defer timer.Stop()
	for j.patient() {
		select {
		case <-j.wake:
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// patient says that nobody waits for what is in line, and that the mirror has it:
// no adding, no halt, and nothing that Recorded was asked for.
func (j *Journal) patient() bool {
	mirrored := j.mirror.stands()
	j.mu.Lock()
	defer j.mu.Unlock()
	return mirrored && !j.closed && j.trouble == nil && len(j.queue) > 0 &&
		!slices.ContainsFunc(j.queue, func(l *entryInLine) bool {
			return l.done != nil || l.record.GetHalt() != nil || l.record.GetSeq() <= j.wanted
		})
}

// batch is everything that is in line, and whether the journal is closed.
func (j *Journal) batch() ([]*entryInLine, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.writing = len(j.queue)
	return slices.Clone(j.queue), j.closed
}

// landed says how a batch went. What adds is told, and leaves the line either
// way; what takes away stays until the disk has it.
func (j *Journal) landed(batch []*entryInLine, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.writing, j.trouble = 0, err
	for _, line := range batch {
		if line.done == nil && err != nil {
			continue
		}
		j.leave(line, err)
		if err == nil {
			j.memory.recorded(line.record.GetSeq())
		}
	}
	j.progress()
}

// progress tells who waits for the disk. The caller holds mu.
func (j *Journal) progress() {
	close(j.moved)
	j.moved = make(chan struct{})
}

// refuse tells what adds in a batch that there is no room.
func (j *Journal) refuse(batch []*entryInLine, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, line := range batch {
		if line.done != nil {
			j.leave(line, err)
			j.writing--
		}
	}
}

// leave takes a record out of the line. The caller holds mu.
func (j *Journal) leave(line *entryInLine, err error) {
	j.queue = slices.DeleteFunc(j.queue, func(l *entryInLine) bool { return l == line })
	if line.done != nil {
		select {
		case line.done <- err:
		default: // it was told
		}
	}
}

// failed says why the disk could not be read.
func (j *Journal) failed(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.trouble = err
}

// failAll ends what waits for a writer that is no more.
func (j *Journal) failAll() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.closed = true
	for _, line := range slices.Clone(j.queue) {
		if line.done != nil {
			j.leave(line, ErrClosed)
		}
	}
}

// waitForAdd waits for d, or less when something that adds waits or the journal
// is closed. It reports false when ctx ends.
func (j *Journal) waitForAdd(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for !j.urgent() {
		select {
		case <-j.wake:
		case <-timer.C:
			return true
		case <-ctx.Done():
			return false
		}
	}
	return true
}

func (j *Journal) urgent() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.closed || slices.ContainsFunc(j.queue, func(l *entryInLine) bool { return l.done != nil })
}

// matters is what a compaction writes, and the number of the last record that
// there is.
func (j *Journal) matters() ([]*pb.Record, uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.memory.records(), j.seq
}

// open counts the steps that have yet to end.
func (j *Journal) open() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.memory.open()
}
