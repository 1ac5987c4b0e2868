package state

import pb "squall/proto/squall/v1"

// remembered is how many ids of commands are kept. At a thousand commands a
// second it covers the longest time for which anyone sends a command again.
const remembered = 16384

// memory holds the outcomes of the last commands, the oldest dropped first.
// Only the machine reads it, so that it is no part of a view.
type memory struct {
	ring []*pb.AppliedCommand
	next int // where the oldest is, once the ring is full
	byID map[string]*pb.Outcome
}

func newMemory(applied []*pb.AppliedCommand) *memory {
	m := &memory{byID: make(map[string]*pb.Outcome)}
	for _, a := range applied {
		m.remember(a.GetId(), a.GetOutcome())
	}
	return m
}

func (m *memory) outcome(id string) *pb.Outcome { return m.byID[shortID(id)] }

// shortID is an id, or its digest where it is too long to be kept.
func shortID(id string) string {
	if len(id) <= mostID {
		return id
	}
	return Digest([]byte(id))
}

// remember keeps an outcome. A command without an id is never a repeat.
func (m *memory) remember(id string, o *pb.Outcome) {
	if id = shortID(id); id == "" || m.byID[id] != nil {
		return
	}
	m.byID[id] = o
	entry := &pb.AppliedCommand{Id: id, Outcome: o}
	if len(m.ring) < remembered {
		m.ring = append(m.ring, entry)
		return
	}
	delete(m.byID, m.ring[m.next].GetId())
	m.ring[m.next] = entry
	m.next = (m.next + 1) % remembered
}

// list is what is remembered, oldest first.
func (m *memory) list() []*pb.AppliedCommand {
	out := make([]*pb.AppliedCommand, 0, len(m.ring))
	return append(append(out, m.ring[m.next:]...), m.ring[:m.next]...)
}
