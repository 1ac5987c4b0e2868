package consensus

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"

	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
)

// machine adapts a Machine to raft, in batches, and tells how far it has come.
type machine struct {
	inner Machine
	log   *slog.Logger

	// committed is told the last entry of each batch that holds a command.
	committed func(index, term uint64)

	mu    sync.Mutex // guards index and moved
	index uint64
	moved chan struct{} // closed and replaced when index grows
}

func newMachine(inner Machine, log *slog.Logger) *machine {
	return &machine{inner: inner, log: log, moved: make(chan struct{})}
}

// Apply is there for raft's interface: raft prefers ApplyBatch.
func (m *machine) Apply(l *raft.Log) any { return m.ApplyBatch([]*raft.Log{l})[0] }

// ApplyBatch applies committed entries.
func (m *machine) ApplyBatch(logs []*raft.Log) []any {
	outcomes := make([]any, len(logs))
	index := m.applied() // of commands only, as snapshots have it
	for i, l := range logs {
		if l.Type == raft.LogCommand {
			outcomes[i] = m.apply(l)
			index = l.Index
		}
	}
	m.advance(index)
	if last := logs[len(logs)-1]; m.committed != nil {
		m.committed(last.Index, last.Term)
	}
	return outcomes
}

func (m *machine) apply(l *raft.Log) *pb.Outcome {
	cmd, err := decodeCommand(l.Data)
	if err != nil {
		// Every server comes to the same answer, so the machines stay alike.
		m.log.Error("skipped a log entry", "index", l.Index, "cause", err)
		return &pb.Outcome{Index: l.Index, Refused: &pb.Problem{
			Message: err.Error(), Refusal: pb.Refusal_REFUSAL_INVALID,
		}}
	}
	return m.inner.Apply(l.Index, cmd)
}

// Snapshot captures the state; it is written while commands go on.
func (m *machine) Snapshot() (raft.FSMSnapshot, error) { return snapshot{m.inner.Snapshot()}, nil }

// Restore replaces the state by a snapshot's.
func (m *machine) Restore(r io.ReadCloser) error {
	state, err := readState(r)
	if err != nil {
		return fmt.Errorf("restore snapshot: %w", err)
	}
	if err := m.inner.Restore(state); err != nil {
		return fmt.Errorf("restore snapshot: %w", err)
	}
	m.advance(state.GetIndex())
	return nil
}

func (m *machine) applied() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.index
}

func (m *machine) advance(index uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.index = index
	close(m.moved)
	m.moved = make(chan struct{})
}

func (m *machine) wait(ctx context.Context, index uint64) error {
	for {
		m.mu.Lock()
		at, moved := m.index, m.moved
		m.mu.Unlock()
		if at >= index {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return fmt.Errorf("reached %d: %w", at, context.Cause(ctx))
		}
	}
}

func decodeCommand(data []byte) (*pb.Command, error) {
	cmd := new(pb.Command)
	if err := proto.Unmarshal(data, cmd); err != nil {
		return nil, fmt.Errorf("decode command: %w", err)
	}
	if cmd.GetId() == "" || cmd.GetKind() == nil {
		return nil, fmt.Errorf("decode command %q: id or kind is missing", cmd.GetId())
	}
	return cmd, nil
}

func readState(r io.ReadCloser) (*pb.State, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	state := new(pb.State)
	if err := proto.Unmarshal(data, state); err != nil {
		return nil, err
	}
	return state, r.Close()
}

// snapshot is a captured state on its way to disk.
type snapshot struct{ state *pb.State }

func (s snapshot) Persist(sink raft.SnapshotSink) error {
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(s.state)
	if err == nil {
		_, err = sink.Write(data)
	}
	if err != nil {
		_ = sink.Cancel() // the first error is the one to tell
		return fmt.Errorf("write snapshot: %w", err)
	}
	if err := sink.Close(); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	return nil
}

func (s snapshot) Release() {}
