package undo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"squall/agent/host"
	pb "squall/proto/squall/v1"
)

// opTimeout bounds one undo. An undo that hangs must not keep the others waiting.
const opTimeout = 20 * time.Second

// Runner makes changes and takes them back. Each step has one caller at a time;
// steps don't wait for one another.
type Runner struct {
	host    host.Host
	journal *Journal
	log     *slog.Logger

	mu   sync.Mutex // guards busy
	busy map[key]*hold
}

// hold serialises what happens to one step. A revert does not wait for an
// injection that is slow or hangs: it cancels it.
type hold struct {
	mu     sync.Mutex // held while the step is being changed
	cancel context.CancelFunc
	// users hold it or wait for it; with the last it goes.
	users int
}

// NewRunner makes a runner on a journal that nobody else writes.
func NewRunner(h host.Host, j *Journal, log *slog.Logger) *Runner {
	return &Runner{host: h, journal: j, log: log, busy: map[key]*hold{}}
}

// Inject writes the intent, syncs, and makes its changes. Those that have an
// instant are armed: they act at that instant, by themselves; armed, which may be
// nil, is called once when nothing is left but to wait for it. When a change
// fails, everything is reverted and the step is refused; when ctx ends, what
// was made stays until it is reverted. A step that the journal knows as armed
// or ended is not injected again: ErrOnce. Without room: ErrFull, and nothing
// is touched.
func (r *Runner) Inject(ctx context.Context, in *pb.Intent, armed func()) error {
	k := key{in.GetRun(), in.GetStep()}
	ctx, done := r.enter(ctx, k)
	defer done()
	if s, ok := r.Step(k.run, k.step); ok && s.State != pb.StepState_STEP_STATE_SCHEDULED {
		return fmt.Errorf("inject %s of %s: %w", k.step, k.run, ErrOnce)
	}
	if err := r.journal.add(ctx, "intent", r.record(&pb.Record{Kind: &pb.Record_Intent{Intent: in}})); err != nil {
		return r.notBegun(ctx, in, fmt.Errorf("inject %s of %s: %w", k.step, k.run, err))
	}
	return r.carryOut(ctx, k, in.GetChanges(), armed)
}

// notBegun closes a step whose intent the disk did not take. Nothing was
// touched; where somebody cancelled it, the step is theirs to end.
func (r *Runner) notBegun(ctx context.Context, in *pb.Intent, err error) error {
	if _, known := r.Step(in.GetRun(), in.GetStep()); !known || ctx.Err() != nil {
		return err
	}
	return errors.Join(err, r.Mark(&pb.Mark{
		Run: in.GetRun(), Step: in.GetStep(), State: pb.StepState_STEP_STATE_REFUSED, Local: in.GetLocal(),
		ActualBootNanos: int64(r.host.Boot()),
	}))
}

// carryOut makes changes in order. The first that fails takes the step back;
// one that was cancelled leaves that to who cancelled it.
func (r *Runner) carryOut(ctx context.Context, k key, changes []*pb.Change, armed func()) error {
	for i, c := range changes {
		var tell func()
		if i == len(changes)-1 {
			tell = armed
		}
		err := r.do(ctx, c.GetDo(), tell)
		if err == nil {
			continue
		}
		err = fmt.Errorf("inject %s of %s: %w", k.step, k.run, err)
		if ctx.Err() != nil {
			return err
		}
		_, _, undo := r.revert(ctx, k, pb.StepState_STEP_STATE_REFUSED, 0)
		return errors.Join(err, undo)
	}
	return nil
}

// do carries out one operation under its own time limit.
func (r *Runner) do(ctx context.Context, op *pb.Op, armed func()) error {
	name := cmp.Or(host.Kind(op), "nothing")
	if name == "nothing" {
		if armed != nil {
			armed()
		}
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	r.journal.options.Hook("before:" + name)
	defer r.journal.options.Hook("after:" + name)
	if err := r.host.Do(ctx, op, armed); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// enter takes a step's lock and returns a context that a revert can cancel.
func (r *Runner) enter(ctx context.Context, k key) (context.Context, func()) {
	r.mu.Lock()
	h, ok := r.busy[k]
	if !ok {
		h = &hold{}
		r.busy[k] = h
	}
	h.users++
	r.mu.Unlock()
	h.mu.Lock()
	ctx, cancel := context.WithCancel(ctx)
	r.mu.Lock()
	h.cancel = cancel
	r.mu.Unlock()
	return ctx, func() { cancel(); h.mu.Unlock(); r.leave(k, h) }
}

// leave lets go of what nobody uses any more.
func (r *Runner) leave(k key, h *hold) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if h.users--; h.users == 0 {
		delete(r.busy, k)
	}
}

// interrupt cancels what is under way in a step.
func (r *Runner) interrupt(k key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if h, ok := r.busy[k]; ok && h.cancel != nil {
		h.cancel()
	}
}
