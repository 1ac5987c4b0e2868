package fault

import (
	pb "squall/proto/squall/v1"
)

// everything is all queries, in parts per million.
const everything = 1_000_000

// dnsFail lets lookups vanish, for the host or for workloads' cgroups.
func dnsFail(f *pb.Facts, s *Step) ([]*pb.Change, error) {
	p := s.Task.GetFault().GetDnsFail()
	op := &pb.DropDNS{SharePpm: everything, Seed: s.Task.GetSeed()}
	if share := p.GetShare(); share != nil {
		op.SharePpm = uint32(share.GetFrom())
	}
	if len(s.Task.GetWorkload()) > 0 {
		aimed, err := workloads(f, s.Task.GetWorkload())
		if err == nil {
			err = onHostsNetwork(f, aimed)
		}
		if err != nil {
			return nil, err
		}
		op.Cgroups = cgroups(aimed)
	}
	return []*pb.Change{s.change("dns", &pb.Op{Kind: &pb.Op_DropDns{DropDns: op}})}, nil
}
