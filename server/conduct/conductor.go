package conduct

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	pb "squall/proto/squall/v1"
	"squall/server/state"
)

const (
	// pause is how long a run waits after a command that came to nothing, so
	// that the conductor never spins.
	pause = 100 * time.Millisecond
	// commits is how many commits and wake-ups the estimates of the next one
	// look back on.
	commits = 16
)

// Proposer commits commands in their order, together where it can, and says what
// each came to. An error means that it is not known whether they took effect: they
// may be proposed again under the same ids. It is safe for concurrent use.
type Proposer interface {
	Propose(ctx context.Context, commands ...*pb.Command) ([]*pb.Outcome, error)
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
	// Doubt is why cluster time is not to be relied on by the calendar, empty where
	// it is; nil is never. While there is a reason, slots wait.
	Doubt func() string
	Log   *slog.Logger

	// Decide makes a decision about a run; nil is Decider.Decide. Simulations
	// bring one that is slow.
	Decide func(d *Decider, now time.Time, v *state.View, run string) Decision
}

// Lead conducts all runs until ctx ends: for one term, once everything that
// was committed before it is applied. Each run is conducted by itself, so that
// none waits for another's commits or judging. It returns the cause of ctx's end.
func (c *Conductor) Lead(ctx context.Context) error {
	t := &term{
		Conductor: c, since: c.Now(), pushed: c.Machine.View().Index(),
		seats: newSeats(), desks: make(map[string]*desk),
	}
	defer t.work.Wait()
	t.work.Go(func() { t.keepSlots(ctx) })
	before := c.Machine.View()
	for v := before; ctx.Err() == nil; v = c.Machine.View() {
		t.push(ctx, v)
		t.attend(ctx, before, v)
		before = v
		select {
		case <-v.Stale():
		case <-ctx.Done():
		}
	}
	return context.Cause(ctx)
}

// term is what one leader remembers.
type term struct {
	*Conductor
	since  time.Time // cluster time at which it began
	pushed uint64    // index up to which changed orders were handed on
	seats  *seats
	desks  map[string]*desk // by run; of the goroutine of Lead alone
	work   sync.WaitGroup
	commit estimate
	slop   estimate
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

// attend gives every run that is not done a desk, and tells those of it whose
// decision may have changed between two views.
func (t *term) attend(ctx context.Context, before, v *state.View) {
	for id, d := range t.desks {
		if !v.Same(before, id) || waitsForHosts(v.Run(id)) {
			d.tell()
		}
		if closed(v.Run(id)) {
			delete(t.desks, id) // its desk sees the same and ends
		}
	}
	for _, r := range v.Active() {
		if id := r.GetId(); t.desks[id] == nil {
			d := &desk{term: t, run: id, news: make(chan struct{}, 1)}
			t.desks[id] = d
			t.work.Go(func() { d.conduct(ctx) })
		}
	}
}

// waitsForHosts tells whether a decision about a run depends on which hosts are
// connected.
func waitsForHosts(r *pb.Run) bool { return r.GetState() == pb.RunState_RUN_STATE_PREPARING }

func closed(r *pb.Run) bool { return r == nil || r.GetState() == pb.RunState_RUN_STATE_DONE }

// estimate is the longest of the last durations. It is safe for concurrent use.
type estimate struct {
	mu   sync.Mutex // guards last
	last []time.Duration
}

func (e *estimate) add(d time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.last = append(e.last, d)
	e.last = e.last[max(0, len(e.last)-commits):]
}

// usual is the median; 0 before the first.
func (e *estimate) usual() time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	return middle(slices.Clone(e.last))
}

// longest is 0 before the first.
func (e *estimate) longest() (d time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, took := range e.last {
		d = max(d, took)
	}
	return d
}
