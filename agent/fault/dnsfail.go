package fault

import (
	pb "squall/proto/squall/v1"
)

// everything is all queries, in parts per million.
const everything = 1_000_000

// dnsFail lets lookups vanish, for the host or for workloads' cgroups.
func dnsFail(f *pb.Facts, s *Step) ([]*pb.Change, error) {
	p := s.Task.GetFault().GetDnsFail()
	if err := blackholeOnly(p); err != nil {
		return nil, err
	}
	if err := need(f, "dns.drop"); err != nil {
		return nil, err
	}
	op := &pb.DropDNS{Tag: s.tag("dns"), Gate: s.gate(), SharePpm: everything, Seed: s.Task.GetSeed()}
	if share := p.GetShare(); share != nil {
		op.SharePpm = uint32(share.GetFrom())
	}
	if len(s.Task.GetWorkload()) > 0 {
		aimed, err := workloads(f, s.Task.GetWorkload())
		if err != nil {
			return nil, err
		}
		op.Cgroups = cgroups(aimed)
	}
	return []*pb.Change{{Do: &pb.Op{Kind: &pb.Op_DropDns{DropDns: op}}, Undo: detach(op.GetTag())}}, nil
}

// blackholeOnly refuses what needs a resolver of our own.
func blackholeOnly(p *pb.DNSFail) error {
	if a := p.GetAnswer(); a != nil && a.GetTimeout().GetPpm() != everything {
		return refuse(pb.Refusal_REFUSAL_UNSUPPORTED, "use answer: { timeout: 100% }",
			"this build lets queries time out and gives no other answer")
	}
	if n := p.GetNames(); len(n) > 0 && (len(n) > 1 || n[0] != "*") {
		return refuse(pb.Refusal_REFUSAL_UNSUPPORTED, `use names: ["*"]`, "this build fails every name or none")
	}
	if share := p.GetShare(); share.GetFrom() != share.GetTo() {
		return refuse(pb.Refusal_REFUSAL_UNSUPPORTED, "use one share", "this build has no ramps")
	}
	return nil
}
