package host

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	"squall/agent/host/bpf"
	pb "squall/proto/squall/v1"
)

// operation is all that is known of one kind of operation. A new kind is its
// message in pb.Op, a file with one of these, and its line in operations.
type operation struct {
	// ability names what of the host it needs, as Doctor reports it; empty where
	// every host can do it.
	ability string
	// trial tries the ability on throw-away objects and says which engine works;
	// nil without an ability, or where program is tried instead.
	trial func(context.Context, *doctor) (engine string, err error)
	// program is the trial of an ability that rests on BPF programs: those are
	// tried together, see bpf.Loader.Try.
	program *bpf.Trial
	// ready loads ahead the programs of the usual operation of the kind, so that
	// a fault doesn't wait for them; nil where there is nothing to load.
	ready func(*bpf.Loader, *pb.Exempt) error
	// arm makes everything ready, and attaches what attaches with its gate inside.
	// What stays is held under the operation's tag until it is detached; act, nil
	// where nothing is left to do, waits for the gate and does the rest.
	arm func(ctx context.Context, h *held) (stays mechanism, act func(context.Context) error, err error)
	// remains lists what the kind has left on the host beyond the life of the
	// process that held it, after taking it away if so wanted; nil for kinds that end
	// with their holder.
	remains func(search) []string
	// says is what it does, in one line for people; empty where that is nothing.
	says func(*pb.Op) string
}

// operations is the one table of kinds, by the name of the arm in pb.Op.
var operations = map[protoreflect.Name]*operation{
	"silence":         &silence,
	"drop_dns":        &dropDNS,
	"delay_line":      &delayLine,
	"hold_down":       &holdDown,
	"detach":          &detachTag,
	"kill_workloads":  &killWorkloads,
	"start_workloads": &startWorkloads,
	"nothing":         &nothing,
	"freeze":          &freeze,
}

// mechanism is what an operation holds on the host.
type mechanism interface {
	// evidence shows what it does; open says whether its gate is open now.
	evidence(ctx context.Context, open bool) ([]*pb.Evidence, error)
	// renew moves its lease to a boot time.
	renew(until time.Duration)
	// died is closed when it has ended without being closed; nil where that can't
	// happen while this process lives.
	died() <-chan struct{}
	// Close ends it before it returns. It may be called again, and while the
	// operation waits for its instant: then that is called off.
	Close() error
}

// Kind names an operation as the vocabulary does: "silence"; empty for one
// without a kind.
func Kind(op *pb.Op) string { return string(kindOf(op)) }

func kindOf(op *pb.Op) protoreflect.Name {
	m := op.ProtoReflect()
	arm := m.WhichOneof(m.Descriptor().Oneofs().ByName("kind"))
	if arm == nil {
		return ""
	}
	return arm.Name()
}

// operationOf finds what is known of an operation's kind.
func operationOf(op *pb.Op) (*operation, error) {
	if o, ok := operations[kindOf(op)]; ok {
		return o, nil
	}
	return nil, fmt.Errorf("do operation: its kind %q is not one that this agent knows", kindOf(op))
}

// AbilityFor names the ability that an operation needs; empty where it needs none.
func AbilityFor(op *pb.Op) string {
	if o, ok := operations[kindOf(op)]; ok {
		return o.ability
	}
	return ""
}

// Describe says in a line each what changes would touch, and their undo.
func Describe(changes []*pb.Change) []string {
	var lines []string
	for _, c := range changes {
		switch do, undo := says(c.GetDo()), says(c.GetUndo()); {
		case do == "" && undo == "":
		case do == "":
			lines = append(lines, "undo: "+undo)
		case undo == "":
			lines = append(lines, do)
		default:
			lines = append(lines, do+"; undo: "+undo)
		}
	}
	return lines
}

func says(op *pb.Op) string {
	if o, ok := operations[kindOf(op)]; ok {
		return o.says(op)
	}
	return ""
}

// Abilities are the names that Doctor reports, in its order: what the agent
// itself needs, and then what operations do.
func Abilities() []string {
	var names []string
	for _, g := range generals {
		names = append(names, g.name)
	}
	for _, kind := range slices.Sorted(maps.Keys(operations)) {
		if name := operations[kind].ability; name != "" {
			names = append(names, name)
		}
	}
	return names
}

// lasting are the kinds that may leave something beyond the life of their holder.
func lasting() []*operation {
	var all []*operation
	for _, kind := range slices.Sorted(maps.Keys(operations)) {
		if o := operations[kind]; o.remains != nil {
			all = append(all, o)
		}
	}
	return all
}

// Under tells whether a tag is the one named or a part of it: "a/b" is under "a".
func Under(tag, name string) bool {
	return tag == name || strings.HasPrefix(tag, name+"/")
}

// UnderAny tells whether a tag is under one of names.
func UnderAny(tag string, names []string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return Under(tag, n) })
}
