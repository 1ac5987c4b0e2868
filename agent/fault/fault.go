// Package fault turns a step on a host into reversible changes. It is pure:
// facts and a step in, changes out; each kind of fault has one file and one
// golden file.
//
// A change holds the operation and its undo, both known before anything is
// touched. Changes are made in order and undone newest first, so the order in
// which a planner lists them is the order in which its harm begins, and the
// reverse of the way back.
package fault

import (
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	"squall/experiments"
	pb "squall/proto/squall/v1"
)

// Step is one task with its instants in boot time, converted once when it arms.
type Step struct {
	Task *pb.Task
	// Start, End and Deadline are boot times.
	Start, End, Deadline time.Duration
	// Prefixes are the peers of net.* faults.
	Prefixes []string
}

// Planner turns facts and a step into changes, in the order in which they are made.
type Planner func(*pb.Facts, *Step) ([]*pb.Change, error)

// planners is the one table of what this build can inject, by the name of the
// arm in pb.Fault.
var planners = map[protoreflect.Name]Planner{
	"power_off": powerOff,
	"dns_fail":  dnsFail,
	"net_delay": netDelay,
}

// Refused says that a host will not or can not take a step. Nothing was touched.
type Refused struct{ Problem *pb.Problem }

// Error is the problem's message and its fix.
func (r *Refused) Error() string {
	if r.Problem.Fix == "" {
		return r.Problem.Message
	}
	return r.Problem.Message + "; " + r.Problem.Fix
}

// Plan finds the changes that carry a step out on this host. Every error is a
// *Refused: the host's config has the last word, and a missing mechanism is
// named with the piece of the kernel that it lacks.
func Plan(f *pb.Facts, s *Step) ([]*pb.Change, error) {
	name := experiments.FaultName(s.Task.GetFault())
	if err := allowed(f, s, name); err != nil {
		return nil, err
	}
	m := s.Task.GetFault().ProtoReflect()
	arm := m.WhichOneof(m.Descriptor().Oneofs().ByName("kind"))
	planner, ok := planners[arm.Name()]
	if !ok {
		return nil, refuse(pb.Refusal_REFUSAL_UNSUPPORTED, "use a build that has it",
			"this build can't inject %s", name)
	}
	return planner(f, s)
}

// Tag is the name under which everything of a step is attached.
func Tag(run, step string) string { return "squall/" + run + "/" + step }

func (s *Step) tag(part string) string { return Tag(s.Task.GetRun(), s.Task.GetStep()) + "/" + part }

// gate is when the step's programs act. A step that waits for a boot token
// stays in force until it is detached, at the latest at its deadline.
func (s *Step) gate() *pb.Gate {
	end := s.End
	if s.Task.GetNeedsToken() {
		end = s.Deadline
	}
	return &pb.Gate{
		StartBootNanos: int64(s.Start),
		EndBootNanos:   int64(end),
		IgnoreLease:    s.Task.GetHoldWithoutLease(),
	}
}

// allowed holds a step against the host's own config.
func allowed(f *pb.Facts, s *Step, name string) error {
	c := f.GetConfig()
	switch {
	case name == "":
		return refuse(pb.Refusal_REFUSAL_INVALID, "name a fault", "the step has no fault")
	case c.GetSquall() == pb.SquallPolicy_SQUALL_POLICY_NEVER:
		return refuse(pb.Refusal_REFUSAL_HOST, "leave the host out of the target",
			"host %s takes no faults: its config says squall: never", c.GetName())
	case slices.Contains(c.GetRefuse(), name):
		return refuse(pb.Refusal_REFUSAL_HOST, "leave the host out of the target",
			"host %s refuses %s in its config", c.GetName(), name)
	case s.Task.GetHoldWithoutLease() && !c.GetAllowHold():
		return refuse(pb.Refusal_REFUSAL_HOST, "drop lost_contact: hold, or set allow_hold in the host's config",
			"host %s does not allow lost_contact: hold", c.GetName())
	case tooLong(c, s):
		return refuse(pb.Refusal_REFUSAL_HOST, "shorten the fault, or raise max_hold in the host's config",
			"host %s holds a fault for at most %s, and this one lasts %s", c.GetName(),
			time.Duration(c.GetMaxHold().GetNanos()), s.End-s.Start)
	}
	return nil
}

func tooLong(c *pb.HostConfig, s *Step) bool {
	limit := time.Duration(c.GetMaxHold().GetNanos())
	return limit > 0 && s.End-s.Start > limit
}

// need refuses a step when one of the mechanisms did not work when it was tried.
func need(f *pb.Facts, mechanisms ...string) error {
	for _, a := range f.GetAbilities() {
		if a.GetState() == pb.AbilityState_ABILITY_STATE_MISSING && slices.Contains(mechanisms, a.GetName()) {
			return refuse(pb.Refusal_REFUSAL_HOST, "see `squall doctor` on that host",
				"host %s can't do %s: %s", f.GetConfig().GetName(), a.GetName(), a.GetDetail())
		}
	}
	return nil
}

// workloads finds the named workloads, or all of them when none is named.
func workloads(f *pb.Facts, names []string) ([]*pb.WorkloadFacts, error) {
	if len(names) == 0 {
		return f.GetWorkloads(), nil
	}
	var found []*pb.WorkloadFacts
	for _, name := range names {
		i := slices.IndexFunc(f.GetWorkloads(), func(w *pb.WorkloadFacts) bool { return w.GetName() == name })
		if i < 0 {
			return nil, refuse(pb.Refusal_REFUSAL_UNKNOWN, "list it in the host's config",
				"host %s has no workload %q", f.GetConfig().GetName(), name)
		}
		found = append(found, f.GetWorkloads()[i])
	}
	return found, nil
}

func cgroups(ws []*pb.WorkloadFacts) []string {
	var paths []string
	for _, w := range ws {
		paths = append(paths, w.GetCgroup())
	}
	return paths
}

func refuse(why pb.Refusal, fix, format string, args ...any) error {
	return &Refused{&pb.Problem{Refusal: why, Message: fmt.Sprintf(format, args...), Fix: fix}}
}

func detach(tag string) *pb.Op {
	return &pb.Op{Kind: &pb.Op_Detach{Detach: &pb.Detach{Tag: tag}}}
}

func nothing() *pb.Op {
	return &pb.Op{Kind: &pb.Op_Nothing{Nothing: &pb.Nothing{}}}
}
