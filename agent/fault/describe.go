package fault

import (
	"fmt"
	"strings"
	"time"

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

func describe(op *pb.Op) string {
	switch k := op.GetKind().(type) {
	case *pb.Op_Silence:
		return describeSilence(k.Silence)
	case *pb.Op_DropDns:
		return fmt.Sprintf("drop %s of lookups for %s", percent(k.DropDns.GetSharePpm()), scope(k.DropDns.GetCgroups()))
	case *pb.Op_DelayLine:
		return describeDelay(k.DelayLine)
	case *pb.Op_HoldDown:
		return "keep down what starts in " + strings.Join(k.HoldDown.GetCgroups(), " ")
	case *pb.Op_KillWorkloads:
		return describeKill(k.KillWorkloads)
	case *pb.Op_StartWorkloads:
		return "start " + strings.Join(k.StartWorkloads.GetWorkload(), " ")
	case *pb.Op_Detach:
		return "detach " + k.Detach.GetTag()
	default:
		return ""
	}
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
