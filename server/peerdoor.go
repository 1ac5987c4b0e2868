package server

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
	"squall/server/state"
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
	if err := mayForward(ctx, req.GetCommand()); err != nil {
		return nil, err
	}
	req.GetCommand().AtUnixNanos = 0 // the leader stamps it
	outcome, err := d.server.commitOne(ctx, req.GetCommand())
	if err != nil {
		return nil, err
	}
	return &pb.ProposeResponse{Outcome: outcome}, nil
}

// mayForward refuses what is not for another server to have proposed: what only the
// leader decides, and what a third one's archive has.
func mayForward(ctx context.Context, c *pb.Command) error {
	if !state.Forwarded(c) {
		return status.Errorf(codes.PermissionDenied, "propose %q: the leader alone decides that", c.GetId())
	}
	id, _ := caller(ctx)
	if told := c.GetRecordArchived(); told != nil && told.GetServer() != id.Name {
		return status.Errorf(codes.PermissionDenied, "propose %q: server %q tells what the archive of %q has", c.GetId(), id.Name, told.GetServer())
	}
	return nil
}

// mostCommand is the most that a forwarded command may take, in bytes: a plan of
// the largest size and what goes with it.
const mostCommand = 32 << 20

// ProposeLarge commits a command that comes in parts.
func (d *peerDoor) ProposeLarge(stream grpc.ClientStreamingServer[pb.ProposeLargeRequest, pb.ProposeLargeResponse]) error {
	var whole []byte
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if whole = append(whole, m.GetPart()...); len(whole) > mostCommand {
			return status.Errorf(codes.ResourceExhausted, "propose: the command has more than %d bytes", mostCommand)
		}
	}
	req := &pb.ProposeRequest{Command: &pb.Command{}}
	if err := proto.Unmarshal(whole, req.GetCommand()); err != nil {
		return status.Errorf(codes.InvalidArgument, "propose: %v", err)
	}
	res, err := d.Propose(stream.Context(), req)
	if err != nil {
		return err
	}
	return stream.SendAndClose(&pb.ProposeLargeResponse{Outcome: res.GetOutcome()})
}

// Confirm is the leader's word on who leads, what time it is, and how far the
// state has come.
func (d *peerDoor) Confirm(ctx context.Context, req *pb.ConfirmRequest) (*pb.ConfirmResponse, error) {
	s := d.server
	id, _ := caller(ctx)
	s.roll.answer(id.Name, s.local())
	if wall := req.GetWallUnixNanos(); wall != 0 {
		s.walls.note(id.Name, time.Duration(wall)-s.local())
	}
	res := &pb.ConfirmResponse{SentMonoNanos: req.GetSentMonoNanos(), Term: s.term.Load()}
	now, ok := s.clusterTime()
	if ok {
		res.ClusterUnixNanos, res.UncertaintyNanos = now.Unix, int64(now.Doubt)
		res.SlewedNanos, res.SlewPpm, res.WallOffNanos = int64(now.Slewed), now.SlewPPM, s.walls.off.Load()
	}
	if res.GetTerm() == 0 {
		res.Term = now.Term // not of a leader: of the one whose time it is
		return res, nil
	}
	res.CommitIndex, res.TimeDoubt = s.consensus.Applied(), s.doubt()
	if req.GetVerify() {
		index, err := s.consensus.LinearizableIndex(ctx)
		if err != nil {
			return res, nil //nolint:nilerr // not being the leader is an answer, not a failure
		}
		res.CommitIndex = index
	}
	res.Leader, res.Epoch = ok, s.machine.View().Epoch()
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
