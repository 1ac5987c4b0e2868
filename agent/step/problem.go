package step

import (
	"errors"
	"fmt"
	"strings"

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
			Refusal: pb.Refusal_REFUSAL_DISK, Message: textOf(err),
			Fix: "free disk space; what is under way can still be undone",
		}
	case errors.Is(err, host.ErrUnsupported):
		return &pb.Problem{
			Refusal: pb.Refusal_REFUSAL_HOST, Message: textOf(err), Fix: "see `squall doctor` on that host",
		}
	}
	return &pb.Problem{Refusal: pb.Refusal_REFUSAL_HOST, Message: textOf(err)}
}

// textOf is an error's text as a message can carry it: an error may quote a name
// from the machine, and names may be anything.
func textOf(err error) string { return strings.ToValidUTF8(err.Error(), "\uFFFD") }

// HaltedProblem refuses what a halted host is asked for.
func HaltedProblem(h *pb.HaltLatch) *pb.Problem {
	fix := "resume the cluster: squall resume"
	if h.GetLocal() {
		fix = "resume on this host: squall resume --local"
	}
	message := fmt.Sprintf("this host is halted (%s)", h.GetId())
	if h.GetReason() != "" {
		message += ": " + h.GetReason()
	}
	return &pb.Problem{
		Refusal: pb.Refusal_REFUSAL_HALTED,
		Message: message,
		Fix:     fix,
	}
}
