package undo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"squall/agent/fault"
	pb "squall/proto/squall/v1"
)

const (
	// undoPatience is how long the undo of a step's change is waited for before
	// the next begins beside it. Starting a workload may hang at a disk, and what
	// keeps the host dark is undone after that: it must not wait to be noticed.
	undoPatience = 25 * time.Millisecond
	// atOnce is how many steps Recover reverts at one time.
	atOnce = 8
	// firstMend and lastMend bound the wait before residue is tried again.
	firstMend = time.Second
	lastMend  = time.Minute
)

// errUnsaid stands for an undo that ended in the middle: nothing is taken for
// undone before its undo has said so.
var errUnsaid = errors.New("undo: it ended without a word")

// Revert undoes a step, newest change first and past every error, shows that
// nothing of it is left, and records that it ended. It is legal in every state
// and may be repeated: what was residue once may be clean now. What could not
// be undone or shown is in the mark's residue; the error is ErrClosed alone, and
// the undo has been run all the same. What it was shown by is returned too; a
// step that was clean before is not shown again.
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
	for _, err := range r.takeBack(ctx, s.Intent.GetChanges()) {
		m.Residue = append(m.Residue, err.Error())
		r.log.Error("undo", "run", k.run, "step", k.step, "err", err)
	}
	m.ActualBootNanos, m.Local = int64(r.host.Boot()), s.Local
	shown, left := r.left(ctx, s)
	m.Residue = told(append(m.Residue, left...))
	if !s.Open() && slices.Equal(m.Residue, s.Residue) {
		return m, shown, nil // no news: a residue that stays costs no room
	}
	return m, shown, r.Mark(m)
}

// takeBack undoes changes, newest first, and returns what failed. One that takes
// long has its own limit, and the next begins without it.
func (r *Runner) takeBack(ctx context.Context, changes []*pb.Change) (failed []error) {
	errs := make([]error, len(changes))
	var group sync.WaitGroup
	for i, c := range slices.Backward(changes) {
		done := make(chan struct{})
		errs[i] = errUnsaid
		group.Go(func() {
			defer close(done)
			errs[i] = r.do(ctx, c.GetUndo(), nil)
		})
		patience := time.NewTimer(undoPatience)
		select {
		case <-done:
		case <-patience.C:
		}
		patience.Stop()
	}
	group.Wait()
	slices.Reverse(errs)
	return slices.DeleteFunc(errs, func(err error) bool { return err == nil })
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
	var undo []*pb.Op
	for _, c := range s.Intent.GetChanges() {
		undo = append(undo, c.GetUndo())
	}
	shown, err := r.host.Clean(ctx, fault.Tag(s.Run, s.Step), undo)
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

// Recover ends every step that is open, tries again to undo what was left of
// others, and then removes whatever of ours no step speaks of. It is how an
// agent begins, and how a supervisor follows a worker's death. Steps are
// reverted beside one another, the newest begin first: one that hangs keeps no
// other dark. What it returns is still changed.
func (r *Runner) Recover(ctx context.Context, cause pb.RevertCause) error {
	late := r.journal.Late()
	unclean := r.unclean()
	slices.Reverse(unclean)
	errs := make([]error, len(unclean))
	turns := make(chan struct{}, atOnce)
	var group sync.WaitGroup
	for i, s := range unclean {
		turns <- struct{}{}
		group.Go(func() {
			defer func() { <-turns }()
			errs[i] = r.recover(ctx, s, cause)
		})
	}
	group.Wait()
	swept := r.Sweep(ctx)
	if late {
		r.journal.settled() // not before: until then nothing begins beside the sweep
	}
	return errors.Join(append(errs, swept)...)
}

// TakeUp waits for the disk, where the journal was opened by its mirror alone,
// and recovers what only the disk knew: from then on faults may begin. It says
// whether the disk came late; where it had been read at Open, it returns at
// once. It ends with ctx or the journal.
func (r *Runner) TakeUp(ctx context.Context, cause pb.RevertCause) (late bool, err error) {
	for {
		moved := r.journal.Moved()
		switch late, read := r.journal.lateness(); {
		case !late:
			return false, nil
		case read:
			return true, r.Recover(ctx, cause)
		}
		select {
		case <-moved:
		case <-r.journal.writer.ended:
			return false, ErrClosed
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

// recover ends one step, or tries again to. One that had not begun is let go of:
// it begins only under an order that comes after the restart.
func (r *Runner) recover(ctx context.Context, s *Step, cause pb.RevertCause) error {
	if s.Open() && s.Intent == nil {
		return r.journal.take("forget", r.record(&pb.Record{
			Kind: &pb.Record_Forget{Forget: &pb.Forget{Run: s.Run, Step: s.Step}},
		}))
	}
	if s.BootID != "" && s.BootID != r.journal.options.BootID {
		cause = pb.RevertCause_REVERT_CAUSE_REBOOT
	}
	m, _, err := r.Revert(ctx, s.Run, s.Step, cause)
	for _, left := range m.GetResidue() {
		err = errors.Join(err, fmt.Errorf("recover %s of %s: %s", s.Step, s.Run, left))
	}
	return err
}

// unclean is every step that is open or has residue, oldest first.
func (r *Runner) unclean() []*Step {
	return slices.DeleteFunc(r.Steps(), func(s *Step) bool { return !s.Open() && len(s.Residue) == 0 })
}

// Residue is every step that has ended and was not shown clean, oldest first.
// Reverting one again is legal at any time, and is due after MendAfter.
func (r *Runner) Residue() []*Step {
	return slices.DeleteFunc(r.unclean(), func(s *Step) bool { return s.Open() })
}

// MendAfter is how long to wait before residue is tried again after so many
// tries that did not clear it. It never ends.
func MendAfter(tries int) time.Duration {
	return min(firstMend<<min(max(tries, 0), 10), lastMend)
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
	var errs []error
	for _, what := range left {
		errs = append(errs, fmt.Errorf("sweep: left %s", what))
	}
	return errors.Join(errs...)
}
