package experiments

import (
	"google.golang.org/grpc/codes"

	pb "squall/proto/squall/v1"
)

// Exit codes of the client. There are no others.
const (
	ExitPass         = 0
	ExitInternal     = 1
	ExitUsage        = 2
	ExitNotStarted   = 3
	ExitRefused      = 4
	ExitUnreachable  = 5
	ExitFail         = 10
	ExitAborted      = 11
	ExitHalted       = 12
	ExitInconclusive = 13
	ExitResidue      = 20
)

// outcome is how one refusal leaves the client and how it travels.
type outcome struct {
	exit int
	code codes.Code
}

var refusals = map[pb.Refusal]outcome{
	pb.Refusal_REFUSAL_INVALID:      {ExitUsage, codes.InvalidArgument},
	pb.Refusal_REFUSAL_UNKNOWN:      {ExitUsage, codes.NotFound},
	pb.Refusal_REFUSAL_EMPTY_TARGET: {ExitUsage, codes.InvalidArgument},
	pb.Refusal_REFUSAL_UNSUPPORTED:  {ExitRefused, codes.Unimplemented},
	pb.Refusal_REFUSAL_HOST:         {ExitRefused, codes.FailedPrecondition},
	pb.Refusal_REFUSAL_GUARDRAIL:    {ExitRefused, codes.FailedPrecondition},
	pb.Refusal_REFUSAL_CLAIM:        {ExitRefused, codes.Aborted},
	pb.Refusal_REFUSAL_HALTED:       {ExitRefused, codes.FailedPrecondition},
	pb.Refusal_REFUSAL_NO_WAY_BACK:  {ExitRefused, codes.FailedPrecondition},
	pb.Refusal_REFUSAL_STALE_PLAN:   {ExitRefused, codes.FailedPrecondition},
	pb.Refusal_REFUSAL_ROLE:         {ExitRefused, codes.PermissionDenied},
	pb.Refusal_REFUSAL_DISK:         {ExitRefused, codes.ResourceExhausted},
	pb.Refusal_REFUSAL_NO_LEADER:    {ExitUnreachable, codes.Unavailable},
	pb.Refusal_REFUSAL_ABSENT:       {ExitRefused, codes.FailedPrecondition},
}

var verdicts = map[pb.Verdict]int{
	pb.Verdict_VERDICT_PASS:         ExitPass,
	pb.Verdict_VERDICT_FAIL:         ExitFail,
	pb.Verdict_VERDICT_ABORTED:      ExitAborted,
	pb.Verdict_VERDICT_HALTED:       ExitHalted,
	pb.Verdict_VERDICT_INCONCLUSIVE: ExitInconclusive,
	pb.Verdict_VERDICT_ERROR:        ExitInternal,
	pb.Verdict_VERDICT_NOT_STARTED:  ExitNotStarted,
	pb.Verdict_VERDICT_DONE:         ExitPass,
}

// ExitCode is the exit code of a refusal; an unknown one is an internal error.
func ExitCode(r pb.Refusal) int {
	if o, ok := refusals[r]; ok {
		return o.exit
	}
	return ExitInternal
}

// GRPCCode is the status code with which a refusal travels.
func GRPCCode(r pb.Refusal) codes.Code {
	if o, ok := refusals[r]; ok {
		return o.code
	}
	return codes.Internal
}

// VerdictExitCode is the exit code of a run. Residue outranks every verdict;
// a run without a verdict is an internal error.
func VerdictExitCode(v pb.Verdict, residue bool) int {
	if residue {
		return ExitResidue
	}
	if code, ok := verdicts[v]; ok {
		return code
	}
	return ExitInternal
}
