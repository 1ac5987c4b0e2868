// Package consensus replicates commands to a machine on three or five servers.
// It is the only package that knows hashicorp/raft.
//
// What it promises: a command whose outcome was returned is never lost; one
// that failed with ErrUnknown may still take effect, so it is sent again with
// its id, and the machine drops what it has seen. A store that hangs stops the
// server for good, so that the others can elect: raft itself would wait for
// ever and go on sending heartbeats.
package consensus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"squall/proto/pki"
	pb "squall/proto/squall/v1"
)

// Why a command or a read did not succeed. Errors of this package wrap one of
// them, or a context's.
var (
	// ErrNotLeader means that nothing was done here; Leader may know who can.
	ErrNotLeader = errors.New("not the leader")
	// ErrUnknown means that the command may still take effect.
	ErrUnknown = errors.New("outcome unknown")
	// ErrStore means that the log could not be written, as on a full disk.
	ErrStore = errors.New("log store failed")
	// ErrStopped means that this server is stopping.
	ErrStopped = errors.New("stopped")
)

// Machine is what commands are applied to. Apply and Restore are called from
// one goroutine.
type Machine interface {
	// Apply carries out the command of a log index.
	Apply(index uint64, c *pb.Command) *pb.Outcome
	// Snapshot is the whole state. It must not change afterwards.
	Snapshot() *pb.State
	// Restore replaces the whole state.
	Restore(*pb.State) error
}

// Transport carries raft's messages; simulations bring their own.
type Transport = raft.Transport

// Peer is a server and the address of its raft port.
type Peer struct {
	ID      string
	Address string
}

// Config says what to open.
type Config struct {
	ID string
	// Peers are all servers, this one included: the same on each of them.
	Peers   []Peer
	Machine Machine
	Timing  Timing

	// Dir holds log and snapshots. Left empty with Stores.
	Dir    string
	Stores *Stores

	// Listener is the raft port, where only the bundle's fellow servers are
	// let in. Left out with Transport.
	Listener  net.Listener
	Bundle    *pki.Bundle
	Transport Transport

	// Fatal is called once, on a goroutine of its own, when the store hangs:
	// after this server's raft connections are closed. The process must end.
	Fatal func(error)
	Log   *slog.Logger
}

// Timing is how fast servers notice one another's death.
type Timing struct {
	// Heartbeat is how long a follower waits for its leader, and a candidate for votes.
	Heartbeat time.Duration
	// Lease is how long a leader goes on without a quorum.
	Lease time.Duration
	// Commit is how often a quiet leader tells followers of commits.
	Commit time.Duration
	// Store is how long one write of the log may take before the server stops.
	Store time.Duration
	// SnapshotAfter is how many entries a snapshot is taken after.
	SnapshotAfter uint64
}

// LAN is for servers within a few milliseconds of one another. A follower that
// hears nothing stands for election one to three heartbeat times later; a leader
// that is kept from running for less than its lease stays one.
func LAN() Timing {
	return Timing{
		Heartbeat: 250 * time.Millisecond, Lease: 250 * time.Millisecond, Commit: 25 * time.Millisecond,
		Store: 3 * time.Second, SnapshotAfter: 8192,
	}
}

// WAN is for servers further apart.
func WAN() Timing {
	return Timing{
		Heartbeat: time.Second, Lease: 500 * time.Millisecond, Commit: 50 * time.Millisecond,
		Store: 5 * time.Second, SnapshotAfter: 8192,
	}
}

// Consensus is one server's part in it.
type Consensus struct {
	raft    *raft.Raft
	machine *machine
	trans   Transport
	stores  *Stores
	log     *slog.Logger

	teller    *teller
	detector  *detector // nil where the transport sees no connections
	proposals proposals
	// leader is closed and replaced when this server hears of another leader.
	leader atomic.Pointer[chan struct{}]
	heard  chan raft.Observation
	// leaders is how often somebody was heard of who came to lead.
	leaders atomic.Uint64

	notify chan bool
	terms  chan Term
	ready  atomic.Uint64 // the term whose barrier has passed here, 0 as a follower
	quit   chan struct{}
	done   chan struct{}
}

// Open starts this server's part. It returns before there is a leader.
func Open(cfg Config) (*Consensus, error) {
	c, err := open(cfg)
	if err != nil {
		return nil, fmt.Errorf("open consensus: %w", err)
	}
	go c.followLeadership()
	return c, nil
}

