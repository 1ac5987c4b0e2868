package fault

import (
	pb "squall/proto/squall/v1"
)

// netDelay holds packets back on their way to and from its peers. Left without
// peers, it holds every packet but the exempt stream's.
func netDelay(f *pb.Facts, s *Step) ([]*pb.Change, error) {
	p := s.Task.GetFault().GetNetDelay()
	prefixes := s.Prefixes
	if p.GetTo() == nil {
		prefixes = []string{"0.0.0.0/0", "::/0"}
	}
	if len(prefixes) == 0 {
		return nil, refuse(pb.Refusal_REFUSAL_EMPTY_TARGET, "name peers that have addresses",
			"net.delay on host %s has no peer", f.GetConfig().GetName())
	}
	op := &pb.DelayLine{
		Prefix:     prefixes,
		DelayNanos: p.GetDelay().GetNanos(),
		Direction:  direction(p),
		Exempt:     f.GetExempt(),
	}
	return []*pb.Change{s.change("delay", &pb.Op{Kind: &pb.Op_DelayLine{DelayLine: op}})}, nil
}

func direction(p *pb.NetDelay) pb.Direction {
	if p.GetDirection() == pb.Direction_DIRECTION_UNSPECIFIED {
		return pb.Direction_DIRECTION_OUT
	}
	return p.GetDirection()
}
