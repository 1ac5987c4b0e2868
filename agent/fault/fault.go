// Package fault turns a step on a host into reversible changes. It is pure:
// facts and a step in, changes out; each kind of fault has one file and one
// golden file.
package fault

import (
	"time"

	pb "squall/proto/squall/v1"
)

// Step is one task with its instants in boot time, converted once when it arms.
type Step struct {
	Task *pb.Task
	// Start, End and Deadline are boot times.
	Start, End, Deadline time.Duration
	// Prefixes are the peers of net.* faults.
	Prefixes []string
}

// Tag is the name under which everything of a step is attached.
func Tag(run, step string) string { return "squall/" + run + "/" + step }

// Planner turns facts and a step into changes, in the order in which they are made.
type Planner func(*pb.Facts, *Step) ([]*pb.Change, error)
