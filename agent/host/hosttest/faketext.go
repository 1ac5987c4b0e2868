package hosttest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	"squall/agent/host"
	pb "squall/proto/squall/v1"
)

// String prints the whole state, so that tests can compare it before a fault
// and after its undo.
func (f *Fake) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var b strings.Builder
	for _, w := range f.facts.GetWorkloads() {
		fmt.Fprintf(&b, "workload %s: %s\n", w.GetName(), f.workloads[w.GetName()])
	}
	for _, a := range f.attached {
		fmt.Fprintf(&b, "attached %s: %s\n", a.tag, describe(a.op))
	}
	return b.String()
}

func (w *workload) String() string {
	if w.running {
		return "running"
	}
	return "dead"
}

// describe prints an attached operation with its gate, and every field of its
// kind that is set. It doesn't use the text format, whose spacing is random on
// purpose.
func describe(op *pb.Op) string {
	gate := op.GetGate()
	text := fmt.Sprintf("%s from %s to %s", host.Kind(op),
		time.Duration(gate.GetStartBootNanos()), time.Duration(gate.GetEndBootNanos()))
	if gate.GetIgnoreLease() {
		text += " without lease"
	}
	m := op.ProtoReflect()
	arm := m.WhichOneof(m.Descriptor().Oneofs().ByName("kind"))
	return text + fields(m.Get(arm).Message())
}

// fields prints the fields of a message that are set, in their order.
func fields(m protoreflect.Message) string {
	var b strings.Builder
	all := m.Descriptor().Fields()
	for i := range all.Len() {
		switch f := all.Get(i); {
		case !m.Has(f):
		case f.IsList() && f.Message() == nil:
			fmt.Fprintf(&b, " %s %s", f.Name(), scalars(m.Get(f).List()))
		case f.Message() == nil:
			fmt.Fprintf(&b, " %s %v", f.Name(), m.Get(f))
		case f.IsList():
			fmt.Fprintf(&b, " %s of %d", f.Name(), m.Get(f).List().Len())
		default:
			fmt.Fprintf(&b, " %s {%s }", f.Name(), fields(m.Get(f).Message()))
		}
	}
	return b.String()
}

func scalars(list protoreflect.List) []string {
	var all []string
	for i := range list.Len() {
		all = append(all, list.Get(i).String())
	}
	return all
}

// Evidence implements host.Host.
func (f *Fake) Evidence(ctx context.Context, tag string) ([]*pb.Evidence, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.blind {
		f.mu.Unlock()
		<-ctx.Done()
		f.mu.Lock()
	}
	var found []*pb.Evidence
	for _, a := range f.attached {
		if host.Under(a.tag, tag) {
			found = append(found, f.bites(a))
		}
	}
	return found, nil
}

func (f *Fake) bites(a *attached) *pb.Evidence {
	if hold := a.op.GetHoldDown(); hold != nil {
		alive := f.alive(hold.GetCgroups())
		return &pb.Evidence{Name: "alive", Value: float64(alive), Holds: alive == 0, Fact: !a.lived && alive == 0, Text: fmt.Sprintf("%d processes alive", alive)}
	}
	if !f.open(a.op) {
		return &pb.Evidence{Name: "packets_dropped", Text: host.Kind(a.op) + " does not act"}
	}
	return &pb.Evidence{
		Name: "packets_dropped", Value: 1, Holds: true, Text: host.Kind(a.op) + " acts",
		Fact: len(a.op.GetSilence().GetCgroups()) > 0, // nobody may have called
	}
}

func (f *Fake) alive(cgroups []string) int {
	alive := 0
	for _, w := range f.facts.GetWorkloads() {
		if slices.Contains(cgroups, w.GetCgroup()) && f.workloads[w.GetName()].running {
			alive++
		}
	}
	return alive
}

// Clean implements host.Host.
func (f *Fake) Clean(_ context.Context, tag string, _ []*pb.Op) ([]*pb.Evidence, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	left := 0
	for _, a := range f.attached {
		if host.Under(a.tag, tag) {
			left++
		}
	}
	return []*pb.Evidence{{
		Name: "left", Value: float64(left), Holds: left == 0, After: true,
		Text: fmt.Sprintf("%d objects left under %s", left, tag),
	}}, nil
}

// Leftovers implements host.Host: what is not held is removed.
func (f *Fake) Leftovers(_ context.Context, held []string) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.attached = slices.DeleteFunc(f.attached, func(a *attached) bool { return !host.UnderAny(a.tag, held) })
	return nil, nil
}
