package fault

import (
	pb "squall/proto/squall/v1"
)

// processFreeze keeps workloads' processes from running: those that are named,
// or all of the host but protected ones. Nothing in the kernel ends a freeze, so
// its undo names the cgroups, for whoever undoes it.
func processFreeze(f *pb.Facts, s *Step) ([]*pb.Change, error) {
	aimed, err := workloads(f, s.Task.GetWorkload())
	if err != nil {
		return nil, err
	}
	groups := cgroups(present(aimed))
	if len(groups) == 0 {
		return nil, refuse(pb.Refusal_REFUSAL_EMPTY_TARGET, "list a workload in the host's config, or leave the host out",
			"host %s has no workload to freeze", f.GetConfig().GetName())
	}
	tag := s.tag("freeze")
	return []*pb.Change{{
		Do:   &pb.Op{Tag: tag, Gate: s.gate(), Kind: &pb.Op_Freeze{Freeze: &pb.Freeze{Cgroups: groups}}},
		Undo: &pb.Op{Tag: tag, Kind: &pb.Op_Detach{Detach: &pb.Detach{Cgroups: groups}}},
	}}, nil
}
