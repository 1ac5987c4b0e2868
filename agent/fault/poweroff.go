package fault

import (
	"slices"

	pb "squall/proto/squall/v1"
)

// powerOff makes a host, or some of its workloads, dark: silent first, killed
// second. A process that is killed on a live kernel sends a reset at once; a
// machine without power says nothing.
//
// The way back is the changes in reverse: the silence lifts, programs may run
// again, and what was killed is started. A booting machine answers before its
// services do.
func powerOff(f *pb.Facts, s *Step) ([]*pb.Change, error) {
	p := s.Task.GetFault().GetPowerOff()
	if err := powerOffAllowed(f, s, p); err != nil {
		return nil, err
	}
	dark, err := workloads(f, s.Task.GetWorkload())
	if err != nil {
		return nil, err
	}
	if err := restartable(f, p, dark); err != nil {
		return nil, err
	}
	if len(s.Task.GetWorkload()) > 0 {
		if err := onHostsNetwork(f, dark); err != nil {
			return nil, err
		}
	}
	changes := []*pb.Change{
		{Do: nothing(), Undo: wayBack(p, dark)},
		holdDown(s, dark),
		silence(f, s, p, dark),
	}
	return append(changes, kill(f, s, p, dark)), nil
}

func powerOffAllowed(f *pb.Facts, s *Step, p *pb.PowerOff) error {
	if p.GetUndeclared() == pb.Undeclared_UNDECLARED_KILL {
		if len(s.Task.GetWorkload()) > 0 {
			return refuse(pb.Refusal_REFUSAL_INVALID, "aim the step at the host, or drop undeclared: kill",
				"undeclared: kill is for a whole host, and the step names workloads")
		}
		if !f.GetConfig().GetAllowUndeclaredKill() {
			return refuse(pb.Refusal_REFUSAL_HOST, "drop it, or set allow_undeclared_kill in the host's config",
				"host %s does not allow undeclared: kill", f.GetConfig().GetName())
		}
		// Its processes could not be told from undeclared ones.
		return resolved(f, f.GetWorkloads())
	}
	return nil
}

// restartable refuses to kill what can't be started again.
func restartable(f *pb.Facts, p *pb.PowerOff, dark []*pb.WorkloadFacts) error {
	for _, w := range dark {
		if !w.GetCanStart() && p.GetBack().GetStart() != pb.BackStart_BACK_START_NONE {
			return refuse(pb.Refusal_REFUSAL_NO_WAY_BACK,
				"give it a unit or `start` in the host's config, or say `back: none`",
				"workload %s on host %s has no way back", w.GetName(), f.GetConfig().GetName())
		}
	}
	return nil
}

// wayBack starts what runs now, and names what does not: the undo puts back what
// was, and is on disk before anything is killed.
func wayBack(p *pb.PowerOff, dark []*pb.WorkloadFacts) *pb.Op {
	var ran, idle []*pb.WorkloadFacts
	for _, w := range dark {
		if w.GetRuns() {
			ran = append(ran, w)
		} else {
			idle = append(idle, w)
		}
	}
	if p.GetBack().GetStart() == pb.BackStart_BACK_START_NONE || len(dark) == 0 {
		return nothing()
	}
	return &pb.Op{Kind: &pb.Op_StartWorkloads{StartWorkloads: &pb.StartWorkloads{
		Workload: names(ran), Idle: names(idle),
	}}}
}

func holdDown(s *Step, dark []*pb.WorkloadFacts) *pb.Change {
	if len(dark) == 0 {
		return &pb.Change{Do: nothing(), Undo: nothing()}
	}
	return s.change("hold", &pb.Op{Kind: &pb.Op_HoldDown{HoldDown: &pb.HoldDown{Cgroups: cgroups(dark)}}})
}

func silence(f *pb.Facts, s *Step, p *pb.PowerOff, dark []*pb.WorkloadFacts) *pb.Change {
	op := &pb.Silence{L2: p.GetL2(), Exempt: f.GetExempt()}
	if len(s.Task.GetWorkload()) > 0 {
		op.Ports = ports(dark)
		op.Cgroups = cgroups(dark)
	}
	return s.change("silence", &pb.Op{Kind: &pb.Op_Silence{Silence: op}})
}

func kill(f *pb.Facts, s *Step, p *pb.PowerOff, dark []*pb.WorkloadFacts) *pb.Change {
	op := &pb.KillWorkloads{
		Workload:   names(present(dark)),
		Undeclared: p.GetUndeclared() == pb.Undeclared_UNDECLARED_KILL,
	}
	if len(s.Task.GetWorkload()) == 0 { // a whole host forgets what it has in memory
		op.Volatile = f.GetConfig().GetVolatile()
	}
	return s.change("kill", &pb.Op{Kind: &pb.Op_KillWorkloads{KillWorkloads: op}})
}

func names(ws []*pb.WorkloadFacts) []string {
	var all []string
	for _, w := range ws {
		all = append(all, w.GetName())
	}
	return all
}

func ports(ws []*pb.WorkloadFacts) []uint32 {
	var all []uint32
	for _, w := range ws {
		all = append(all, w.GetPorts()...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
