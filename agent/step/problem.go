package step

import (
	"errors"
	"fmt"

	"squall/agent/fault"
	"squall/agent/host"
	"squall/agent/undo"
	pb "squall/proto/squall/v1"
)

// problemOf tells an error to people, with what sort of refusal it is.
func problemOf(err error) *pb.Problem {
	var refused *fault.Refused
	switch {
	case errors.As(err, &refused):
		return refused.Problem
	case errors.Is(err, undo.ErrFull):
		return &pb.Problem{
			Refusal: pb.Refusal_REFUSAL_DISK, Message: err.Error(),
			Fix: "free disk space; what is under way can still be undone",
		}
	case errors.Is(err, host.ErrUnsupported):
		return &pb.Problem{
			Refusal: pb.Refusal_REFUSAL_HOST, Message: err.Error(), Fix: "see `squall doctor` on that host",
		}
	}
	return &pb.Problem{Refusal: pb.Refusal_REFUSAL_HOST, Message: err.Error()}
}

// HaltedProblem refuses what a halted host is asked for.
func HaltedProblem(h *pb.HaltLatch) *pb.Problem {
	fix := "resume the cluster: squall resume"
	if h.GetLocal() {
		fix = "resume on this host: squall resume --local"
	}
	return &pb.Problem{
		Refusal: pb.Refusal_REFUSAL_HALTED,
		Message: fmt.Sprintf("this host is halted (%s): %s", h.GetId(), h.GetReason()),
		Fix:     fix,
	}
}
