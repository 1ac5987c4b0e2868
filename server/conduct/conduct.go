// Package conduct leads runs: Decide says what comes next, purely from the
// state and the time, and the Conductor is the leader's loop that proposes it.
//
// Nothing is remembered between two decisions, so a new leader goes on where
// the old one stopped. A decision that is made twice is proposed under the
// same id and takes effect once.
package conduct

import (
	"context"
	"time"

	pb "squall/proto/squall/v1"
	"squall/server/state"
)

// Decision is what to do now, and when to look again if nothing changes before.
type Decision struct {
	// Record are commands to propose, in order.
	Record []*pb.Command
	// Wake is the cluster time at which the next decision is due; the zero
	// time when only a change of the state can bring one.
	Wake time.Time
}

// Proposer commits commands. An error means that it is not known whether the
// command took effect: it may be proposed again under the same id.
type Proposer interface {
	Propose(ctx context.Context, c *pb.Command) (*pb.Outcome, error)
}

// Pusher hands orders to the servers that hold the hosts' agents, ahead of
// those servers' own logs. It does not wait for slow ones.
type Pusher interface {
	Push(ctx context.Context, orders map[string]*pb.Order)
}

// Machine is where the conductor looks.
type Machine interface {
	View() *state.View
}
