// Package bpf is what Squall lets the kernel do by itself: drop, hold back and
// kill, by programs that look at the clock.
//
// Every program acts only while start <= now < min(end, lease) in boot time,
// and every link is unpinned: the death of its holder ends the fault at once,
// and a hang ends it at the lease. Nothing here needs an undo.
package bpf

import (
	"errors"
	"time"

	pb "squall/proto/squall/v1"
)

// ErrUnsupported is wrapped by errors that name a missing piece of the kernel.
var ErrUnsupported = errors.New("missing in this kernel")

// Attachment is one fault held in the kernel.
type Attachment interface {
	// Counters reads what the fault has done so far, by name. After Close it
	// returns the last values. It fails once somebody else has detached the fault.
	Counters() (map[string]uint64, error)

	// Renew moves the fault's lease to a boot time, back too. It is closed before
	// the first.
	Renew(until time.Duration)

	// Done is closed when the fault has ended, for whatever reason.
	Done() <-chan struct{}

	// Cause is why it has ended without being closed; nil where it has not.
	Cause() error

	// Close ends the fault before it returns. It may be called again.
	Close() error
}

// Gate is when a program acts, in boot time: from Start to the earlier of End
// and the lease, or to End alone with IgnoreLease.
type Gate struct {
	Start, End  time.Duration
	IgnoreLease bool
}

// gateOf reads the gate of an operation.
func gateOf(g *pb.Gate) Gate {
	return Gate{
		Start:       time.Duration(g.GetStartBootNanos()),
		End:         time.Duration(g.GetEndBootNanos()),
		IgnoreLease: g.GetIgnoreLease(),
	}
}
