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
func (f *Fake) Do(ctx context.Context, op *pb.Op) error {
	if err := f.fault(ctx); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.settle()
	op = proto.CloneOf(op)
	switch o := op.GetKind().(type) {
	case *pb.Op_Detach:
		f.detach(o.Detach.GetTag())
		return nil
	case *pb.Op_KillWorkloads:
		return f.armKill(o.KillWorkloads)
	case *pb.Op_StartWorkloads:
		return f.start(o.StartWorkloads.GetWorkload())
	case *pb.Op_Nothing:
		return nil
	case nil:
		return errors.New("do operation: it has no kind")
	default:
		return f.attach(op)
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
	tag, _ := host.Gated(op)
	if tag == "" {
		return errors.New("attach: the operation has no tag")
	}
	if name := host.AbilityFor(op); !f.can(name) {
		return fmt.Errorf("attach %s: %s is missing: %w", tag, name, host.ErrUnsupported)
	}
	same := func(a *attached) bool { return a.tag == tag && kindOf(a.op) == kindOf(op) }
	if slices.ContainsFunc(f.attached, same) {
		return nil
	}
	f.attached = append(f.attached, &attached{tag: tag, op: op})
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
	before := len(f.attached) + len(f.kills)
	f.attached = slices.DeleteFunc(f.attached, func(a *attached) bool { return a.tag == tag })
	f.kills = slices.DeleteFunc(f.kills, func(k *kill) bool { return k.tag == tag && tag != "" })
	if len(f.attached)+len(f.kills) < before {
		f.record("detach", tag, nil)
	}
}

func (f *Fake) armKill(op *pb.KillWorkloads) error {
	for _, name := range op.GetWorkload() {
		if f.workloads[name] == nil {
			return missing(name)
		}
	}
	f.kills = append(f.kills, &kill{
		tag: op.GetTag(), at: max(time.Duration(op.GetAtBootNanos()), f.boot()),
		workloads: op.GetWorkload(), undeclared: op.GetUndeclared(),
	})
	f.settle()
	return nil
}

// start calls off the kills of what it starts, as the real host does.
func (f *Fake) start(names []string) error {
	var errs []error
	f.callOff(names)
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
			w.running, w.respawns = true, 0
			f.record("start", name, nil)
		}
	}
	return errors.Join(errs...)
}

func (f *Fake) callOff(names []string) {
	f.kills = slices.DeleteFunc(f.kills, func(k *kill) bool {
		k.workloads = slices.DeleteFunc(k.workloads, func(n string) bool { return slices.Contains(names, n) })
		return len(k.workloads) == 0 && !k.undeclared
	})
}

// settle carries out the kills that are due by now.
func (f *Fake) settle() {
	now := f.boot()
	var waiting []*kill
	for _, k := range f.kills {
		if k.at > now {
			waiting = append(waiting, k)
			continue
		}
		f.fire(k)
	}
	f.kills = waiting
}

func (f *Fake) fire(k *kill) {
	for _, name := range k.workloads {
		if w := f.workloads[name]; w != nil && w.running {
			w.running = false
			f.events = append(f.events, Event{Boot: k.at, What: "kill", Name: name})
		}
	}
}

// open tells whether an attached operation acts now.
func (f *Fake) open(a *attached) bool {
	_, gate := host.Gated(a.op)
	now := f.boot()
	inside := now >= time.Duration(gate.GetStartBootNanos()) && now < time.Duration(gate.GetEndBootNanos())
	return inside && (gate.GetIgnoreLease() || now < f.lease)
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
		return slices.Contains(a.op.GetHoldDown().GetCgroups(), cgroup) && f.open(a)
	})
}
