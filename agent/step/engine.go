package step

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"squall/agent/fault"
	"squall/agent/host"
	"squall/agent/undo"
	pb "squall/proto/squall/v1"
)

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

// errEnded says that the engine no longer runs.
var errEnded = errors.New("the agent is ending")

// Engine moves the steps of a host. Orders, leases and halts go in; statuses
// come out. One goroutine, that of Run, owns the state; whatever may wait is
// done beside it. Methods may be called from any goroutine; those that bring
// news return when the news has been taken, not when it is carried out.
type Engine struct {
	name   string
	host   host.Host
	runner *undo.Runner
	clock  ClusterClock
	log    *slog.Logger

	core *core // owned by Run's goroutine
	now  atomic.Pointer[picture]
	// changed has a token in it when a status may differ from the last look.
	changed chan struct{}
	news    chan posted
	ended   chan struct{}

	group  sync.WaitGroup
	writer *queue
	gates  chan leases

	mu sync.Mutex // guards cancel
	// cancel ends what is under way for a step.
	cancel map[key]map[*context.CancelFunc]bool
}

// posted is news on its way, and who waits for it to be taken; nil for nobody.
type posted struct {
	news news
	done chan struct{}
}

// NewEngine makes an engine that knows what the journal knows. Nothing moves
// before Run.
func NewEngine(c EngineConfig) *Engine {
	e := &Engine{
		name: c.Name, host: c.Host, clock: c.Clock, log: c.Log,
		runner:  undo.NewRunner(c.Host, c.Journal, c.Log),
		changed: make(chan struct{}, 1), news: make(chan posted, 64), ended: make(chan struct{}),
		writer: newQueue(), gates: make(chan leases, 1), cancel: map[key]map[*context.CancelFunc]bool{},
	}
	e.core = newCore(c.Name, c.Journal.BootID(), e.instant(), e.runner.Steps(), e.runner.Order(), e.runner.Latches())
	e.core.damage = e.runner.Damage()
	e.now.Store(e.core.picture())
	return e
}

// instant is now.
func (e *Engine) instant() instant {
	n := instant{boot: e.host.Boot()}
	n.offset, n.doubt, n.known = e.clock.Offset()
	return n
}

// Run moves the steps until ctx ends. What is being injected then is reverted
// by the caller, as is what is held: it knows why it ends. Run is called once.
func (e *Engine) Run(ctx context.Context) error {
	e.group.Go(func() { e.writer.run(ctx) })
	e.group.Go(func() { e.moveGates(ctx) })
	e.group.Go(func() { e.takeUpDisk(ctx) })
	e.group.Go(func() { e.watchDeaths(ctx) })
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		var n posted
		select {
		case <-ctx.Done():
			continue
		case n = <-e.news:
		case <-timer.C:
		}
		for _, effect := range e.core.take(e.instant(), n.news) {
			e.carryOut(ctx, effect)
		}
		e.publish()
		if n.done != nil {
			close(n.done)
		}
		timer.Reset(max(e.core.next()-e.host.Boot(), 0))
	}
	close(e.ended)
	e.group.Wait()
	return ctx.Err()
}

// publish lets others see the state as it is now.
func (e *Engine) publish() {
	old := e.now.Swap(e.core.picture())
	close(old.next)
	if !e.core.told {
		return
	}
	e.core.told = false
	select {
	case e.changed <- struct{}{}:
	default:
	}
}

// post brings news and does not wait for it to be taken.
func (e *Engine) post(n news) {
	select {
	case e.news <- posted{news: n}:
	case <-e.ended:
	}
}

// bring brings news, and returns when it has been taken.
func (e *Engine) bring(n news) error {
	done := make(chan struct{})
	select {
	case e.news <- posted{n, done}:
	case <-e.ended:
		return errEnded
	}
	select {
	case <-done:
		return nil
	case <-e.ended:
		return errEnded
	}
}

// await returns the first picture that a condition holds for, or the newest
// when ctx or the engine ends.
func (e *Engine) await(ctx context.Context, yes func(*picture) bool) *picture {
	for {
		p := e.now.Load()
		if yes(p) {
			return p
		}
		select {
		case <-p.next:
		case <-ctx.Done():
			return p
		case <-e.ended:
			return p
		}
	}
}

// Order takes a host's whole set. What is absent from it is reverted, what was
// injected before is not injected again, and an order behind the newest is
// refused with undo.ErrBehind.
func (e *Engine) Order(o *pb.Order) error {
	n := &ordered{order: o}
	return errors.Join(e.bring(n), n.err)
}

