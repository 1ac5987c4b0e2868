package step

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"squall/agent/host"
	kind "squall/experiments/fault"
	pb "squall/proto/squall/v1"
)

const (
	// defaultBootLimit is how long workloads may take to get ready where the
	// step doesn't say.
	defaultBootLimit = 2 * time.Minute
	// readyEvery is how often a workload that was started is looked at.
	readyEvery = 250 * time.Millisecond
	// lastLines is how much of a workload's log goes with its failure.
	lastLines = 10
)

// recover has the workloads watched that a revert has started. Getting ready is
// recovery, not revert: it holds nothing up but the boot token.
func (c *core) recover(s *step, known journaled) {
	if known == nil || kind.WayBack(s.task.GetFault()) == nil {
		return
	}
	var started []string
	for _, change := range s.changes {
		started = append(started, change.GetUndo().GetStartWorkloads().GetWorkload()...)
	}
	if len(s.changes) > 0 && len(started) == 0 {
		s.status.ReadyAgain = true // nothing was to be started
		c.tell(s)
		return
	}
	// The journal of a clean step no longer says what was started.
	if len(started) == 0 {
		started = s.task.GetWorkload()
	}
	if left := s.bootLimit() - (c.now.boot - revertedAt(known)); left > 0 && left <= s.bootLimit() {
		s.recovering = true
		c.do(recovering{s.key, started, left})
	}
}

func (s *step) bootLimit() time.Duration {
	if limit := time.Duration(s.task.GetBootLimitNanos()); limit > 0 {
		return limit
	}
	return defaultBootLimit
}

// revertedAt is the boot time at which a step was first reverted.
func revertedAt(known journaled) time.Duration {
	for _, r := range known.Marks {
		if m := r.GetMark(); m.GetState() == pb.StepState_STEP_STATE_REVERTED {
			return time.Duration(m.GetActualBootNanos())
		}
	}
	return 0
}

// recovered answers recovering: when the last workload got ready, or which did
// not in time.
type recovered struct {
	key      key
	at       time.Duration
	failures []*pb.RecoveryFailure
}

func (n *recovered) into(c *core) {
	s := c.steps[n.key]
	if s == nil {
		return
	}
	s.recovering = false
	s.status.RecoveryFailures, s.status.ReadyAgain = n.failures, len(n.failures) == 0
	s.watchedUntil = n.at
	c.date(s)
	c.tell(s)
}

// awaitReady watches workloads until all are ready or the limit has passed, and
// says of those that are not what is wrong.
func awaitReady(ctx context.Context, h host.Host, e recovering) *recovered {
	n := &recovered{key: e.key}
	if len(e.workloads) == 0 {
		running, _ := h.Running(ctx) // what can't be read is found unready below
		e.workloads = slices.Sorted(maps.Keys(running))
	}
	var mu sync.Mutex // guards n
	var all sync.WaitGroup
	for _, name := range e.workloads {
		all.Go(func() {
			err := awaitOne(ctx, h, name, e.limit)
			mu.Lock()
			defer mu.Unlock()
			n.at = max(n.at, h.Boot())
			if err != nil {
				n.failures = append(n.failures, &pb.RecoveryFailure{
					Workload: name, Why: textOf(err), Log: h.LastLog(name, lastLines),
				})
			}
		})
	}
	all.Wait()
	slices.SortFunc(n.failures, func(a, b *pb.RecoveryFailure) int {
		if a.GetWorkload() < b.GetWorkload() {
			return -1
		}
		return 1
	})
	return n
}

// awaitOne returns nil when a workload is ready, or, after the limit, why it
// is not.
func awaitOne(ctx context.Context, h host.Host, name string, limit time.Duration) error {
	for until := h.Boot() + limit; ; {
		err := h.Ready(ctx, name)
		if err == nil || h.Boot() >= until {
			return err
		}
		select {
		case <-time.After(readyEvery):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
