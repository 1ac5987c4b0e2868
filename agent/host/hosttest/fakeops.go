package hosttest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"squall/agent/host"
	pb "squall/proto/squall/v1"
)

// Do implements host.Host.
func (f *Fake) Do(ctx context.Context, op *pb.Op, armed func()) error {
	if err := f.fault(ctx); err != nil {
		return err
	}
	if armed != nil {
		armed()
	}
	if op.GetKillWorkloads() != nil {
		if err := f.wait(ctx, op); err != nil {
			return err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch o := op.GetKind().(type) {
	case *pb.Op_Detach:
		f.detach(op.GetTag())
		return nil
	case *pb.Op_KillWorkloads:
		if !f.open(op) {
			return errGateClosed
		}
		return f.kill(o.KillWorkloads.GetWorkload())
	case *pb.Op_StartWorkloads:
		if !f.open(op) {
			return errGateClosed
		}
		return f.start(o.StartWorkloads.GetWorkload())
	case *pb.Op_Nothing:
		return nil
	case nil:
		return errors.New("do operation: it has no kind")
	default:
		return f.attach(proto.CloneOf(op))
	}
}

// errGateClosed says that an operation came to its turn outside its gate.
var errGateClosed = errors.New("its end or its lease has passed")

// wait lets a kill wait for its instant; ctx or a detach calls it off.
func (f *Fake) wait(ctx context.Context, kill *pb.Op) error {
	left := time.Duration(kill.GetGate().GetStartBootNanos()) - f.Boot()
	if left <= 0 {
		return ctx.Err()
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f.setWaiting(kill.GetTag(), cancel)
	defer f.setWaiting(kill.GetTag(), nil)
	select {
	case <-time.After(left):
	case <-ctx.Done():
	}
	return ctx.Err()
}

// setWaiting remembers how to call off the kill of a tag; nil forgets it.
func (f *Fake) setWaiting(tag string, cancel context.CancelFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.waiting, tag)
	if cancel != nil {
		f.waiting[tag] = cancel
	}
}

// fault counts the call and does what a test has planned for it. The lock is
// not held: a hanging call must not stop the fake's other callers.
func (f *Fake) fault(ctx context.Context) error {
	f.mu.Lock()
	f.calls++
	fault := f.faults[f.calls]
	f.mu.Unlock()
	if fault == nil {
		return nil
	}
	return fault(ctx)
}

func (f *Fake) attach(op *pb.Op) error {
	tag := op.GetTag()
	if tag == "" {
		return errors.New("attach: the operation has no tag")
	}
	if name := host.AbilityFor(op); !f.can(name) {
		return fmt.Errorf("attach %s: %s is missing: %w", tag, name, host.ErrUnsupported)
	}
	same := func(a *attached) bool { return a.tag == tag && host.Kind(a.op) == host.Kind(op) }
	if slices.ContainsFunc(f.attached, same) {
		return nil
	}
	f.attached = append(f.attached, &attached{tag: tag, op: op, lived: f.alive(op.GetHoldDown().GetCgroups()) > 0})
	f.record("attach", tag, op)
	return nil
}

// can tells whether the facts list an ability as working.
func (f *Fake) can(name string) bool {
	return slices.ContainsFunc(f.facts.GetAbilities(), func(a *pb.Ability) bool {
		return a.GetName() == name && a.GetState() != pb.AbilityState_ABILITY_STATE_MISSING
	})
}

func (f *Fake) detach(tag string) {
	for waiting, cancel := range f.waiting {
		if host.Under(waiting, tag) {
			cancel()
		}
	}
	before := len(f.attached)
	f.attached = slices.DeleteFunc(f.attached, func(a *attached) bool { return host.Under(a.tag, tag) })
	if len(f.attached) < before {
		f.record("detach", tag, nil)
	}
}

func (f *Fake) kill(names []string) error {
	var errs []error
	for _, name := range names {
		w := f.workloads[name]
		switch {
		case w == nil:
			errs = append(errs, missing(name))
		case w.running:
			w.running = false
			f.record("kill", name, nil)
		}
	}
	return errors.Join(errs...)
}

// start starts what does not run. What is held down dies at once, and counts
// as a respawn.
func (f *Fake) start(names []string) error {
	var errs []error
	for _, name := range names {
		w := f.workloads[name]
		switch {
		case w == nil:
			errs = append(errs, missing(name))
		case w.running:
		case f.heldDown(name):
			w.respawns++
			errs = append(errs, fmt.Errorf("start %s: it is held down", name))
		default:
			w.running = true
			f.record("start", name, nil)
		}
	}
	return errors.Join(errs...)
}

// open tells whether an operation may act now. One without a gate always may.
func (f *Fake) open(op *pb.Op) bool {
	gate := op.GetGate()
	if gate == nil {
		return true
	}
	now := f.boot()
	inside := now >= time.Duration(gate.GetStartBootNanos()) && now < time.Duration(gate.GetEndBootNanos())
	return inside && (gate.GetIgnoreLease() || now < f.leaseOf(op.GetTag()))
}

// heldDown tells whether something that acts kills what the workload starts.
func (f *Fake) heldDown(name string) bool {
	cgroup := ""
	for _, w := range f.facts.GetWorkloads() {
		if w.GetName() == name {
			cgroup = w.GetCgroup()
		}
	}
	return slices.ContainsFunc(f.attached, func(a *attached) bool {
		return slices.Contains(a.op.GetHoldDown().GetCgroups(), cgroup) && f.open(a.op)
	})
}
