package step

import (
	"fmt"
	"slices"

	kind "squall/experiments/fault"
	pb "squall/proto/squall/v1"
)

// taken says what stands in the way of a task from the host's own socket: a step
// that is not over and takes the same thing of this host. It is nil where nothing
// does. What servers order was held against the claims of every run when they
// admitted it; on a host alone there is nobody else to do so.
func (c *core) taken(t *pb.Task) *pb.Problem {
	for _, s := range c.sorted() {
		if s.over() || s.key == keyOf(t) {
			continue
		}
		if resource, both := bothTake(t, s.task); both {
			return &pb.Problem{
				Refusal: pb.Refusal_REFUSAL_CLAIM,
				Message: fmt.Sprintf("%s takes host/%s%s, which run %s holds until %s",
					t.GetStep(), c.name, resource, s.key.run, clockOf(s.task.GetEndUnixNanos())),
				Fix: "wait until then, or end it with `squall undo --local " + s.key.run + "`",
			}
		}
	}
	return nil
}

// bothTake finds what two tasks both take, and at least one of them alone.
func bothTake(a, b *pb.Task) (resource string, both bool) {
	held := claims(b)
	for _, mine := range claims(a) {
		if slices.ContainsFunc(held, func(theirs kind.Claim) bool {
			return theirs.Resource == mine.Resource && (!mine.Shared || !theirs.Shared)
		}) {
			return mine.Resource, true
		}
	}
	return "", false
}

// claims are what a task takes of its host. A kind that this build lacks takes
// nothing: it is refused.
func claims(t *pb.Task) []kind.Claim {
	if k := kind.Of(t.GetFault()); k != nil {
		return k.Claims(t.GetFault(), t.GetWorkload())
	}
	return nil
}

// asking asks what bars a task from the host's own socket, without bringing it.
type asking struct {
	task   *pb.Task
	barred *pb.Problem
}

func (n *asking) into(c *core) { n.barred = c.barred(n.task, true) }
