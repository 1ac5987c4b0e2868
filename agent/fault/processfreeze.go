package fault

import (
	"slices"

	pb "squall/proto/squall/v1"
)

// processFreeze keeps workloads' processes from running: those that are named,
// or all of the host but protected ones, also one that is nowhere now and comes
// meanwhile. Nothing in the kernel ends a freeze, so its undo names the cgroups,
// for whoever undoes it.
func processFreeze(f *pb.Facts, s *Step) ([]*pb.Change, error) {
	aimed, err := workloads(f, s.Task.GetWorkload())
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(aimed, func(w *pb.WorkloadFacts) bool { return w.GetRuns() || !w.GetAbsent() }) {
		return nil, refuse(pb.Refusal_REFUSAL_EMPTY_TARGET, "list a workload in the host's config, or leave the host out",
			"host %s has no workload to freeze", f.GetConfig().GetName())
	}
	groups := cgroups(aimed)
	tag := s.tag("freeze")
	return []*pb.Change{{
		Do:   &pb.Op{Tag: tag, Gate: s.gate(), Kind: &pb.Op_Freeze{Freeze: &pb.Freeze{Cgroups: groups}}},
		Undo: &pb.Op{Tag: tag, Kind: &pb.Op_Detach{Detach: &pb.Detach{Cgroups: groups}}},
	}}, nil
}
