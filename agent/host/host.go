// Package host is the only door to the kernel: it carries out operations,
// tells what the host is and can do, and reads boot time.
//
// Every operation is idempotent, names its object by a name, tag or cgroup
// that we chose, and touches only what is ours.
package host

import (
	"context"
	"errors"
	"time"

	pb "squall/proto/squall/v1"
)

// ErrUnsupported is wrapped by errors that name a missing piece of the kernel.
var ErrUnsupported = errors.New("unsupported on this host")

// Death is the end of something that nobody detached by its tag.
type Death struct {
	Tag string
	// Why it ended; empty where that isn't known.
	Why string
}

// Detail is a part of the facts that takes longer to find than all others, and is
// found for whoever names it.
type Detail int

const (
	// Ports are those on which workloads wait for strangers.
	Ports Detail = iota
	// Undeclared are the processes that no workload claims.
	Undeclared
	// Addresses are those of the host, and its interfaces.
	Addresses
)

// Host is a machine as the agent sees it. The real one is made by Open; the
// printing fake is in hosttest.
type Host interface {
	// Facts describes the host now, with the details that are named. Planners read
	// nothing else.
	Facts(ctx context.Context, details ...Detail) (*pb.Facts, error)

	// Running tells of the named workloads, or of all, whether each has a process
	// now; those that have not run since boot are left out. It is cheap enough to be
	// asked every second. One that can't be told does not run, and is in the error.
	Running(ctx context.Context, workloads ...string) (map[string]bool, error)

	// Ready returns nil when a workload's processes run and its `ready`, if it has
	// one, succeeds: one attempt. The error says what is wrong.
	Ready(ctx context.Context, workload string) error

	// LastLog is the last lines that a workload printed which this host started,
	// oldest first; none where they went elsewhere.
	LastLog(workload string, lines int) []string

	// Do carries out one operation. It is idempotent. An operation that the
	// kernel can't do fails with an error that wraps ErrUnsupported and names
	// the missing piece, and leaves nothing behind. One that acts at an instant
	// returns when it has; armed, which may be nil, is called as soon as nothing
	// is left to do but to wait for it.
	Do(ctx context.Context, op *pb.Op, armed func()) error

	// Boot is the time since boot, as programs in the kernel read it, suspend
	// included: the only clock of deadlines and leases.
	Boot() time.Duration

	// Renew moves the lease of everything under a tag, what comes there later too:
	// its gates close at that boot time unless it is moved again.
	Renew(tag string, until time.Duration)

	// Exempt lets the agent's way to servers, address:port or unix:PATH, through
	// everything that is attached, now and later. Facts list them from then on. It
	// goes on past those that it can't exempt, and says which.
	Exempt(servers []string) error

	// Died tells of what has ended on this host without being detached.
	Died() <-chan Death

	// Evidence reads the counters of what is attached under a tag, and tries
	// an active probe through the same path where there is one. A tag stands for
	// itself and for everything below it: "a" covers "a/silence".
	Evidence(ctx context.Context, tag string) ([]*pb.Evidence, error)

	// Clean shows that nothing of a tag is left, or what is. undo are the
	// operations that took it back: what may outlive its holder is looked for where
	// they say that it was.
	Clean(ctx context.Context, tag string, undo []*pb.Op) ([]*pb.Evidence, error)

	// Leftovers names everything of ours in the kernel that is not under one
	// of the tags or below one, after trying to remove it: what it returns is
	// residue.
	Leftovers(ctx context.Context, held []string) ([]string, error)
}
