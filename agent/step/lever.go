package step

import (
	"slices"

	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
)

// lever is the halts of a host: one that servers told, and its own. They stand
// in memory first: a lever that waits for a disk is no lever.
type lever struct {
	told, own *pb.HaltLatch
	// unrecorded are the ids of latches that are not on disk yet.
	unrecorded map[string]bool
}

// adopt takes up the latches that are engaged on disk.
func (l *lever) adopt(latches []*pb.HaltLatch) {
	if l.unrecorded == nil {
		l.unrecorded = map[string]bool{}
	}
	for _, h := range latches {
		if h.GetLocal() {
			l.own = h
		} else {
			l.told = h
		}
	}
}

// halted is the halt in force, the host's own first, or nil. It says whether it
// is on disk.
func (l *lever) halted() *pb.HaltLatch {
	h := l.own
	if h == nil {
		h = l.told
	}
	if h == nil || !l.unrecorded[h.GetId()] {
		return h
	}
	h = proto.CloneOf(h)
	h.Unrecorded = true
	return h
}

// halt reverts everything and latches.
func (c *core) halt(h *pb.HaltLatch) {
	for _, s := range c.steps {
		c.drop(s, pb.RevertCause_REVERT_CAUSE_HALT)
	}
	if h.GetLocal() {
		c.lever.own = h
	} else {
		c.lever.told = h
	}
	c.latch(h)
}

// release lets go of a latch.
func (c *core) release(h *pb.HaltLatch) {
	if h.GetLocal() {
		c.lever.own = nil
	} else {
		c.lever.told = nil
	}
	c.latch(&pb.HaltLatch{Id: h.GetId(), Local: h.GetLocal(), Reason: h.GetReason()})
}

func (c *core) latch(h *pb.HaltLatch) {
	if h.GetEngaged() {
		c.lever.unrecorded[h.GetId()] = true
	}
	c.told = true
	c.do(latching{h})
}

// follow follows the lever as an order tells it. An order from a server that
// has not heard of a halt yet says nothing of its id, and so lets go of nothing.
func (c *core) follow(h *pb.HaltLatch) {
	held := c.lever.told
	switch {
	case h.GetEngaged() && held.GetId() != h.GetId():
		c.halt(h)
	case h != nil && !h.GetEngaged() && held != nil && answers(h, held.GetId()):
		c.release(held)
	}
}

// answers says that a lever answers to a halt id.
func answers(h *pb.HaltLatch, id string) bool {
	return h.GetId() == id || slices.Contains(h.GetAlso(), id)
}

// halting is a halt that was heard, or asked for on the host itself.
type halting struct{ latch *pb.HaltLatch }

func (n *halting) into(c *core) { c.halt(n.latch) }

// resumed lets go of a local halt. One that servers committed stays: it needs
// their resume.
type resumed struct{}

func (*resumed) into(c *core) {
	if c.lever.own != nil {
		c.release(c.lever.own)
		c.follow(c.order.GetHalt())
	}
}

// latched answers latching. What others hear of it changes when it is on disk.
type latched struct {
	latch *pb.HaltLatch
	err   error
}

func (n *latched) into(c *core) {
	if n.err != nil {
		return
	}
	delete(c.lever.unrecorded, n.latch.GetId())
	c.told = true
}
