package step

import (
	"fmt"
	"slices"

	pb "squall/proto/squall/v1"
)

// Halt reverts everything and latches the halt on disk: new steps are refused
// until a committed resume names its id, or, for a local one, until Resume. It
// returns when the latch is on disk; the steps revert meanwhile.
func (e *Engine) Halt(h *pb.HaltLatch) error {
	e.orders.Lock()
	defer e.orders.Unlock()
	return e.halt(h)
}

// halt drops first and writes second: a lever that waits for a disk is no lever.
func (e *Engine) halt(h *pb.HaltLatch) error {
	e.mu.Lock()
	for _, s := range e.steps {
		s.drop(pb.RevertCause_REVERT_CAUSE_HALT)
	}
	e.mu.Unlock()
	e.notify()
	if err := e.runner.Latch(h); err != nil {
		return fmt.Errorf("latch halt %s: %w", h.GetId(), err)
	}
	return nil
}

// Resume lets go of a local halt. One that servers committed stays: it needs
// their resume.
func (e *Engine) Resume() error {
	e.orders.Lock()
	defer e.orders.Unlock()
	h := e.runner.Halted()
	if !h.GetLocal() {
		return nil
	}
	if err := e.release(h); err != nil {
		return err
	}
	return e.lever(e.newest().GetHalt())
}

// Halted is the halt in force, or nil.
func (e *Engine) Halted() *pb.HaltLatch {
	if h := e.runner.Halted(); h.GetEngaged() {
		return h
	}
	return nil
}

// lever follows the lever as an order tells it. An order from a server that
// has not heard of a halt yet says nothing of its id, and so lets go of nothing.
func (e *Engine) lever(h *pb.HaltLatch) error {
	held := e.runner.Halted()
	switch {
	case h.GetEngaged() && h.GetId() != e.committed:
		if err := e.halt(h); err != nil {
			return err
		}
		e.committed = h.GetId()
	case h != nil && !h.GetEngaged():
		e.committed = ""
		if held != nil && !held.GetLocal() && answers(h, held.GetId()) {
			return e.release(held)
		}
	}
	return nil
}

// answers says that a lever answers to a halt id.
func answers(h *pb.HaltLatch, id string) bool {
	return h.GetId() == id || slices.Contains(h.GetAlso(), id)
}

func (e *Engine) release(h *pb.HaltLatch) error {
	err := e.runner.Latch(&pb.HaltLatch{Id: h.GetId(), Local: h.GetLocal(), Reason: h.GetReason()})
	if err != nil {
		return fmt.Errorf("let go of halt %s: %w", h.GetId(), err)
	}
	e.notify()
	return nil
}

// HaltedProblem refuses what a halted host is asked for.
func HaltedProblem(h *pb.HaltLatch) *pb.Problem {
	fix := "resume the cluster: squall resume"
	if h.GetLocal() {
		fix = "resume on this host: squall resume --local"
	}
	return &pb.Problem{
		Refusal: pb.Refusal_REFUSAL_HALTED,
		Message: fmt.Sprintf("this host is halted (%s): %s", h.GetId(), h.GetReason()),
		Fix:     fix,
	}
}

// Confirm says that somebody on the host has seen what the journal lost, if
// anything: faults may begin again.
func (e *Engine) Confirm() error { return e.runner.Confirm() }
