package fault

import (
	"fmt"

	"squall/experiments/internal/spell"
	pb "squall/proto/squall/v1"
	"squall/proto/text"
)

var powerOff = Kind{
	Name:    "power.off",
	Example: "--zone zone-b --for 1m --back.spread 10s",
	Begins:  "The machine, or the workloads, fall silent; then their processes are killed, and what starts there meanwhile is killed too.",
	Ends:    "The silence lifts, then what was killed is started, as `back` says.",
	Needs:   []string{"silence", "cgroup.kill", "hold.exec"},
	Harm:    Darkens,
	Narrows: map[string]string{"workload": Narrowed},
	Check:   func(f *pb.Fault) []Mistake { return checkWayBack(f.GetPowerOff().GetBack()) },
	Peers:   noPeers,
	Return: func(f *pb.Fault) *pb.WayBack {
		if back := f.GetPowerOff().GetBack(); back != nil {
			return back
		}
		return &pb.WayBack{}
	},
	OnHost: func(f *pb.Fault, h *pb.Host, killed []*pb.HostWorkload) []Finding {
		return append(mayKill(f, h), comesBack(f, h, killed)...)
	},
	Claims: func(_ *pb.Fault, workloads []string) []Claim {
		if len(workloads) == 0 {
			return []Claim{{"", false}}
		}
		return shareHost("/workload", workloads)
	},
	Magnitude: func(f *pb.Fault) string { return spell.Enum(f.GetPowerOff().GetMode()) },
	Undone:    func(s *Scene) string { return "silence lifted, " + started(s) },
	Lacks: []Lack{
		{Field: "mode", Only: "silent", Fix: "use `mode: silent`"},
	},
}

// checkWayBack refuses to pace what is not started.
func checkWayBack(b *pb.WayBack) []Mistake {
	if b.GetStart() != pb.BackStart_BACK_START_NONE {
		return nil
	}
	if b.GetSpread() == nil && b.GetAtOnce() == 0 && b.GetNever() == nil && b.GetBootLimit() == nil {
		return nil
	}
	return []Mistake{{
		"back", "back: start is none, so there is nothing to pace",
		"write `back: none` alone, or let workloads start",
	}}
}

// mayKill asks the host's owner about processes that no workload claims.
func mayKill(f *pb.Fault, h *pb.Host) []Finding {
	if f.GetPowerOff().GetUndeclared() != pb.Undeclared_UNDECLARED_KILL || h.GetAllowUndeclaredKill() {
		return nil
	}
	return []Finding{{
		pb.Refusal_REFUSAL_HOST, h.GetName() + "'s own config refuses `undeclared: kill`",
		"exclude the host, or ask its owner",
	}}
}

// comesBack refuses to kill what nobody could start again.
func comesBack(f *pb.Fault, h *pb.Host, killed []*pb.HostWorkload) []Finding {
	if f.GetPowerOff().GetBack().GetStart() == pb.BackStart_BACK_START_NONE {
		return nil
	}
	var found []Finding
	for _, w := range killed {
		if w.CanStart != nil && !w.GetCanStart() {
			found = append(found, Finding{
				pb.Refusal_REFUSAL_NO_WAY_BACK, fmt.Sprintf("workload %s on %s has no way back", quoted(w.GetName()), h.GetName()),
				"give it a unit or `start` in the host's config, or say `back: none`",
			})
		}
	}
	if len(killed) == 0 {
		found = append(found, Finding{Message: h.GetName() + " has no workload to kill: it only falls silent"})
	}
	return found
}

// started says what the way back starts, and when.
func started(s *Scene) string {
	on := text.Count(s.Hosts, "host")
	if s.Fault.GetPowerOff().GetBack().GetStart() == pb.BackStart_BACK_START_NONE {
		return "nothing started on " + on
	}
	line := text.Count(s.Workloads, "workload") + " started on " + on
	if s.AtOnce > 0 {
		line += fmt.Sprintf(", %d at once", s.AtOnce)
	}
	if s.NeverBack > 0 {
		line += fmt.Sprintf(", %d of them only when the run ends", s.NeverBack)
	}
	return line
}
