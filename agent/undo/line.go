package undo

import (
	"context"
	"slices"
	"time"

	pb "squall/proto/squall/v1"
)

// What follows is the queue between who records and the writer.

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