// Propose commits a command and returns its outcome. Only the leader can: other
// servers return ErrNotLeader at once. After ErrUnknown, propose the same
// command again, on whoever leads: one that is still under way here is waited
// for, and not sent a second time.
func (c *Consensus) Propose(ctx context.Context, cmd *pb.Command) (*pb.Outcome, error) {
	return c.Begin(ctx, cmd)[0].Wait(ctx)
}

// Barrier waits until everything committed so far is applied here; leader only.
func (c *Consensus) Barrier(ctx context.Context) error {
	if err := await(ctx, func() raft.Future { return c.raft.Barrier(enqueueTime(ctx)) }); err != nil {
		return fmt.Errorf("pass barrier: %w", err)
	}
	return nil
}

// Verify asks a quorum whether this server still leads.
func (c *Consensus) Verify(ctx context.Context) error {
	if err := await(ctx, func() raft.Future { return c.raft.VerifyLeader() }); err != nil {
		return fmt.Errorf("verify leader: %w", err)
	}
	return nil
}

// LinearizableIndex is a log index such that a read at or after it, on any
// server, sees everything that was acknowledged before the call. Leader only.
func (c *Consensus) LinearizableIndex(ctx context.Context) (uint64, error) {
	if c.ready.Load() == 0 {
		return 0, fmt.Errorf("read index: %w", ErrNotLeader)
	}
	index := c.machine.applied() // read first, verify after
	if err := c.Verify(ctx); err != nil {
		return 0, fmt.Errorf("read index: %w", err)
	}
	return index, nil
}

// WaitApplied waits until this server's machine has come to a log index.
func (c *Consensus) WaitApplied(ctx context.Context, index uint64) error {
	if err := c.machine.wait(ctx, index); err != nil {
		return fmt.Errorf("wait for log index %d: %w", index, err)
	}
	return nil
}

// Applied is the log index of the last command applied here.
func (c *Consensus) Applied() uint64 { return c.machine.applied() }

// Leader is the id of the leader as this server knows it, or empty.
func (c *Consensus) Leader() string {
	_, id := c.raft.LeaderWithID()
	return string(id)
}

// LeaderNews is closed when this server hears of another leader, or of none.
func (c *Consensus) LeaderNews() <-chan struct{} { return *c.leader.Load() }

// Snapshot takes a snapshot now.
func (c *Consensus) Snapshot() error {
	if err := c.raft.Snapshot().Error(); err != nil && !errors.Is(err, raft.ErrNothingNewToSnapshot) {
		return fmt.Errorf("take snapshot: %w", err)
	}
	return nil
}

// HandOver makes another server lead, so that writes pause for one round trip
// only. A follower does nothing.
func (c *Consensus) HandOver(ctx context.Context) error {
	if c.raft.State() != raft.Leader {
		return nil
	}
	if err := await(ctx, func() raft.Future { return c.raft.LeadershipTransfer() }); err != nil {
		return fmt.Errorf("hand over leadership: %w", err)
	}
	return nil
}

// Stop leaves. It does not hand over: HandOver does, before.
func (c *Consensus) Stop(ctx context.Context) error {
	err := await(ctx, func() raft.Future { return c.raft.Shutdown() })
	close(c.quit)
	<-c.done
	if closer, ok := c.trans.(raft.WithClose); ok {
		err = errors.Join(err, closer.Close())
	}
	c.stopTelling()
	if err := errors.Join(err, c.stores.close()); err != nil {
		return fmt.Errorf("stop consensus: %w", err)
	}
	return nil
}

// await asks raft for something and waits for it, but no longer than the
// context: raft takes questions into queues that are full when its disk hangs.
func await(ctx context.Context, ask func() raft.Future) error {
	done := make(chan error, 1)
	go func() { done <- ask().Error() }()
	select {
	case err := <-done:
		return translate(err)
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrUnknown, context.Cause(ctx))
	}
}

// translate names raft's errors in our words.
func translate(err error) error {
	switch {
	case err == nil, errors.Is(err, ErrStore):
		return err
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return ErrNotLeader
	case errors.Is(err, raft.ErrEnqueueTimeout):
		return fmt.Errorf("%w: queue is full", ErrNotLeader)
	case errors.Is(err, raft.ErrRaftShutdown):
		return fmt.Errorf("%w: %w", ErrUnknown, ErrStopped)
	default: // leadership lost, aborted by restore …: it may have been committed
		return fmt.Errorf("%w: %w", ErrUnknown, err)
	}
}

// enqueueTime bounds the wait for a place in raft's queue.
func enqueueTime(ctx context.Context) time.Duration {
	const most = 5 * time.Second
	if deadline, ok := ctx.Deadline(); ok {
		return max(time.Millisecond, min(most, time.Until(deadline)))
	}
	return most
}
