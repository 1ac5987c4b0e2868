// Package fault is what the language knows of each kind of fault: what it
// needs of a host, what it takes, how far a target narrows it, what its undo
// gives back, and how all that reads.
//
// Each kind has one file with one value, and its line in the one table. A
// field that is left out is found by a test over the arms of pb.Fault; nothing
// has a default that would speak for a kind that it does not know. A kind of
// the language without an entry is one that this build can't inject: plans
// refuse it, and nothing offers it.
//
// The package is pure. How a fault is carried out on a host is the business of
// squall/agent/fault; outside experiments this package is imported as kind, so
// that the two are told apart wherever they stand.
package fault

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	pb "squall/proto/squall/v1"
)

// Kind is one kind of fault that this build can inject.
type Kind struct {
	// Name is the dotted name, as in files: "power.off".
	Name string
	// Example is a command line that injects it, after "squall inject NAME ".
	Example string
	// Begins and Ends say, in a sentence each, what happens on a target at its start and at its end.
	Begins, Ends string
	// Needs names the abilities of a host without which it can't be injected,
	// beside Journal. What the first of them found is the engine that reports name.
	Needs []string
	// Harm is what it does to a host that it is aimed at as a whole.
	Harm Harm
	// Narrows has an entry for each part of a target that selects less than
	// whole hosts: Narrowed, or why the fault can't be narrowed so.
	Narrows map[string]string
	// Check says what is wrong with its own keys together. Single values were checked by their descriptors.
	Check func(*pb.Fault) []Mistake
	// Peers are the other side of connections that it acts on; nil where the fault names none.
	Peers func(*pb.Fault) *Peers
	// Return is how its targets come back after its end; nil where they are there at once.
	Return func(*pb.Fault) *pb.WayBack
	// OnHost says what speaks against it on a host, of which it touches those workloads.
	OnHost func(*pb.Fault, *pb.Host, []*pb.HostWorkload) []Finding
	// Claims are what it takes of each host, or of the workloads there that are named:
	// whatever its keys name (a path, a port) too.
	Claims func(f *pb.Fault, workloads []string) []Claim
	// Magnitude is what matters most of it, in a word or two: "40ms out".
	Magnitude func(*pb.Fault) string
	// Undone says in a line what its end puts back.
	Undone func(*Scene) string
	// Lacks is what of its keys this build can't carry out; empty for nothing.
	Lacks []Lack
}

// Harm is what a fault does to a host as a whole.
type Harm int

const (
	// Degrades leaves the host there, with less.
	Degrades Harm = iota + 1
	// Darkens takes the host away.
	Darkens
)

// Journal is the ability that every kind needs: the undo is on disk first.
const Journal = "journal"

// Narrowed is the entry of a part of a target that narrows the fault.
const Narrowed = ""

// Mistake is something wrong with a field, a path below the fault's own keys.
type Mistake struct{ Field, Message, Fix string }

// Peers are the other side of connections, and the field that names them.
type Peers struct {
	Field string
	Peers *pb.Peers
}

// Finding is what speaks against a fault on a host: a refusal or, where that
// is unspecified, a warning.
type Finding struct {
	Refusal      pb.Refusal
	Message, Fix string
}

// Claim is a resource of a host, named by a path below it; the host itself is
// empty. A shared claim bears others that are shared.
type Claim struct {
	Resource string
	Shared   bool
}

// Scene is a fault as a plan carries it out, for texts about the whole of it.
type Scene struct {
	Fault *pb.Fault
	// Hosts and Workloads count what it touches, NeverBack the hosts that come back only when the run ends.
	Hosts, Workloads, NeverBack int
	// AtOnce is how many hosts may return at one time; 0 is no limit.
	AtOnce uint32
}

// kinds is the one table of what this build can inject.
var kinds = []*Kind{
	&powerOff,
	&dnsFail,
	&netDelay,
	&processFreeze,
}

// Of is the kind of a fault; nil where none is set, or this build lacks it.
func Of(f *pb.Fault) *Kind { return ByName(Name(f)) }

// ByName is the kind with that dotted name; nil where this build has none.
func ByName(name string) *Kind {
	for _, k := range kinds {
		if k.Name == name {
			return k
		}
	}
	return nil
}

// Names are the kinds that this build can inject, in the order of the proto.
func Names() []string {
	var names []string
	for _, name := range All() {
		if ByName(name) != nil {
			names = append(names, name)
		}
	}
	return names
}

// All are the kinds that the language has, those that this build lacks
// included, in the order of the proto.
func All() []string {
	arms := Arms().Fields()
	names := make([]string, arms.Len())
	for i := range names {
		names[i] = arms.Get(i).JSONName()
	}
	return names
}

// Name is the dotted name of a fault; empty when none is set.
func Name(f *pb.Fault) string {
	arm := f.ProtoReflect().WhichOneof(Arms())
	if arm == nil {
		return ""
	}
	return arm.JSONName()
}

// New is an empty fault of the kind with that name, and whether the language has one.
func New(name string) (*pb.Fault, bool) {
	arms := Arms().Fields()
	for i := range arms.Len() {
		if arm := arms.Get(i); arm.JSONName() == name {
			f := &pb.Fault{}
			m := f.ProtoReflect()
			m.Set(arm, m.NewField(arm))
			return f, true
		}
	}
	return nil, false
}

// Body is the message with a fault's own keys; nil where no kind is set.
func Body(f *pb.Fault) proto.Message {
	m := f.ProtoReflect()
	arm := m.WhichOneof(Arms())
	if arm == nil {
		return nil
	}
	return m.Get(arm).Message().Interface()
}

// Arms are the kinds of fault in the language, as the proto lists them.
func Arms() protoreflect.OneofDescriptor {
	return (&pb.Fault{}).ProtoReflect().Descriptor().Oneofs().ByName("kind")
}

// WayBack is how a fault's targets come back after its end; nil where they are
// there at once, and for kinds that this build lacks.
func WayBack(f *pb.Fault) *pb.WayBack {
	if k := Of(f); k != nil {
		return k.Return(f)
	}
	return nil
}

// PeersOf are the other side of connections that a fault names; nil where it
// names none, and for kinds that this build lacks.
func PeersOf(f *pb.Fault) *Peers {
	if k := Of(f); k != nil {
		return k.Peers(f)
	}
	return nil
}

// TakesHosts says whether a fault takes whole hosts away, aimed at those
// workloads or, where there are none, at hosts.
func TakesHosts(f *pb.Fault, workloads []string) bool {
	k := Of(f)
	return k != nil && k.Harm == Darkens && len(workloads) == 0
}
