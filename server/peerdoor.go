package server

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "squall/proto/squall/v1"
)

// peerDoor is the service between servers.
type peerDoor struct {
	pb.UnimplementedPeerServiceServer
	server *Server
}

// Propose commits a command that another server forwards. A server that does
// not lead refuses: a command is forwarded once.
func (d *peerDoor) Propose(ctx context.Context, req *pb.ProposeRequest) (*pb.ProposeResponse, error) {
	if req.GetCommand().GetId() == "" || req.GetCommand().GetKind() == nil {
		return nil, status.Error(codes.InvalidArgument, "propose: id or kind is missing")
	}
	outcome, err := d.server.commit(ctx, req.GetCommand())
	if err != nil {
		return nil, err
	}
	return &pb.ProposeResponse{Outcome: outcome}, nil
}

// Confirm is the leader's word on who leads, what time it is, and how far the
// state has come.
func (d *peerDoor) Confirm(ctx context.Context, req *pb.ConfirmRequest) (*pb.ConfirmResponse, error) {
	s := d.server
	id, _ := caller(ctx)
	s.roll.answer(id.Name, s.local())
	res := &pb.ConfirmResponse{SentMonoNanos: req.GetSentMonoNanos(), Term: s.term.Load()}
	if res.GetTerm() == 0 {
		return res, nil
	}
	res.CommitIndex = s.consensus.Applied()
	if req.GetVerify() {
		index, err := s.consensus.LinearizableIndex(ctx)
		if err != nil {
			return res, nil //nolint:nilerr // not being the leader is an answer, not a failure
		}
		res.CommitIndex = index
	}
	now, ok := s.clusterTime()
	res.Leader, res.Epoch = ok, s.machine.View().Epoch()
	res.ClusterUnixNanos, res.UncertaintyNanos = now.Unix, int64(now.Doubt)
	return res, nil
}

// Push hands orders on to the agents here, ahead of this server's own log.
func (d *peerDoor) Push(_ context.Context, req *pb.PushRequest) (*pb.PushResponse, error) {
	d.server.fleet.Deliver(req.GetOrders())
	return &pb.PushResponse{}, nil
}

// Alarm tells the agents here of a halt, before it is committed.
func (d *peerDoor) Alarm(ctx context.Context, req *pb.AlarmRequest) (*pb.AlarmResponse, error) {
	if req.GetHalt().GetId() == "" {
		return nil, status.Error(codes.InvalidArgument, "alarm: the halt has no id")
	}
	s := d.server
	s.alarms.hear(&alarm{latch: req.GetHalt(), by: s.principal(ctx, ""), patience: patience})
	return &pb.AlarmResponse{Hosts: s.fleet.Alarm(req.GetHalt())}, nil
}
