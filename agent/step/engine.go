package step

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"squall/agent/host"
	"squall/agent/undo"
	pb "squall/proto/squall/v1"
)

// DefaultLease is the lease of a step that names none.
const DefaultLease = 10 * time.Second

// ClusterClock tells how far cluster time is from boot time.
type ClusterClock interface {
	// Offset is what to add to boot time to get cluster time in Unix
	// nanoseconds, and how far off that may be. It is not ok before the first
	// measurement.
	Offset() (offset, uncertainty time.Duration, ok bool)
}

// EngineConfig is what an engine works with.
type EngineConfig struct {
	// Name is the host's.
	Name string
	Host host.Host
	// Journal is open, and everything in it is reverted: see Recover.
	Journal *undo.Journal
	Clock   ClusterClock
	Log     *slog.Logger
}

// Engine moves the steps of a host. Orders, leases and halts go in; statuses
// come out. Each step has a goroutine of its own, and Run owns them all.
// Methods may be called from any goroutine.
type Engine struct {
	name   string
	host   host.Host
	runner *undo.Runner
	clock  ClusterClock
	log    *slog.Logger

	// changed has a token in it when a status may differ from the last look.
	changed chan struct{}
	group   sync.WaitGroup
	// orders makes orders, halts and resumes come one after the other.
	orders sync.Mutex
	// committed is the id of the committed halt that was latched last. Guarded
	// by orders.
	committed string

	mu sync.Mutex // guards all below
	// ctx is that of Run; nil before and after.
	ctx   context.Context
	steps map[key]*step
	// order is the newest one that was accepted.
	order *pb.Order
	sets  map[string][]string
	// granted is the boot time from which the newest lease counts; negative
	// before the first.
	granted time.Duration
	// armCost is what arming took here lately.
	armCost time.Duration
}

// key names a step.
type key struct{ run, step string }

// NewEngine makes an engine that knows what the journal knows. Nothing moves
// before Run.
func NewEngine(c EngineConfig) *Engine {
	e := &Engine{
		name: c.Name, host: c.Host, clock: c.Clock, log: c.Log,
		runner:  undo.NewRunner(armingHost{c.Host}, c.Journal, c.Log),
		changed: make(chan struct{}, 1),
		steps:   map[key]*step{},
		sets:    map[string][]string{},
		granted: -1,
		armCost: firstArmCost,
	}
	for _, known := range e.runner.Steps() {
		e.steps[key{known.Run, known.Step}] = e.adopt(known)
	}
	return e
}

// Run moves the steps until ctx ends. What is being injected then is reverted;
// what is held stays for the caller to revert, who knows why it ends.
func (e *Engine) Run(ctx context.Context) error {
	e.mu.Lock()
	e.ctx = ctx
	for _, s := range e.steps {
		e.start(s)
	}
	e.mu.Unlock()
	<-ctx.Done()
	e.mu.Lock()
	e.ctx = nil
	e.mu.Unlock()
	e.group.Wait()
	return ctx.Err()
}

// start lets a step move. The caller holds mu.
func (e *Engine) start(s *step) {
	if e.ctx == nil || s.started {
		return
	}
	s.started = true
	ctx := e.ctx
	e.group.Go(func() { s.run(ctx) })
}

// Order takes a host's whole set. What is absent from it is reverted, what was
// injected before is not injected again, and an order behind the newest is
// refused with undo.ErrBehind.
func (e *Engine) Order(o *pb.Order) error {
	e.orders.Lock()
	defer e.orders.Unlock()
	if err := e.runner.Accept(&pb.OrderMark{Epoch: o.GetEpoch(), Index: o.GetIndex()}); err != nil {
		return fmt.Errorf("accept order %d/%d: %w", o.GetEpoch(), o.GetIndex(), err)
	}
	err := e.lever(o.GetHalt())
	e.take(o)
	return errors.Join(err, e.forget(o))
}

// take brings the steps in line with an order.
func (e *Engine) take(o *pb.Order) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.order = o
	listed := map[key]bool{}
	for _, t := range o.GetTasks() {
		k := key{t.GetRun(), t.GetStep()}
		listed[k] = true
		e.update(k, t)
	}
	for k, s := range e.steps {
		if !listed[k] && !s.local {
			e.absent(k, s)
		}
	}
	e.notify()
}

