package step

import (
	"errors"
	"fmt"
	"time"

	"squall/agent/undo"
	pb "squall/proto/squall/v1"
)

// news is something that the core learns. Fields that it answers in are read by
// whoever brought it, when it has been taken.
type news interface{ into(c *core) }

// ordered is a host's whole set.
type ordered struct {
	order *pb.Order
	err   error
}

func (n *ordered) into(c *core) {
	o := n.order
	mark := &pb.OrderMark{Epoch: o.GetEpoch(), Index: o.GetIndex()}
	if older(mark, c.highest) {
		n.err = fmt.Errorf("accept order %d/%d: %w %d/%d", o.GetEpoch(), o.GetIndex(), undo.ErrBehind,
			c.highest.GetEpoch(), c.highest.GetIndex())
		return
	}
	if older(c.highest, mark) {
		c.highest = mark
		c.do(accepting{mark})
	}
	c.follow(o.GetHalt())
	c.confirm(o.GetConfirmedDamage())
	c.order = o
	for _, t := range o.GetTasks() {
		c.update(t)
	}
	for _, s := range c.sorted() {
		if !s.local && !s.over() && !c.listed(s.key) {
			c.drop(s, pb.RevertCause_REVERT_CAUSE_ORDER)
		}
	}
	c.told = true
}

func older(a, b *pb.OrderMark) bool {
	if a.GetEpoch() != b.GetEpoch() {
		return a.GetEpoch() < b.GetEpoch()
	}
	return a.GetIndex() < b.GetIndex()
}

// update creates a step or tells it what has changed.
func (c *core) update(t *pb.Task) {
	if s, ok := c.steps[keyOf(t)]; ok {
		s.learn(t)
		return
	}
	c.begin(c.newStep(t))
}

// begin takes up a step, unless it is barred.
func (c *core) begin(s *step) {
	c.steps[s.key] = s
	if p := c.barred(s.task, s.local); p != nil {
		c.refuse(s, p, pb.RevertCause_REVERT_CAUSE_UNSPECIFIED)
	}
}

// barred says why a host takes up no such task now: it is halted, its journal may
// have lost what ran here, or, for one from its own socket, another step holds
// what it takes. It is nil where nothing speaks against it.
func (c *core) barred(t *pb.Task, local bool) *pb.Problem {
	switch h := c.lever.halted(); {
	case h != nil:
		return HaltedProblem(h)
	case c.damage != nil:
		return DamagedProblem(c.name, c.damage)
	case local:
		return c.taken(t)
	}
	return nil
}

// asked is a task from the host's own socket. It starts as soon as arming
// allows and lasts for length; its deadline comes grace later than its end.
type asked struct {
	task          *pb.Task
	prefixes      []string
	length, grace time.Duration
	err           error
}

// errUnknownTime says that cluster time is not known yet.
var errUnknownTime = errors.New("the time is not known yet")

func (n *asked) into(c *core) {
	k := keyOf(n.task)
	switch _, known := c.steps[k]; {
	case !c.now.known:
		n.err = fmt.Errorf("inject %s: %w", k.step, errUnknownTime)
		return
	case known:
		n.err = fmt.Errorf("inject %s of %s: %w", k.step, k.run, undo.ErrOnce)
		return
	}
	start := c.now.boot + c.now.offset + c.armCost
	n.task.StartUnixNanos, n.task.EndUnixNanos = int64(start), int64(start+n.length)
	n.task.DeadlineUnixNanos, n.task.Fire = int64(start+n.length+n.grace), true
	s := c.newStep(n.task)
	s.local, s.prefixes = true, n.prefixes
	c.begin(s)
}

// undone asks for an end of the steps of a run, or of all when run is empty;
// it answers which have something to undo.
type undone struct {
	run   string
	cause pb.RevertCause
	keys  []key
}

func (n *undone) into(c *core) {
	for _, s := range c.sorted() {
		if n.run != "" && s.key.run != n.run || s.over() && !s.owed() {
			continue
		}
		n.keys = append(n.keys, s.key)
		c.drop(s, n.cause)
	}
}

// retried lets everything that is owed be tried at once: contact is new, or
// somebody asks.
type retried struct{}

func (*retried) into(c *core) {
	for _, s := range c.steps {
		if s.over() {
			c.drop(s, 0)
		}
	}
}

// renewed is a lease, counted from the boot time at which the ping was sent
// that the renewal answers.
type renewed struct{ from time.Duration }

func (n *renewed) into(c *core) {
	if n.from <= c.granted {
		return
	}
	// After a stop of this process, the renewal may be seen before the lapse.
	for _, s := range c.steps {
		if c.now.boot >= c.leaseEnd(s) && (s.touching() && !s.task.GetHoldWithoutLease() || s.due(c.now.boot)) {
			c.drop(s, pb.RevertCause_REVERT_CAUSE_LEASE)
		}
	}
	c.granted = n.from
	c.renew()
}

// brought is address sets, by digest.
type brought struct{ sets map[string][]string }

func (n *brought) into(c *core) {
	for digest, prefixes := range n.sets {
		c.sets[digest] = prefixes
	}
}
