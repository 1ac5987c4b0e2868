package conduct

import (
	"context"
	"log/slog"
	"slices"
	"time"

	pb "squall/proto/squall/v1"
	"squall/server/state"
)

const (
	// pause is how long the conductor waits after a command that came to
	// nothing, so that it never spins.
	pause = 100 * time.Millisecond
	// commits is how many commits the estimate of the next one looks back on.
	commits = 16
)

// Proposer commits commands. An error means that it is not known whether the
// command took effect: it may be proposed again under the same id.
type Proposer interface {
	Propose(ctx context.Context, c *pb.Command) (*pb.Outcome, error)
}

// Pusher hands orders to the servers that hold the hosts' agents, ahead of
// those servers' own logs. It must not wait for slow ones.
type Pusher interface {
	Push(ctx context.Context, orders map[string]*pb.Order)
}

// Machine is where the conductor looks.
type Machine interface {
	View() *state.View
}

// Conductor carries decisions out. Only the leader conducts, one Lead at a
// time; everything that it does is committed first.
type Conductor struct {
	Machine  Machine
	Proposer Proposer
	Pusher   Pusher
	// Now is cluster time.
	Now func() time.Time
	Log *slog.Logger
}

// Lead conducts all runs until ctx ends: for one term, once everything that
// was committed before it is applied. It returns the cause of ctx's end.
func (c *Conductor) Lead(ctx context.Context) error {
	t := &term{Conductor: c, pushed: c.Machine.View().Index()}
	for ctx.Err() == nil {
		v := c.Machine.View()
		t.push(ctx, v)
		if wake, idle := t.round(ctx, v); idle {
			t.sleep(ctx, v.Stale(), wake)
		}
	}
	return context.Cause(ctx)
}

// term is what one leader remembers.
type term struct {
	*Conductor
	decider Decider
	pushed  uint64 // index up to which changed orders were handed on
	took    []time.Duration
}

// push hands on the orders that have changed.
func (t *term) push(ctx context.Context, v *state.View) {
	hosts, all := v.Reordered(t.pushed)
	t.pushed = v.Index()
	if all {
		hosts = hosts[:0]
		for _, h := range v.Hosts() {
			hosts = append(hosts, h.GetHost().GetName())
		}
	}
	if len(hosts) == 0 {
		return
	}
	orders := make(map[string]*pb.Order, len(hosts))
	for _, h := range hosts {
		orders[h] = v.Order(h)
	}
	t.Pusher.Push(ctx, orders)
}

// round makes a decision for every run. It is idle when there was nothing to
// propose, and then says for how long nothing will be due.
func (t *term) round(ctx context.Context, v *state.View) (wake time.Duration, idle bool) {
	wake, idle = time.Hour, true
	for _, r := range v.Active() {
		d := t.decider.Decide(t.Now(), v, r.GetId())
		if len(d.Record) > 0 {
			idle = false
			t.record(ctx, d.Record)
			t.push(ctx, t.Machine.View())
		} else if !d.Wake.IsZero() {
			wake = min(wake, max(d.Wake.Sub(t.Now()), time.Millisecond))
		}
	}
	return wake, idle
}

// record proposes the commands of one decision, until one comes to nothing.
func (t *term) record(ctx context.Context, commands []*pb.Command) {
	for _, c := range commands {
		began := time.Now()
		outcome, err := t.Proposer.Propose(ctx, c)
		if err == nil && outcome.GetRefused() == nil && !outcome.GetRepeatedCommand() {
			t.learn(time.Since(began))
			continue
		}
		if ctx.Err() == nil {
			t.Log.Warn("decision came to nothing", "command", c.GetId(),
				"err", err, "refused", outcome.GetRefused().GetMessage())
		}
		t.sleep(ctx, nil, pause)
		return
	}
}

// learn takes the slowest of the last commits for the next one.
func (t *term) learn(took time.Duration) {
	t.took = append(t.took, took)
	t.took = t.took[max(0, len(t.took)-commits):]
	t.decider.Commit = slices.Max(t.took)
}

// sleep waits for news, or until it is time.
func (t *term) sleep(ctx context.Context, news <-chan struct{}, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-news:
	case <-ctx.Done():
	}
}
