package undo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"squall/agent/fault"
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
}

// NewRunner makes a runner on a journal that nobody else writes.
func NewRunner(h host.Host, j *Journal, log *slog.Logger) *Runner {
	return &Runner{host: h, journal: j, log: log, busy: map[key]*hold{}}
}

// Inject writes the intent, syncs, and makes its changes. Those that have an
// instant are armed: they act at that instant, by themselves. When a change
// fails, everything is reverted and the step is refused; when ctx ends, what
// was made stays until it is reverted. A step that the journal knows as armed
// or ended is not injected again: ErrOnce. Without room: ErrFull, and nothing
// is touched.
func (r *Runner) Inject(ctx context.Context, in *pb.Intent) error {
	k := key{in.GetRun(), in.GetStep()}
	ctx, done := r.enter(ctx, k)
	defer done()
	if s, ok := r.Step(k.run, k.step); ok && s.State != pb.StepState_STEP_STATE_SCHEDULED {
		return fmt.Errorf("inject %s of %s: %w", k.step, k.run, ErrOnce)
	}
	if err := r.journal.admit(r.record(&pb.Record{Kind: &pb.Record_Intent{Intent: in}})); err != nil {
		return fmt.Errorf("inject %s of %s: %w", k.step, k.run, err)
	}
	return r.carryOut(ctx, k, in.GetChanges())
}

// carryOut makes changes in order. The first that fails takes the step back;
// one that was cancelled leaves that to who cancelled it.
func (r *Runner) carryOut(ctx context.Context, k key, changes []*pb.Change) error {
	for _, c := range changes {
		err := r.do(ctx, c.GetDo())
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

// Revert undoes a step, newest change first and past every error, shows that
// nothing of it is left, and records that it ended. It is legal in every state
// and may be repeated: what was residue once may be clean now. What could not
// be undone or shown is in the mark's residue; the error is for a journal that
// can't be written, and the undo has been run all the same. What it was shown by
// is returned too; a step that was clean before is not shown again.
func (r *Runner) Revert(ctx context.Context, run, step string, cause pb.RevertCause) (*pb.Mark, []*pb.Evidence, error) {
	k := key{run, step}
	r.interrupt(k)
	ctx, done := r.enter(context.WithoutCancel(ctx), k)
	defer done()
	s, ok := r.Step(run, step)
	if !ok {
		return &pb.Mark{Run: run, Step: step, State: pb.StepState_STEP_STATE_REVERTED, Cause: cause}, nil, nil
	}
	if !s.Open() && len(s.Residue) == 0 {
		return s.Marks[len(s.Marks)-1].GetMark(), nil, nil
	}
	state := pb.StepState_STEP_STATE_REVERTED
	if !s.Open() {
		state, cause = s.State, s.Cause
	}
	return r.revert(ctx, k, state, cause)
}

func (r *Runner) revert(ctx context.Context, k key, state pb.StepState, cause pb.RevertCause) (*pb.Mark, []*pb.Evidence, error) {
	s, _ := r.Step(k.run, k.step)
	m := &pb.Mark{Run: k.run, Step: k.step, State: state, Cause: cause, PlannedBootNanos: plannedEnd(s, cause)}
	for _, c := range slices.Backward(s.Intent.GetChanges()) {
		if err := r.do(ctx, c.GetUndo()); err != nil {
			m.Residue = append(m.Residue, err.Error())
			r.log.Error("undo", "run", k.run, "step", k.step, "err", err)
		}
	}
	m.ActualBootNanos = int64(r.host.Boot())
	shown, left := r.left(ctx, s)
	m.Residue = append(m.Residue, left...)
	return m, shown, r.Mark(m)
}

// plannedEnd is the instant that the revert is measured against; 0 where it
// came unplanned.
func plannedEnd(s *Step, cause pb.RevertCause) int64 {
	if cause != pb.RevertCause_REVERT_CAUSE_END {
		return 0
	}
	return s.Intent.GetEndBootNanos()
}

// left is what still shows of a step after its undo, and how one looked.
func (r *Runner) left(ctx context.Context, s *Step) (shown []*pb.Evidence, residue []string) {
	if s.Intent == nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	shown, err := r.host.Evidence(ctx, fault.Tag(s.Run, s.Step), true)
	if err != nil {
		return nil, []string{fmt.Sprintf("show that %s is clean: %v", s.Step, err)}
	}
	for _, e := range shown {
		e.After = true
		if !e.GetHolds() {
			residue = append(residue, e.GetText())
		}
	}
	return shown, residue
}

// Recover ends every step that is open, newest first, and then removes
// whatever of ours no step speaks of. It is how an agent begins, and how a
// supervisor follows a worker's death. What it returns is still changed.
func (r *Runner) Recover(ctx context.Context, cause pb.RevertCause) error {
	var errs []error
	for _, s := range slices.Backward(r.Steps()) {
		if !s.Open() {
			continue
		}
		why := cause
		if s.BootID != "" && s.BootID != r.journal.options.BootID {
			why = pb.RevertCause_REVERT_CAUSE_REBOOT
		}
		m, _, err := r.Revert(ctx, s.Run, s.Step, why)
		errs = append(errs, err)
		for _, left := range m.GetResidue() {
			errs = append(errs, fmt.Errorf("recover %s of %s: %s", s.Step, s.Run, left))
		}
	}
	return errors.Join(append(errs, r.Sweep(ctx))...)
}

// Sweep removes whatever of ours belongs to no open step. What it can't remove
// is in the error.
func (r *Runner) Sweep(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), opTimeout)
	defer cancel()
	var held []string
	for _, s := range r.Steps() {
		if s.Open() {
			held = append(held, fault.Tag(s.Run, s.Step))
		}
	}
	left, err := r.host.Leftovers(ctx, held)
	if err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	if r.journal.Damaged() {
		r.log.Error("sweep after damage to the journal", "left", left)
		r.journal.Swept()
	}
	var errs []error
	for _, what := range left {
		errs = append(errs, fmt.Errorf("sweep: left %s", what))
	}
	return errors.Join(errs...)
}

// do carries out one operation under its own time limit.
func (r *Runner) do(ctx context.Context, op *pb.Op) error {
	name := opName(op)
	if name == "nothing" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	r.journal.options.Hook("before:" + name)
	defer r.journal.options.Hook("after:" + name)
	if err := r.host.Do(ctx, op); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func opName(op *pb.Op) string {
	m := op.ProtoReflect()
	if arm := m.WhichOneof(m.Descriptor().Oneofs().ByName("kind")); arm != nil {
		return string(arm.Name())
	}
	return "nothing"
}

// enter takes a step's lock and returns a context that a revert can cancel.
func (r *Runner) enter(ctx context.Context, k key) (context.Context, func()) {
	r.mu.Lock()
	h, ok := r.busy[k]
	if !ok {
		h = &hold{}
		r.busy[k] = h
	}
	r.mu.Unlock()
	h.mu.Lock()
	ctx, cancel := context.WithCancel(ctx)
	r.mu.Lock()
	h.cancel = cancel
	r.mu.Unlock()
	return ctx, func() { cancel(); h.mu.Unlock() }
}

// interrupt cancels what is under way in a step.
func (r *Runner) interrupt(k key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if h, ok := r.busy[k]; ok && h.cancel != nil {
		h.cancel()
	}
}