// update creates a step or tells it what has changed. The caller holds mu.
func (e *Engine) update(k key, t *pb.Task) {
	if s, ok := e.steps[k]; ok {
		s.learn(t)
		return
	}
	s := e.newStep(t)
	e.steps[k] = s
	e.start(s)
}

// absent ends a step that its order no longer lists. The caller holds mu.
func (e *Engine) absent(k key, s *step) {
	if s.status.GetState() == pb.StepState_STEP_STATE_REFUSED {
		delete(e.steps, k)
		return
	}
	s.drop(pb.RevertCause_REVERT_CAUSE_ORDER)
}

// newest is the order that was accepted last; nil before the first.
func (e *Engine) newest() *pb.Order {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.order
}

// tidy forgets what the newest order confirms and what ended only afterwards.
func (e *Engine) tidy() error {
	e.orders.Lock()
	defer e.orders.Unlock()
	return e.forget(e.newest())
}

// forget drops the tombstones that the machine has recorded. One that the same
// order still lists stays: it is what keeps the step from a second injection.
func (e *Engine) forget(o *pb.Order) error {
	var errs []error
	for _, c := range o.GetConfirmed() {
		k := key{c.GetRun(), c.GetStep()}
		if listed(o, k) || !e.ended(k) {
			continue
		}
		if err := e.runner.Forget(k.run, k.step); err != nil {
			errs = append(errs, fmt.Errorf("forget %s %s: %w", k.run, k.step, err))
			continue
		}
		e.mu.Lock()
		delete(e.steps, k)
		e.mu.Unlock()
	}
	return errors.Join(errs...)
}

func listed(o *pb.Order, k key) bool {
	return slices.ContainsFunc(o.GetTasks(), func(t *pb.Task) bool {
		return t.GetRun() == k.run && t.GetStep() == k.step
	})
}

// ended says that a step is reverted or refused and its goroutine gone.
func (e *Engine) ended(k key) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	s, ok := e.steps[k]
	return ok && s.done
}

// Renewed says that a lease was granted, counted from a boot time: that at
// which the ping was sent that the renewal answers.
func (e *Engine) Renewed(from time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if from <= e.granted {
		return
	}
	e.dropLapsed()
	e.granted = from
	e.renewHost()
	for _, s := range e.steps {
		s.poke()
	}
}

// dropLapsed ends what a lease that has run out held: after a stop of this
// process, the renewal may be seen before the lapse. The caller holds mu.
func (e *Engine) dropLapsed() {
	now := e.host.Boot()
	for _, s := range e.steps {
		if s.injected() && !s.task.GetHoldWithoutLease() && now >= s.leaseEnd() {
			s.drop(pb.RevertCause_REVERT_CAUSE_LEASE)
		}
	}
}

// renewHost moves the gates of everything attached. The caller holds mu.
func (e *Engine) renewHost() {
	if lease, any := e.lease(); any && e.granted >= 0 {
		e.host.Renew(e.granted + lease)
	}
}

// lease is the shortest lease of the steps that are not over. The caller holds mu.
func (e *Engine) lease() (time.Duration, bool) {
	shortest, any := forever, false
	for _, s := range e.steps {
		if !s.over() {
			shortest, any = min(shortest, s.lease()), true
		}
	}
	return shortest, any
}

// Pace is how often to ping: a tenth of the shortest lease, at most a second.
func (e *Engine) Pace() time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	lease, _ := e.lease()
	return max(min(lease/10, time.Second), minPace)
}

const minPace = 20 * time.Millisecond

// Name is the host's.
func (e *Engine) Name() string { return e.name }

// Host is what the engine works on.
func (e *Engine) Host() host.Host { return e.host }

// Newest is the highest order that this host has accepted.
func (e *Engine) Newest() *pb.OrderMark { return e.runner.Order() }

// Changed yields when a status may differ from the last look.
func (e *Engine) Changed() <-chan struct{} { return e.changed }

func (e *Engine) notify() {
	select {
	case e.changed <- struct{}{}:
	default:
	}
}

// Probes are what the newest order asks to measure.
func (e *Engine) Probes() []*pb.ProbeTask { return e.newest().GetProbes() }