// Halt reverts everything and latches the halt: new steps are refused until a
// committed resume names its id, or, for a local one, until Resume. It waits
// for no disk: see Halted for whether the disk has it.
func (e *Engine) Halt(h *pb.HaltLatch) error { return e.bring(&halting{h}) }

// Recorded is a latch as it stands when the disk has it, or after patience: then
// it says that it is unrecorded.
func (e *Engine) Recorded(ctx context.Context, h *pb.HaltLatch, patience time.Duration) *pb.HaltLatch {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	p := e.await(ctx, func(p *picture) bool { return !p.halted.GetUnrecorded() })
	if p.halted.GetId() == h.GetId() {
		return p.halted
	}
	h = proto.CloneOf(h)
	h.Unrecorded = p.halted.GetUnrecorded() // another has followed it: the disk has both, or neither
	return h
}

// Resume lets go of a local halt. One that servers committed stays.
func (e *Engine) Resume() error { return e.bring(&resumed{}) }

// Renewed says that a lease was granted, counted from a boot time: that at
// which the ping was sent that the renewal answers.
func (e *Engine) Renewed(from time.Duration) { e.post(&renewed{from}) }

// Retry lets whatever could not be undone be tried again at once.
func (e *Engine) Retry() { e.post(&retried{}) }

// Undo reverts the steps of a run, or all when run is empty, tries again what
// is left of ended ones, and waits until that is done. It returns them as they
// are then.
func (e *Engine) Undo(ctx context.Context, run string, cause pb.RevertCause) []*pb.StepStatus {
	n := &undone{run: run, cause: cause}
	if e.bring(n) != nil {
		return nil
	}
	p := e.await(ctx, func(p *picture) bool {
		for _, k := range n.keys {
			if settled, known := p.settled[k]; known && !settled {
				return false
			}
		}
		return true
	})
	var all []*pb.StepStatus
	for _, k := range n.keys {
		if s := p.status(k); s != nil {
			all = append(all, s)
		}
	}
	return all
}

// Inject takes up a task from the host's own socket and waits until it is held
// or over. The task starts as soon as arming allows and lasts for length; its
// deadline comes grace later than its end.
func (e *Engine) Inject(ctx context.Context, t *pb.Task, prefixes []string, length, grace time.Duration) (*pb.StepStatus, error) {
	n := &asked{task: proto.CloneOf(t), prefixes: prefixes, length: length, grace: grace}
	if err := errors.Join(e.bring(n), n.err); err != nil {
		return nil, err
	}
	k := keyOf(t)
	p := e.await(ctx, func(p *picture) bool { return p.states[k] >= pb.StepState_STEP_STATE_HELD })
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("inject %s: %w", k.step, ctx.Err())
	case p.states[k] < pb.StepState_STEP_STATE_HELD:
		return nil, fmt.Errorf("inject %s: %w", k.step, errEnded)
	}
	return p.status(k), nil
}

// Preview plans a task without touching anything, and says what it would touch.
func (e *Engine) Preview(ctx context.Context, t *pb.Task, prefixes []string) *pb.StepStatus {
	s := &pb.StepStatus{Run: t.GetRun(), Step: t.GetStep(), Host: e.name, State: pb.StepState_STEP_STATE_REFUSED}
	asked := &asking{task: t}
	if err := e.bring(asked); err != nil {
		s.Refused = problemOf(err)
		return s
	}
	if s.Refused = asked.barred; s.Refused != nil {
		return s
	}
	now := e.host.Boot()
	n := e.plan(ctx, planning{key: keyOf(t), at: &fault.Step{
		Task: t, Prefixes: prefixes, Start: now,
		End:      now + time.Duration(t.GetEndUnixNanos()-t.GetStartUnixNanos()),
		Deadline: now + time.Duration(t.GetDeadlineUnixNanos()-t.GetStartUnixNanos()),
	}})
	if n.err != nil {
		s.Refused = problemOf(n.err)
		return s
	}
	s.State = pb.StepState_STEP_STATE_READY
	s.Touches, s.Engine = host.Describe(n.changes), fault.Engine(n.facts, t.GetFault())
	s.ArmNanos = int64(e.now.Load().armCost)
	return s
}

// Leftovers sweeps for what is ours and belongs to no step, and names what
// could not be removed. No step begins meanwhile that the sweep doesn't know.
func (e *Engine) Leftovers(ctx context.Context) ([]string, error) {
	n := &sweep{done: make(chan struct{}), ctx: ctx}
	if err := e.bring(n); err != nil {
		return nil, err
	}
	select {
	case <-n.done:
		return n.left, n.err
	case <-e.ended:
		return nil, errEnded
	}
}
