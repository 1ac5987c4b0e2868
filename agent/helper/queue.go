package helper

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

const (
	chunkSize  = 1 << 20
	frameSpace = 1<<16 + 4096 // the largest frame with its headers
	maxChunks  = 512          // what a delay of a second takes at 4 Gbit/s
	keepChunks = 2            // unused ones that are kept
)

// A frame waits in a chunk until it is due.
type frame struct {
	due        time.Duration
	start, end int
}

// A chunk is memory for frames, filled once from front to back.
type chunk struct {
	mem    []byte
	frames []frame
	sent   int
	used   int
}

// A queue holds frames in the order in which they came, which is the order in
// which they are due. Its memory grows with what it holds, and shrinks again;
// it is outside the Go heap.
type queue struct {
	full  []*chunk // oldest first; the last one is being filled
	spare []*chunk
}

// room is where the next frame is to be read, or nil when the queue is full.
func (q *queue) room() []byte {
	if c := q.last(); c != nil && len(c.mem)-c.used >= frameSpace {
		return c.mem[c.used : c.used+frameSpace]
	}
	c := q.grow()
	if c == nil {
		return nil
	}
	q.full = append(q.full, c)
	return c.mem[:frameSpace]
}

// push takes what lies between two places of room as a frame.
func (q *queue) push(start, end int, due time.Duration) {
	c := q.last()
	c.frames = append(c.frames, frame{due, c.used + start, c.used + end})
	c.used += end
}

// front is the oldest frame, if there is one.
func (q *queue) front() (frame, []byte, bool) {
	if len(q.full) == 0 {
		return frame{}, nil, false
	}
	c := q.full[0]
	if c.sent == len(c.frames) {
		return frame{}, nil, false
	}
	f := c.frames[c.sent]
	return f, c.mem[f.start:f.end], true
}

// pop forgets the oldest frame.
func (q *queue) pop() {
	c := q.full[0]
	c.sent++
	if c.sent < len(c.frames) {
		return
	}
	c.frames, c.sent, c.used = c.frames[:0], 0, 0
	if len(q.full) == 1 {
		return
	}
	q.full = q.full[1:]
	q.release(c)
}

// last is the chunk being filled.
func (q *queue) last() *chunk {
	if len(q.full) == 0 {
		return nil
	}
	return q.full[len(q.full)-1]
}

// grow finds an empty chunk.
func (q *queue) grow() *chunk {
	if n := len(q.spare); n > 0 {
		c := q.spare[n-1]
		q.spare = q.spare[:n-1]
		return c
	}
	if len(q.full) >= maxChunks {
		return nil
	}
	mem, err := unix.Mmap(-1, 0, chunkSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil // as full as if there were no room
	}
	return &chunk{mem: mem}
}

// release keeps an empty chunk, or gives its memory back.
func (q *queue) release(c *chunk) {
	if len(q.spare) < keepChunks {
		q.spare = append(q.spare, c)
		return
	}
	if err := unix.Munmap(c.mem); err != nil {
		panic(fmt.Sprintf("unmap a chunk: %v", err)) // it was mapped by grow
	}
}
