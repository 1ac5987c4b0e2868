package plan

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"squall/experiments/quantity"
	pb "squall/proto/squall/v1"
)

const (
	// MostRuntime is the longest real time of any run, whatever its guardrails say.
	MostRuntime = 24 * time.Hour
	// mostDeadline is the latest deadline: the longest run, the longest boot and the grace.
	mostDeadline = int64(MostRuntime + 30*time.Minute + 10*time.Second)
	// leastLease and mostLease are the range of guardrails.lease, with room for tests of ours.
	leastLease, mostLease = int64(time.Second), int64(10 * time.Minute)
	// mostBytes is how much of the log one plan may take.
	mostBytes = 24 << 20
)

// Bounded refuses a plan whose numbers no planner of ours would have made:
// instants that are out of order or out of reach, a lease that is out of range.
// Admission asks again, whoever made the plan, so that sums of its numbers and
// of cluster time never leave 64 bits. It is nil where all is well.
func Bounded(p *pb.Plan) *pb.Problem {
	if n := proto.Size(p); n > mostBytes {
		return outOfBounds("the plan has %d bytes, and may have %d", n, mostBytes)
	}
	switch {
	case p.GetLeaseNanos() < leastLease || p.GetLeaseNanos() > mostLease:
		return outOfBounds("the lease is %s", quantity.FormatSpan(p.GetLeaseNanos()))
	case p.GetLengthNanos() < 0 || p.GetLengthNanos() > int64(MostRuntime):
		return outOfBounds("the run takes %s", quantity.FormatSpan(p.GetLengthNanos()))
	case p.GetDeadlineNanos() < 0 || p.GetDeadlineNanos() > mostDeadline:
		return outOfBounds("the last deadline is after %s", quantity.FormatSpan(p.GetDeadlineNanos()))
	}
	for _, step := range p.GetSteps() {
		if problem := boundedStep(p, step); problem != nil {
			return problem
		}
	}
	for _, c := range p.GetClaims() {
		if c.GetStartNanos() < 0 || c.GetEndNanos() > p.GetDeadlineNanos() {
			return outOfBounds("%s claims %s beyond the last deadline", c.GetStep(), c.GetResource())
		}
	}
	return nil
}

func boundedStep(p *pb.Plan, step *pb.PlannedStep) *pb.Problem {
	if limit := step.GetBootLimitNanos(); limit < 0 || limit > mostDeadline {
		return outOfBounds("%s gives a host %s to boot", step.GetId(), quantity.FormatSpan(limit))
	}
	for _, s := range step.GetSlots() {
		ordered := 0 <= s.GetStartNanos() && s.GetStartNanos() <= s.GetEndNanos() && s.GetEndNanos() <= s.GetDeadlineNanos()
		if !ordered || s.GetDeadlineNanos() > p.GetDeadlineNanos() {
			return outOfBounds("%s on %s goes from %s to %s, at the latest to %s", step.GetId(), s.GetHost(),
				quantity.FormatSpan(s.GetStartNanos()), quantity.FormatSpan(s.GetEndNanos()), quantity.FormatSpan(s.GetDeadlineNanos()))
		}
	}
	return nil
}

func outOfBounds(format string, args ...any) *pb.Problem {
	return &pb.Problem{
		Refusal: pb.Refusal_REFUSAL_INVALID, Message: "the plan is out of bounds: " + fmt.Sprintf(format, args...),
		Fix: "let `squall plan` make it from a file",
	}
}
