package step

import (
	"context"
	"fmt"
	"slices"
	"time"

	pb "squall/proto/squall/v1"
)

// planned answers planning.
type planned struct {
	key     key
	changes []*pb.Change
	facts   *pb.Facts
	factsAt time.Duration
	err     error
}

func (n *planned) into(c *core) {
	s := c.steps[n.key]
	if s == nil || s.work != planningWork {
		return
	}
	s.work, s.plannedAt = nothing, c.now.boot
	if n.facts != nil {
		s.facts, s.factsAt = n.facts, n.factsAt
	}
	switch {
	case s.dropped != 0: // the next move says so
	case n.err != nil:
		c.refuse(s, problemOf(n.err), 0)
	default:
		s.changes = slices.Clip(append([]*pb.Change{}, n.changes...))
	}
}

// noted answers scheduling.
type noted struct {
	key key
	err error
}

func (n *noted) into(c *core) {
	s := c.steps[n.key]
	if s == nil || s.work != schedulingWork {
		return
	}
	s.work = nothing
	if n.err != nil && s.dropped == 0 {
		c.refuse(s, problemOf(n.err), 0)
		return
	}
	s.state = pb.StepState_STEP_STATE_SCHEDULED
	s.status.State = s.state
	c.tell(s)
}

// armedNews says that nothing of an injection is left but to wait.
type armedNews struct{ key key }

func (n *armedNews) into(c *core) {
	s := c.steps[n.key]
	if s == nil || s.state != pb.StepState_STEP_STATE_SCHEDULED {
		return
	}
	s.armedAt = c.now.boot
	if c.now.boot < s.start {
		c.armed(s)
	} // else it has begun: the end of the injection, which is near, says both at once
}

// armed notes once that a step is armed, and learns what arming takes here: the
// estimate follows a slower arming at once and a faster one slowly.
func (c *core) armed(s *step) {
	if s.state != pb.StepState_STEP_STATE_SCHEDULED || s.work != nothing {
		return
	}
	if s.armedAt == 0 {
		s.armedAt = c.now.boot
	}
	c.armCost = max(s.armedAt-s.from, c.armCost*7/8, minPace/8)
	c.mark(s, pb.StepState_STEP_STATE_ARMED, s.start, s.armedAt)
}

// injected answers injecting. A change that failed has been taken back by the
// runner; what was cut off is to be reverted.
type injected struct {
	key   key
	known journaled
	err   error
}

func (n *injected) into(c *core) {
	s := c.steps[n.key]
	if s == nil {
		return
	}
	s.injecting = false
	open := n.known != nil && n.known.Open() && n.known.Intent != nil
	switch {
	case s.over():
		// It came back after it had been given up: once more, for nobody knows
		// which of the two was first.
		s.open, s.again = open, c.now.boot
	case s.early != nil && open:
		cause := s.early.mark.GetCause()
		s.early = nil
		c.revert(s, cause)
	case s.early != nil:
		early := s.early
		s.early, early.known = nil, n.known
		early.into(c)
	case s.work == revertingWork:
	case n.err == nil:
		c.armed(s)
	case open:
		c.drop(s, pb.RevertCause_REVERT_CAUSE_CRASH)
	case n.known == nil || n.known.Open():
		c.refuse(s, problemOf(n.err), 0)
	default: // the runner took it back, and said so in the journal
		s.state = pb.StepState_STEP_STATE_REFUSED
		s.status.State, s.status.Refused = s.state, problemOf(n.err)
		c.learnJournal(s, n.known)
		c.tell(s)
	}
}

// marked answers marking.
type marked struct {
	mark  *pb.Mark
	known journaled
}

func (n *marked) into(c *core) {
	s := c.steps[keyOf(n.mark)]
	if s == nil {
		return
	}
	if n.mark.GetState() > s.status.GetState() {
		s.status.State = n.mark.GetState()
	}
	c.learnJournal(s, n.known)
	if armedOnly := n.mark.GetState() == pb.StepState_STEP_STATE_ARMED; armedOnly && s.state == pb.StepState_STEP_STATE_HELD {
		return // the mark of its beginning is on its way, and tells of both
	}
	c.tell(s)
}

// revertedNews answers reverting.
type revertedNews struct {
	key   key
	mark  *pb.Mark
	after []*pb.Evidence
	known journaled
}

func (n *revertedNews) into(c *core) {
	s := c.steps[n.key]
	if s == nil || s.work != revertingWork {
		return
	}
	if n.known == nil && s.injecting {
		s.early = n // before its intent: what it still makes has to be undone
		return
	}
	first := !s.over()
	s.work = nothing
	if first {
		s.endedAt = c.now.boot
	}
	s.state = n.mark.GetState()
	s.status.State, s.status.Cause = n.mark.GetState(), n.mark.GetCause()
	s.status.Residue, s.status.Drift = n.mark.GetResidue(), n.mark.GetDrift()
	if first && s.sight.blind {
		c.lose(s, unreadableName, fmt.Sprintf("not known from %s to the end", c.clockText(s.sight.since)))
	}
	if n.after != nil {
		s.status.Evidence = append(slices.Clone(s.sight.seen), n.after...)
	}
	if n.known == nil {
		c.do(marking{n.mark}) // cut off before its intent: its end is to stand all the same
	}
	c.learnJournal(s, n.known)
	s.status.Residue = n.mark.GetResidue()
	s.tries++
	s.again = c.now.boot + retryAfter(s.tries)
	c.tell(s)
	if first {
		c.recover(s, n.known)
	}
}

// retryAfter is how long to wait before what is owed is tried again: for ever,
// ever more rarely.
func retryAfter(tries int) time.Duration {
	return min(time.Second<<min(tries, 6), time.Minute)
}

// forgotten answers forgetting.
type forgotten struct {
	key key
	err error
}

func (n *forgotten) into(c *core) {
	if n.err == nil {
		delete(c.steps, n.key)
		c.told = true
	} else if s := c.steps[n.key]; s != nil {
		s.forgetting = false
	}
}

// sweep asks to remove what belongs to no step. No step begins meanwhile that
// it doesn't know.
type sweep struct {
	left []string
	err  error
	done chan struct{}
	ctx  context.Context
}

func (n *sweep) into(c *core) {
	c.sweeps++
	c.do(sweeping{c.held(), n})
}

// swept answers sweeping.
type swept struct{}

func (*swept) into(c *core) {
	if c.sweeps--; c.sweeps > 0 {
		return
	}
	for _, s := range c.steps {
		s.swept = false
	}
}
