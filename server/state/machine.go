// Package state is the replicated machine: commands in, views out.
//
// It is pure. Instants and ids arrive inside the commands, and Apply does
// integer arithmetic and set comparison only, under a rule version that is
// part of the state: the same log gives the same state on every server and in
// every later build. It knows nothing of Raft, sockets or clocks.
//
// What a reader gets is immutable. A command copies what it changes and leaves
// the rest shared, so a View costs nothing to take and may be kept.
package state

import (
	"crypto/sha256"
	"fmt"
	"sync/atomic"

	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
)

// Rules is the newest rule version that this build knows. A cluster applies
// under the version in its state, which SetRules raises when every server can.
const Rules = 1

// Machine is the state of one server. Apply, Snapshot and Restore are called
// from one goroutine, the one that applies the log; View from any.
type Machine struct {
	view    atomic.Pointer[View]
	applied *memory
}

// New returns an empty machine, as before the first command.
func New() *Machine {
	m := &Machine{applied: newMemory(nil)}
	m.view.Store(newView())
	return m
}

// View is the state after the last command applied. It never changes.
func (m *Machine) View() *View { return m.view.Load() }

// Apply carries out the command at a log index and says what it did. A command
// whose id has taken effect before does nothing again: its first outcome is
// returned, with RepeatedCommand set. The index always advances.
//
// Apply keeps parts of the command: the caller must not change it afterwards.
func (m *Machine) Apply(index uint64, c *pb.Command) *pb.Outcome {
	before := m.view.Load()
	if first := m.applied.outcome(c.GetId()); first != nil {
		m.publish(before, before.at(index))
		return &pb.Outcome{Index: first.GetIndex(), Refused: first.GetRefused(), Parted: first.GetParted(), RepeatedCommand: true}
	}
	after, outcome := transact(before, index, c)
	m.applied.remember(c.GetId(), outcome)
	m.publish(before, after)
	return outcome
}

func (m *Machine) publish(before, after *View) {
	m.view.Store(after)
	close(before.stale)
}

// Snapshot is everything that Restore needs. It shares its parts with views:
// marshal it, don't change it.
func (m *Machine) Snapshot() *pb.State {
	s := m.view.Load().snapshot()
	s.Applied = m.applied.list()
	return s
}

// Restore replaces the state by that of a snapshot, which the machine keeps.
// It fails, and changes nothing, when the snapshot's rules are newer than this
// build's or when a run in it is broken.
func (m *Machine) Restore(s *pb.State) error {
	if s.GetRules() > Rules {
		return fmt.Errorf("restore snapshot: it has rule version %d, this build knows %d", s.GetRules(), Rules)
	}
	v, err := viewOf(s)
	if err != nil {
		return fmt.Errorf("restore snapshot: %w", err)
	}
	m.applied = newMemory(s.GetApplied())
	m.publish(m.view.Load(), v)
	return nil
}

// Hash is a digest of the whole state: equal on every server at equal indexes. It
// panics on a state that can't be marshalled, of which there would be no snapshot.
func (m *Machine) Hash() [sha256.Size]byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m.Snapshot())
	if err != nil {
		panic(fmt.Errorf("hash state at index %d: %w", m.View().Index(), err))
	}
	return sha256.Sum256(b)
}
