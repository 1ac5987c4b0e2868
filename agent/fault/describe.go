package fault

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	pb "squall/proto/squall/v1"
)

// Describe says in a line each what changes would touch, and their undo.
func Describe(changes []*pb.Change) []string {
	var lines []string
	for _, c := range changes {
		do, undo := describe(c.GetDo()), describe(c.GetUndo())
		switch {
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

// descriptions is the one table of how operations read, by the name of the arm
// in pb.Op; empty where there is nothing to say.
var descriptions = map[protoreflect.Name]func(*pb.Op) string{
	"silence":    func(op *pb.Op) string { return describeSilence(op.GetSilence()) },
	"drop_dns":   func(op *pb.Op) string { return describeDrop(op.GetDropDns()) },
	"delay_line": func(op *pb.Op) string { return describeDelay(op.GetDelayLine()) },
	"hold_down": func(op *pb.Op) string {
		return "keep down what starts in " + strings.Join(op.GetHoldDown().GetCgroups(), " ")
	},
	"detach":          func(op *pb.Op) string { return "detach " + op.GetDetach().GetTag() },
	"kill_workloads":  func(op *pb.Op) string { return describeKill(op.GetKillWorkloads()) },
	"start_workloads": func(op *pb.Op) string { return "start " + strings.Join(op.GetStartWorkloads().GetWorkload(), " ") },
	"nothing":         func(*pb.Op) string { return "" },
}

func describe(op *pb.Op) string {
	if say := descriptions[armOf(op)]; say != nil {
		return say(op)
	}
	return ""
}

func armOf(op *pb.Op) protoreflect.Name {
	m := op.ProtoReflect()
	arm := m.WhichOneof(m.Descriptor().Oneofs().ByName("kind"))
	if arm == nil {
		return ""
	}
	return arm.Name()
}

func describeDrop(d *pb.DropDNS) string {
	return fmt.Sprintf("drop %s of lookups for %s", percent(d.GetSharePpm()), scope(d.GetCgroups()))
}

func describeSilence(s *pb.Silence) string {
	if len(s.GetPorts()) == 0 && len(s.GetCgroups()) == 0 {
		if s.GetL2() {
			return "silence every interface, neighbour discovery too"
		}
		return "silence every interface"
	}
	return fmt.Sprintf("silence ports %v and the flows of %s", s.GetPorts(), strings.Join(s.GetCgroups(), " "))
}

func describeDelay(d *pb.DelayLine) string {
	way := strings.ToLower(strings.TrimPrefix(d.GetDirection().String(), "DIRECTION_"))
	return fmt.Sprintf("hold packets %s, %s, for %s", way, count(len(d.GetPrefix()), "prefix", "prefixes"),
		time.Duration(d.GetDelayNanos()))
}

func describeKill(k *pb.KillWorkloads) string {
	what := strings.Join(k.GetWorkload(), " ")
	if k.GetUndeclared() {
		what = strings.TrimSpace(what + " and every undeclared process")
	}
	if what == "" {
		return ""
	}
	return "kill " + what
}

func scope(cgroups []string) string {
	if len(cgroups) == 0 {
		return "the host"
	}
	return strings.Join(cgroups, " ")
}

func percent(ppm uint32) string { return fmt.Sprintf("%g%%", float64(ppm)/10_000) }

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
