package session

import (
	"sync"
	"time"

	pb "squall/proto/squall/v1"
)

const (
	// maxBatch bounds the windows of a batch.
	maxBatch = 256
	// maxWindows bounds what is kept for servers that do not answer: then the
	// oldest go, and their absence is what the verdict sees.
	maxWindows = 8192
)

// outbox keeps closed windows until a server says that they are committed. A
// batch holds the same windows until then, so that the machine knows it again.
type outbox struct {
	mu      sync.Mutex // guards all below
	waiting []*pb.Window
	// batch travels now; nil when everything is committed.
	batch  *pb.Windows
	number uint64
	// due is when the batch travels again.
	due time.Duration
}

// add takes closed windows.
func (o *outbox) add(ws ...*pb.Window) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.waiting = append(o.waiting, ws...)
	if over := len(o.waiting) - maxWindows; over > 0 {
		o.waiting = append(o.waiting[:0], o.waiting[over:]...)
	}
}

// next is the batch to send now, or nil. One that travels again says so.
func (o *outbox) next(now time.Duration) *pb.Windows {
	o.mu.Lock()
	defer o.mu.Unlock()
	first := o.batch == nil
	if first {
		o.pack()
	}
	if o.batch == nil || !first && now < o.due {
		return nil
	}
	o.due = now + 2*againEvery
	return &pb.Windows{Batch: o.batch.GetBatch(), Windows: o.batch.GetWindows(), Again: !first}
}

// pack makes a batch of what waits. The caller holds mu.
func (o *outbox) pack() {
	n := min(len(o.waiting), maxBatch)
	if n == 0 {
		return
	}
	o.number++
	o.batch = &pb.Windows{Batch: o.number, Windows: append([]*pb.Window(nil), o.waiting[:n]...)}
	o.waiting = append(o.waiting[:0], o.waiting[n:]...)
}

// rewind lets the batch travel at once: its server is another one now.
func (o *outbox) rewind() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.due = 0
}

// acked says that a batch is committed.
func (o *outbox) acked(batch uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.batch.GetBatch() == batch {
		o.batch = nil
	}
}
