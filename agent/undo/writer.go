package undo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
)

const (
	// firstRetry and lastRetry bound the wait before a disk that failed is
	// tried again.
	firstRetry = 100 * time.Millisecond
	lastRetry  = 5 * time.Second
)

// writer is the one goroutine of a journal that touches its disk. It may hang
// there for as long as it likes: nothing waits for it but what adds.
type writer struct {
	journal *Journal
	disk    Disk
	slots   [2]*slot
	active  int
	// doubtful says that the active slot may hold what was never acknowledged:
	// a write to it failed. What comes next goes into the other.
	doubtful bool
	// usable says that the active slot is complete, so that records may be added.
	usable bool
	// written is the number of the last record that the active slot was begun
	// with: it holds that one and all before it.
	written uint64
	// lost are the slots whose headers can't be read: they would be told of as
	// damage at each reading, until they are written anew.
	lost [2]bool
	// whole says that the mirror that was read stands for the disk.
	whole bool

	// ready is closed when the disk has been read, ended when the goroutine
	// has; refused hears why the first reading failed.
	ready, ended chan struct{}
	refused      chan error
	// err is set when ended is closed.
	err error
}

func newWriter(j *Journal, whole bool) *writer {
	w := &writer{
		journal: j, disk: j.options.Disk, whole: whole,
		ready: make(chan struct{}), ended: make(chan struct{}), refused: make(chan error, 1),
	}
	for i, name := range []string{"journal.a", "journal.b"} {
		w.slots[i] = &slot{disk: w.disk, path: filepath.Join(j.dir, name), size: j.options.Size}
	}
	return w
}

// run reads the disk and then writes until the journal is closed and has
// nothing left to write, or until ctx ends.
func (w *writer) run(ctx context.Context) {
	defer close(w.ended)
	defer w.journal.failAll()
	owned, err := w.own(ctx)
	if err != nil {
		return
	}
	defer func() { w.err = errors.Join(w.close(), owned.Close()) }()
	for pause := firstRetry; ; pause = min(2*pause, lastRetry) {
		if err = w.load(); err == nil {
			break
		}
		w.journal.failed(err)
		select {
		case w.refused <- err:
		default:
		}
		if !wait(ctx, pause) {
			return
		}
	}
	close(w.ready)
	w.serve(ctx)
}

// own returns when the files are this process's alone.
func (w *writer) own(ctx context.Context) (io.Closer, error) {
	owned, err := w.journal.options.Own(ctx)
	if err != nil {
		w.journal.failed(err)
		w.refused <- err
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, errors.Join(ctx.Err(), owned.Close())
	}
	return owned, nil
}

// serve writes what is in line.
func (w *writer) serve(ctx context.Context) {
	j := w.journal
	for pause := firstRetry; ; {
		j.gather(ctx)
		batch, closed := j.batch()
		if len(batch) == 0 {
			j.mirror.outdate() // where it could not be replaced
			if closed {
				return
			}
			select {
			case <-j.wake:
			case <-ctx.Done():
				return
			}
			continue
		}
		err := w.write(batch)
		j.landed(batch, err)
		if err == nil {
			pause = firstRetry
			continue
		}
		if closed || !j.waitForAdd(ctx, pause) {
			return
		}
		pause = min(2*pause, lastRetry)
	}
}

// write lets a batch become durable. What adds and finds no room is told so and
// leaves the batch.
func (w *writer) write(batch []*entryInLine) error {
	hook := w.journal.options.Hook
	for _, line := range batch {
		hook("before:" + line.point)
	}
	batch, err := w.admit(batch)
	if err != nil || len(batch) == 0 {
		return err
	}
	if err := w.put(batch); err != nil {
		return err
	}
	for _, line := range batch {
		hook("after:" + line.point)
	}
	return nil
}

// admit makes room for what adds, or refuses it.
func (w *writer) admit(batch []*entryInLine) ([]*entryInLine, error) {
	adds := func(l *entryInLine) bool { return l.done != nil }
	if !slices.ContainsFunc(batch, adds) {
		return batch, nil
	}
	err := w.disk.Room(filepath.Join(w.journal.dir, "room"), diskProbe)
	if err == nil && (w.doubtful || w.slots[w.active].room() < w.need(batch)) {
		if err = w.compact(); err != nil {
			return batch, err
		}
	}
	if err == nil && w.slots[w.active].room() >= w.need(batch) {
		return batch, nil
	}
	full := fmt.Errorf("journal in %s: %w", w.journal.dir, ErrFull)
	if err != nil {
		full = fmt.Errorf("%w: %w", full, err) // in one line, for whoever asked
	}
	w.journal.refuse(batch, full)
	return slices.DeleteFunc(slices.Clone(batch), adds), nil
}

// need is the room for a batch, with enough left to end everything that is
// under way.
func (w *writer) need(batch []*entryInLine) int {
	need := reserve + perStep*w.journal.open()
	for _, line := range batch {
		need += frameHead + proto.Size(line.record)
	}
	return need
}

// put appends a batch. After a write that failed, and where the batch does not
// fit, everything is written into the other slot instead; when that fails too,
// the next attempt is an append again.
func (w *writer) put(batch []*entryInLine) error {
	if w.doubtful {
		return w.compact()
	}
	var records []*pb.Record
	for _, line := range batch {
		if line.record.GetSeq() > w.written {
			records = append(records, line.record)
		}
	}
	if len(records) == 0 {
		return nil // a compaction made room for them and wrote them
	}
	err := w.slots[w.active].append(records)
	if errors.Is(err, ErrFull) {
		return w.compact()
	}
	w.doubtful = err != nil
	return err
}

// compact writes what still matters into the other slot and goes on there; then
// back into the one that was left, where that is lost. When only the latter
// fails, the journal is whole all the same.
func (w *writer) compact() error {
	if err := w.compactOnce(); err != nil {
		return err
	}
	if w.lost[1-w.active] {
		_ = w.compactOnce()
	}
	return nil
}

func (w *writer) compactOnce() error {
	active, next := w.slots[w.active], w.slots[1-w.active]
	w.journal.options.Hook("before:compact")
	h := header{generation: max(active.generation, next.generation) + 1, other: active.generation}
	w.doubtful = !w.usable
	records, last := w.journal.matters()
	if err := next.rewrite(h, records); err != nil {
		return fmt.Errorf("compact journal: %w", err)
	}
	w.written = last
	w.active, w.doubtful, w.usable = 1-w.active, false, true
	w.lost[w.active] = false
	w.journal.options.Hook("after:compact")
	return nil
}

func (w *writer) close() error { return errors.Join(w.slots[0].close(), w.slots[1].close()) }

func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
