package consensus

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
)

// Proposal is a command on its way.
type Proposal struct {
	data    []byte
	done    chan struct{} // closed when outcome and err are there
	outcome *pb.Outcome
	err     error
}

// Wait waits for the outcome of a command. What its errors mean, Propose says.
func (p *Proposal) Wait(ctx context.Context) (*pb.Outcome, error) {
	select {
	case <-p.done:
	case <-ctx.Done():
		return nil, fmt.Errorf("propose: %w: %w", ErrUnknown, context.Cause(ctx))
	}
	if p.err != nil {
		return nil, fmt.Errorf("propose: %w", p.err)
	}
	return p.outcome, nil
}

func (p *Proposal) end(outcome *pb.Outcome, err error) {
	p.outcome, p.err = outcome, err
	close(p.done)
}

// proposals are those under way, by the ids of their commands. Its zero value is
// ready, and it is safe for concurrent use.
type proposals struct {
	mu    sync.Mutex
	under map[string]*Proposal
}

// begin is the proposal of a command, and whether it is a new one.
func (ps *proposals) begin(cmd *pb.Command) (p *Proposal, isNew bool) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if p := ps.under[cmd.GetId()]; p != nil {
		return p, false
	}
	p = &Proposal{done: make(chan struct{})}
	data, err := proto.Marshal(cmd)
	if err != nil {
		p.end(nil, err)
		return p, false
	}
	p.data = data
	if ps.under == nil {
		ps.under = make(map[string]*Proposal)
	}
	ps.under[cmd.GetId()] = p
	return p, true
}

func (ps *proposals) forget(id string) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	delete(ps.under, id)
}

// Begin puts commands into the log in their order, and without waiting for one
// another: they share a write of each server's disk and a message to it. Each has
// an outcome of its own. One that is still under way is not sent a second time.
func (c *Consensus) Begin(ctx context.Context, commands ...*pb.Command) []*Proposal {
	all := make([]*Proposal, len(commands))
	var ids []string
	var fresh []*Proposal
	for i, cmd := range commands {
		p, isNew := c.proposals.begin(cmd)
		if all[i] = p; isNew {
			ids, fresh = append(ids, cmd.GetId()), append(fresh, p)
		}
	}
	if len(fresh) > 0 {
		go c.carry(ids, fresh, enqueueTime(ctx))
	}
	return all
}

// carry waits for raft to take commands, which it doesn't when its disk hangs, and
// for what becomes of each.
func (c *Consensus) carry(ids []string, fresh []*Proposal, most time.Duration) {
	futures := make([]raft.ApplyFuture, len(fresh))
	for i, p := range fresh {
		futures[i] = c.raft.Apply(p.data, most)
	}
	for i, f := range futures {
		err := translate(f.Error())
		c.proposals.forget(ids[i])
		if err != nil {
			fresh[i].end(nil, err)
			continue
		}
		fresh[i].end(f.Response().(*pb.Outcome), nil)
	}
}
