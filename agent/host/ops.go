package host

import (
	"slices"
	"strings"

	pb "squall/proto/squall/v1"
)

// WorkloadsFolder is the cgroup folder, under the agent's base, that holds the
// workloads without a unit or a cgroup of their own.
const WorkloadsFolder = "squall.workloads"

// Gated is the tag and the gate of an operation that attaches something; the
// tag is empty for the others.
func Gated(op *pb.Op) (tag string, gate *pb.Gate) {
	switch o := op.GetKind().(type) {
	case *pb.Op_Silence:
		return o.Silence.GetTag(), o.Silence.GetGate()
	case *pb.Op_DropDns:
		return o.DropDns.GetTag(), o.DropDns.GetGate()
	case *pb.Op_DelayLine:
		return o.DelayLine.GetTag(), o.DelayLine.GetGate()
	case *pb.Op_HoldDown:
		return o.HoldDown.GetTag(), o.HoldDown.GetGate()
	}
	return "", nil
}

// AbilityFor names the ability that an operation needs; empty where it needs none.
func AbilityFor(op *pb.Op) string {
	switch op.GetKind().(type) {
	case *pb.Op_Silence:
		return "silence"
	case *pb.Op_DropDns:
		return "dns.drop"
	case *pb.Op_DelayLine:
		return "delay.line"
	case *pb.Op_HoldDown:
		return "hold.exec"
	case *pb.Op_KillWorkloads:
		return "cgroup.kill"
	}
	return ""
}

// Abilities are the names that Doctor reports, in its order.
func Abilities() []string {
	return []string{
		"root", "cgroup.v2", "cgroup.kill", "bpf", "silence", "hold.exec",
		"dns.drop", "delay.line", "realtime", "systemd",
	}
}

// Under tells whether a tag is the one named or a part of it: "a/b" is under "a".
func Under(tag, name string) bool {
	return tag == name || strings.HasPrefix(tag, name+"/")
}

// UnderAny tells whether a tag is under one of names.
func UnderAny(tag string, names []string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return Under(tag, n) })
}
