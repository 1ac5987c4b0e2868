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
	"path"
	"slices"
	"strings"
	"time"

	"squall/experiments"
	kind "squall/experiments/fault"
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

// NeedsPorts says that the step's plan may be made from the ports of its
// workloads, whatever its kind: that of a whole host is not.
func (s *Step) NeedsPorts() bool { return len(s.Task.GetWorkload()) > 0 }

// Planner turns facts and a step into changes, in the order in which they are made.
type Planner func(*pb.Facts, *Step) ([]*pb.Change, error)

// planners is the one table of how kinds of fault are carried out, by their
// dotted names. What the language knows of them is in squall/experiments/fault.
var planners = map[string]Planner{
	"power.off":      powerOff,
	"dns.fail":       dnsFail,
	"net.delay":      netDelay,
	"process.freeze": processFreeze,
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
	name := kind.Name(s.Task.GetFault())
	if name == "" {
		return nil, refuse(pb.Refusal_REFUSAL_INVALID, "name a fault", "the step has no fault")
	}
	k, planner := kind.ByName(name), planners[name]
	if k == nil || planner == nil {
		return nil, refuse(pb.Refusal_REFUSAL_UNSUPPORTED, "use a build that has it",
			"this build can't inject %s", name)
	}
	for _, check := range []func(*pb.Facts, *Step, *kind.Kind) error{complete, carriedOut, narrows, allowed, able} {
		if err := check(f, s, k); err != nil {
			return nil, err
		}
	}
	return planner(f, s)
}

// Engine is what the host found to carry a fault out with; empty where it has
// not tried.
func Engine(f *pb.Facts, fault *pb.Fault) string {
	k := kind.Of(fault)
	for _, a := range f.GetAbilities() {
		if k != nil && a.GetName() == k.Needs[0] {
			return a.GetDetail()
		}
	}
	return ""
}

// Tag is the name under which everything of a step is attached.
func Tag(run, step string) string { return "squall/" + run + "/" + step }

func (s *Step) tag(part string) string { return Tag(s.Task.GetRun(), s.Task.GetStep()) + "/" + part }

// gate is when the step's programs act. A step that waits for a boot token
// stays in force until it is detached, at the latest at its deadline.
func (s *Step) gate() *pb.Gate {
	return &pb.Gate{
		StartBootNanos: int64(s.Start),
		EndBootNanos:   int64(s.gateEnd()),
		IgnoreLease:    s.Task.GetHoldWithoutLease(),
	}
}

// complete refuses a fault without its required keys, or with values out of
// their range: not every way in reads a file.
func complete(_ *pb.Facts, s *Step, _ *kind.Kind) error {
	for _, p := range experiments.CheckFault(s.Task.GetFault()) {
		return &Refused{p}
	}
	return nil
}

// carriedOut refuses what the kind says that this build lacks.
func carriedOut(_ *pb.Facts, s *Step, _ *kind.Kind) error {
	for _, lack := range kind.Lacking(experiments.WithDefaults(s.Task.GetFault())) {
		return refuse(pb.Refusal_REFUSAL_UNSUPPORTED, lack.Fix, "%s", lack.Message)
	}
	return nil
}

// narrows refuses to touch more than the workloads that are named.
func narrows(_ *pb.Facts, s *Step, k *kind.Kind) error {
	if why := k.Narrows["workload"]; why != kind.Narrowed && len(s.Task.GetWorkload()) > 0 {
		return refuse(pb.Refusal_REFUSAL_UNSUPPORTED, "name no workload, if it may touch the whole host",
			"%s can't be narrowed to a workload: %s", k.Name, why)
	}
	return nil
}

// allowed holds a step against the host's own config.
func allowed(f *pb.Facts, s *Step, k *kind.Kind) error {
	c := f.GetConfig()
	switch {
	case c.GetSquall() == pb.SquallPolicy_SQUALL_POLICY_NEVER:
		return refuse(pb.Refusal_REFUSAL_HOST, "leave the host out of the target",
			"host %s takes no faults: its config says squall: never", c.GetName())
	case slices.Contains(c.GetRefuse(), k.Name):
		return refuse(pb.Refusal_REFUSAL_HOST, "leave the host out of the target",
			"host %s refuses %s in its config", c.GetName(), k.Name)
	case s.Task.GetHoldWithoutLease() && !c.GetAllowHold():
		return refuse(pb.Refusal_REFUSAL_HOST, "drop lost_contact: hold, or set allow_hold in the host's config",
			"host %s does not allow lost_contact: hold", c.GetName())
	case tooLong(c, s):
		return refuse(pb.Refusal_REFUSAL_HOST, "shorten the fault, or raise max_hold in the host's config",
			"host %s holds a fault for at most %s, and this one lasts %s", c.GetName(),
			time.Duration(c.GetMaxHold().GetNanos()), s.longest())
	}
	return unprotected(f, s)
}

// unprotected refuses to touch a protected workload by its name.
func unprotected(f *pb.Facts, s *Step) error {
	for _, w := range f.GetWorkloads() {
		if w.GetProtect() && slices.Contains(s.Task.GetWorkload(), w.GetName()) {
			return refuse(pb.Refusal_REFUSAL_HOST, "leave it out of the target",
				"workload %s on host %s is protected", w.GetName(), f.GetConfig().GetName())
		}
	}
	return nil
}

func tooLong(c *pb.HostConfig, s *Step) bool {
	limit := time.Duration(c.GetMaxHold().GetNanos())
	return limit > 0 && s.longest() > limit
}

