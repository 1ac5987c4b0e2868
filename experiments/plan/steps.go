package plan

import (
	"fmt"
	"iter"
	"slices"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"squall/experiments"
	"squall/experiments/fault"
	pb "squall/proto/squall/v1"
)

// grace is how long after its planned end a step is undone whatever happens.
const grace = int64(10 * time.Second)

// steps plans every fault on every host. A run of none would show nothing.
func (m *maker) steps() {
	defer func() {
		if len(m.p.GetSteps()) == 0 && len(m.p.GetProblems()) == 0 {
			m.problem(pb.Refusal_REFUSAL_EMPTY_TARGET, "timeline", "there is no fault left to inject", "widen a target, or add a fault")
		}
	}()
	for ref := range written(m.e) {
		if hosts, ok := m.usable(ref); ok {
			m.step(ref.path, ref.id, ref.phase, ref.step, m.time.phases[ref.i].steps[ref.k], hosts)
		}
	}
}

// Steps are the steps of an experiment by the ids that plans give them, in the
// order of the file.
func Steps(e *pb.Experiment) iter.Seq2[string, *pb.Step] {
	return func(yield func(string, *pb.Step) bool) {
		for ref := range written(e) {
			if !yield(ref.id, ref.step) {
				return
			}
		}
	}
}

// stepRef is a step where it stands in the file.
type stepRef struct {
	id, path, phase string
	i, k            int
	step            *pb.Step
}

// written are the steps in the order of the file, with their ids.
func written(e *pb.Experiment) iter.Seq[stepRef] {
	return func(yield func(stepRef) bool) {
		seen := map[string]int{}
		for i, p := range e.GetTimeline() {
			for k, s := range p.GetFaults() {
				id := p.GetPhase() + "." + experiments.FaultName(s.GetFault())
				if seen[id]++; seen[id] > 1 {
					id += "." + strconv.Itoa(seen[id])
				}
				if !yield(stepRef{id, index(index("timeline", i)+".faults", k), p.GetPhase(), i, k, s}) {
					return
				}
			}
		}
	}
}

func (m *maker) step(path, id, phase string, s *pb.Step, at stepTime, hosts []string) {
	step := &pb.PlannedStep{
		Id: id, Phase: phase, Target: s.GetTarget(), LostContact: s.GetLostContact(),
		Fault: m.realFault(s.GetFault()), Workload: m.e.GetTargets()[s.GetTarget()].GetWorkload(),
		StartNanos: m.time.real(at.start), EndNanos: m.time.real(at.end),
	}
	m.slots(path, step, m.time.scale(s.GetSpread().GetNanos()), hosts)
	if back := fault.WayBack(step.GetFault()); back != nil {
		m.pace(path+"."+fault.Of(step.GetFault()).Name, step, back, hosts)
	}
	if kind := fault.Of(s.GetFault()); kind != nil {
		m.narrows(kind, path, s.GetTarget())
	}
	if to := fault.PeersOf(s.GetFault()); to != nil {
		step.AddressSet = m.peers(path+"."+experiments.FaultName(s.GetFault())+"."+to.Field, to.Peers)
	}
	m.p.Steps = append(m.p.Steps, step)
}

// narrows refuses a fault that would reach beyond its target, because it can't
// be narrowed to a part of it.
func (m *maker) narrows(kind *fault.Kind, path, target string) {
	t := m.e.GetTargets()[target].ProtoReflect()
	for part, why := range kind.Narrows {
		if why != fault.Narrowed && t.Has(t.Descriptor().Fields().ByName(protoreflect.Name(part))) {
			m.problem(pb.Refusal_REFUSAL_UNSUPPORTED, path+"."+kind.Name+".target",
				fmt.Sprintf("%s can't be narrowed to a %s: %s", kind.Name, part, why),
				fmt.Sprintf("aim it at a target without `%s`, if it may touch the whole host", part))
		}
	}
}

// realFault is the fault with every span of incident time in real time.
func (m *maker) realFault(f *pb.Fault) *pb.Fault {
	real := proto.CloneOf(f)
	m.compress(real.ProtoReflect())
	return real
}

func (m *maker) compress(msg protoreflect.Message) {
	msg.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if fd.IsMap() || fd.IsList() || fd.Message() == nil {
			return true
		}
		span, ok := v.Message().Interface().(*pb.Span)
		if ok && proto.GetExtension(fd.Options(), pb.E_Incident).(bool) {
			span.Nanos = m.time.scale(span.GetNanos())
		}
		m.compress(v.Message())
		return true
	})
}

// slots gives each host its own instants, the starts spread in seeded order.
func (m *maker) slots(path string, step *pb.PlannedStep, spread int64, hosts []string) {
	place := m.places(step.GetId()+"/start", hosts)
	for _, host := range hosts {
		start := step.GetStartNanos() + share(spread, place[host], len(hosts))
		if start >= step.GetEndNanos() && spread > 0 {
			m.problem(pb.Refusal_REFUSAL_INVALID, path+".spread", fmt.Sprintf("%s would start only when the fault has ended", host), "shorten the spread, or end the fault later")
			return
		}
		step.Slots = append(step.Slots, &pb.HostSlot{
			Host: host, StartNanos: start, EndNanos: step.GetEndNanos(), DeadlineNanos: step.GetEndNanos() + grace,
		})
	}
}

// pace spreads the return of machines: each at its own instant, in seeded
// order, and some not before the end of the run.
func (m *maker) pace(path string, step *pb.PlannedStep, back *pb.WayBack, hosts []string) {
	step.BootTokens, step.BootLimitNanos = back.GetAtOnce(), back.GetBootLimit().GetNanos()
	never := shuffled(m.e.GetSeed(), step.GetId()+"/never", hosts)[:m.portion(path+".back.never", "never", back.GetNever(), len(hosts))]
	returning := slices.DeleteFunc(slices.Clone(hosts), func(h string) bool { return slices.Contains(never, h) })
	place, spread := m.places(step.GetId()+"/back", returning), back.GetSpread().GetNanos()
	deadline := step.GetEndNanos() + spread + step.GetBootLimitNanos() + grace
	for _, slot := range step.GetSlots() {
		slot.NeverBack, slot.DeadlineNanos = slices.Contains(never, slot.GetHost()), deadline
		if !slot.GetNeverBack() {
			slot.EndNanos += share(spread, place[slot.GetHost()], len(returning))
		}
	}
	step.EndNanos += spread
}

// places gives each host its place in a seeded order.
func (m *maker) places(salt string, hosts []string) map[string]int {
	place := map[string]int{}
	for i, host := range shuffled(m.e.GetSeed(), salt, hosts) {
		place[host] = i
	}
	return place
}

// share is a place's part of a stretch: the first at its beginning, the last at its end.
func share(stretch int64, place, of int) int64 {
	if of < 2 {
		return 0
	}
	return stretch / int64(of-1) * int64(place)
}
