package server

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"squall/experiments"
	pb "squall/proto/squall/v1"
	"squall/server/consensus"
)

// errNoLeader means that no leader answered in time.
var errNoLeader = errors.New("no leader answers")

// problemError is a refusal on its way to a person.
type problemError struct{ problem *pb.Problem }

func (e *problemError) Error() string { return e.problem.GetMessage() }

// GRPCStatus carries the problem whole, so that the client can print fix and
// place and choose its exit code.
func (e *problemError) GRPCStatus() *status.Status {
	st := status.New(experiments.GRPCCode(e.problem.GetRefusal()), e.problem.GetMessage())
	if with, err := st.WithDetails(e.problem); err == nil {
		return with
	}
	return st
}

func refusal(p *pb.Problem) error { return &problemError{p} }

func refusef(why pb.Refusal, fix, format string, args ...any) error {
	return refusal(&pb.Problem{Refusal: why, Fix: fix, Message: fmt.Sprintf(format, args...)})
}

// statusOf turns our errors into refusals that name their cause.
func statusOf(err error) error {
	var known interface{ GRPCStatus() *status.Status }
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return known.GRPCStatus().Err()
	case errors.Is(err, consensus.ErrStore):
		return refusef(pb.Refusal_REFUSAL_DISK, "free space on the servers' disks: they go on by themselves", "%v", err)
	case errors.Is(err, errNoLeader), errors.Is(err, consensus.ErrNotLeader), errors.Is(err, consensus.ErrUnknown):
		return refusal(noLeader(err))
	case errors.Is(err, context.DeadlineExceeded):
		return status.Error(codes.DeadlineExceeded, err.Error())
	case errors.Is(err, context.Canceled):
		return status.Error(codes.Canceled, err.Error())
	}
	return status.Error(codes.Internal, err.Error())
}

func noLeader(err error) *pb.Problem {
	return &pb.Problem{
		Refusal: pb.Refusal_REFUSAL_NO_LEADER, Message: err.Error(),
		Fix: "see which servers are up with: squall status; hosts revert at the end of their lease by themselves",
	}
}
