package server

import (
	"context"
	"fmt"
	"sync"
	"time"

	pb "squall/proto/squall/v1"
	"squall/server/consensus"
	"squall/server/fleet"
	"squall/server/state"
)

// maxHeld is how many reports a command may have that waits for others, and how
// many commands may be under way meanwhile: a busy leader's share a write by themselves.
const maxHeld = 64

// gatherer is where commands wait, on the leader, before they go into the log. What
// agents report may wait for a moment while nothing can follow from it: until
// the reports come that something follows from, from whichever server, or any
// other command. So a stage of a run costs one write of the log where its hosts
// would cost one each. Commands stay apart: each has its own outcome.
type gatherer struct {
	view  func() *state.View
	begin func(context.Context, ...*pb.Command) []proposal

	mu    sync.Mutex // guards all below
	held  []*gathered
	under map[*gathered]struct{} // held, or not known to be committed
	late  *time.Timer            // of the first that is held
}

// gathered are commands of one proposer on their way into the log.
type gathered struct {
	commands []*pb.Command
	begun    chan []proposal
}

// proposal is a command that is in the log, or about to be.
type proposal interface {
	Wait(ctx context.Context) (*pb.Outcome, error)
}

// propose commits commands in their order, with those that wait. An error is
// that of the first that has no outcome.
func (g *gatherer) propose(ctx context.Context, commands ...*pb.Command) ([]*pb.Outcome, error) {
	one := &gathered{commands: commands, begun: make(chan []proposal, 1)}
	defer g.forget(one)
	g.start(ctx, g.add(one))
	select {
	case begun := <-one.begun:
		return outcomes(ctx, begun)
	case <-ctx.Done():
		return nil, fmt.Errorf("propose: %w: %w", consensus.ErrUnknown, context.Cause(ctx))
	}
}

func outcomes(ctx context.Context, begun []proposal) ([]*pb.Outcome, error) {
	var out []*pb.Outcome
	for _, p := range begun {
		outcome, err := p.Wait(ctx)
		if err != nil {
			return out, err
		}
		out = append(out, outcome)
	}
	return out, nil
}

// add takes a command, and gives those that must go now.
func (g *gatherer) add(one *gathered) []*gathered {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.under == nil {
		g.under = make(map[*gathered]struct{})
	}
	g.under[one] = struct{}{}
	g.held = append(g.held, one)
	if !g.early(one.reports()) {
		return g.take()
	}
	if len(g.held) == 1 {
		g.late = time.AfterFunc(fleet.Patience, g.release)
	}
	return nil
}

// take empties what is held. The caller holds mu.
func (g *gatherer) take() []*gathered {
	if g.late != nil {
		g.late.Stop()
	}
	held := g.held
	g.held, g.late = nil, nil
	return held
}

func (g *gatherer) release() {
	g.mu.Lock()
	held := g.take()
	g.mu.Unlock()
	g.start(context.Background(), held)
}

// start puts commands into the log, in the order in which they came.
func (g *gatherer) start(ctx context.Context, all []*gathered) {
	if len(all) == 0 {
		return
	}
	var commands []*pb.Command
	for _, one := range all {
		commands = append(commands, one.commands...)
	}
	begun := g.begin(ctx, commands...)
	for _, one := range all {
		n := len(one.commands)
		one.begun <- begun[:n]
		begun = begun[n:]
	}
}

// reports are what agents said, none where there is anything else.
func (one *gathered) reports() (steps []*pb.StepStatus) {
	for _, cmd := range one.commands {
		if cmd.GetRecordSteps() == nil {
			return nil
		}
		steps = append(steps, cmd.GetRecordSteps().GetSteps()...)
	}
	return steps
}

func (g *gatherer) forget(one *gathered) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.under, one)
}

// early tells whether nothing can follow from reports yet, because hosts of other
// servers are still to say as much. Where it is a host of the same server, what
// that one says would have to wait for these to be committed. The caller holds mu.
func (g *gatherer) early(steps []*pb.StepStatus) bool {
	if len(steps) == 0 || len(steps) > maxHeld || len(g.under) > maxHeld {
		return false
	}
	v, known := g.view(), g.said()
	for _, s := range steps {
		server := v.Host(s.GetHost()).GetServer()
		said := func(host string) pb.StepState { return known[stepOn{s.GetRun(), s.GetStep(), host}] }
		here := func(host string) bool { return v.Host(host).GetServer() == server }
		elsewhere := func(host string) bool { return !here(host) && v.Host(host).GetServer() != "" } // lost ones say nothing
		if v.Early(s, here, said) || !v.Early(s, elsewhere, said) {
			return false
		}
	}
	return true
}

// stepOn names a step on a host.
type stepOn struct{ run, step, host string }

// said is how far hosts have come with their steps by the reports under way. The
// caller holds mu.
func (g *gatherer) said() map[stepOn]pb.StepState {
	said := make(map[stepOn]pb.StepState)
	for one := range g.under {
		for _, s := range one.reports() {
			on := stepOn{s.GetRun(), s.GetStep(), s.GetHost()}
			said[on] = max(said[on], s.GetState())
		}
	}
	return said
}