// longest is how long the step may hold: one that waits for a boot token may
// have to wait until its deadline.
func (s *Step) longest() time.Duration { return s.gateEnd() - s.Start }

// gateEnd is when the step's programs act no more by themselves.
func (s *Step) gateEnd() time.Duration {
	if s.Task.GetNeedsToken() {
		return s.Deadline
	}
	return s.End
}

// able refuses a step when one of its mechanisms did not work when it was tried.
func able(f *pb.Facts, _ *Step, k *kind.Kind) error {
	for _, a := range f.GetAbilities() {
		needed := a.GetName() == kind.Journal || slices.Contains(k.Needs, a.GetName())
		if a.GetState() == pb.AbilityState_ABILITY_STATE_MISSING && needed {
			return refuse(pb.Refusal_REFUSAL_HOST, "see `squall doctor` on that host",
				"host %s can't do %s: %s", f.GetConfig().GetName(), a.GetName(), a.GetDetail())
		}
	}
	return nil
}

// workloads finds the named workloads, or all that are not protected when none
// is named: those outlive what befalls the host. What can't be resolved is
// refused before anything is touched, and so is what is named and nowhere.
func workloads(f *pb.Facts, names []string) ([]*pb.WorkloadFacts, error) {
	found, err := named(f, names)
	if err != nil {
		return nil, err
	}
	for _, w := range found {
		if w.GetAbsent() && !w.GetRuns() && len(names) > 0 {
			return nil, refuse(pb.Refusal_REFUSAL_HOST, "start it, or leave it out of the target",
				"workload %s on host %s does not run, and there is no cgroup %s",
				w.GetName(), f.GetConfig().GetName(), w.GetCgroup())
		}
	}
	if err := resolved(f, found); err != nil {
		return nil, err
	}
	return found, sparing(f, found)
}

// sparing refuses workloads whose cgroup has one in it that is spared: what
// befalls a cgroup befalls all below.
func sparing(f *pb.Facts, aimed []*pb.WorkloadFacts) error {
	for _, w := range aimed {
		for _, p := range f.GetWorkloads() {
			if what := spared(f, p, aimed); what != "" && within(p.GetCgroup(), w.GetCgroup()) {
				return refuse(pb.Refusal_REFUSAL_HOST, "leave it out of the target, or give each a cgroup beside the other",
					"workload %s on host %s has the %s %s in its cgroup %s",
					w.GetName(), f.GetConfig().GetName(), what, p.GetName(), w.GetCgroup())
			}
		}
	}
	return nil
}

// spared says what a workload is that no fault may hit by way of another: a
// protected one, or a control server that was not aimed at itself. It is empty
// for any other.
func spared(f *pb.Facts, w *pb.WorkloadFacts, aimed []*pb.WorkloadFacts) string {
	server := slices.ContainsFunc(f.GetConfig().GetWorkloads(), func(c *pb.Workload) bool {
		return c.GetName() == w.GetName() && c.GetRole() == experiments.ServerRole
	})
	switch {
	case w.GetProtect():
		return "protected workload"
	case server && !slices.Contains(aimed, w):
		return "control server"
	}
	return ""
}

// within tells whether a cgroup is another, or below it.
func within(inner, outer string) bool {
	return outer != "" && strings.HasPrefix(path.Clean(inner)+"/", path.Clean(outer)+"/")
}

// resolved refuses workloads of which it can't be told where they run.
func resolved(f *pb.Facts, ws []*pb.WorkloadFacts) error {
	for _, w := range ws {
		if w.GetUnresolved() != "" {
			return refuse(pb.Refusal_REFUSAL_HOST, "mend what keeps it from being found, or leave it out of the target",
				"host %s can't tell where workload %s runs: %s", f.GetConfig().GetName(), w.GetName(), w.GetUnresolved())
		}
	}
	return nil
}

func named(f *pb.Facts, names []string) ([]*pb.WorkloadFacts, error) {
	var found []*pb.WorkloadFacts
	for _, w := range f.GetWorkloads() {
		if len(names) == 0 && !w.GetProtect() {
			found = append(found, w)
		}
	}
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

// present are those that have a cgroup now.
func present(ws []*pb.WorkloadFacts) []*pb.WorkloadFacts {
	return slices.DeleteFunc(slices.Clone(ws), (*pb.WorkloadFacts).GetAbsent)
}

// onHostsNetwork refuses to narrow a fault of the network to workloads with a
// network of their own, as containers have: on the host's interfaces their
// packets have no owner, and their ports are another service's.
func onHostsNetwork(f *pb.Facts, ws []*pb.WorkloadFacts) error {
	for _, w := range ws {
		if len(w.GetNetNamespace()) > 0 {
			return refuse(pb.Refusal_REFUSAL_UNSUPPORTED, "aim at the whole host, or at workloads in its own network",
				"workload %s on host %s is in a network namespace of its own, and its packets can't be told from others on the host's interfaces",
				w.GetName(), f.GetConfig().GetName())
		}
	}
	return nil
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

// change is an operation that is held under the step's tag while its gate is
// open, and its undo.
func (s *Step) change(part string, op *pb.Op) *pb.Change {
	op.Tag, op.Gate = s.tag(part), s.gate()
	return &pb.Change{Do: op, Undo: detach(op.GetTag())}
}

func detach(tag string) *pb.Op {
	return &pb.Op{Kind: &pb.Op_Detach{Detach: &pb.Detach{}}, Tag: tag}
}

func nothing() *pb.Op {
	return &pb.Op{Kind: &pb.Op_Nothing{Nothing: &pb.Nothing{}}}
}
