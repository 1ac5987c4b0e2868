package step

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"squall/agent/fault"
	"squall/agent/undo"
	pb "squall/proto/squall/v1"
)

// DefaultLease is the lease of a step that names none.
const DefaultLease = 10 * time.Second

const (
	// firstArmCost is the estimate before the first arming.
	firstArmCost = 10 * time.Millisecond
	// minPace is the shortest pace of anything that is asked again and again.
	minPace = 20 * time.Millisecond
	// longestNap bounds a wait, because a suspended machine's timers are late.
	longestNap = time.Second
)

// instant is when something happens, in boot time, and what cluster time is
// known to be then.
type instant struct {
	boot time.Duration
	// offset is what to add to get cluster time, doubt how far off that may be.
	offset, doubt time.Duration
	known         bool
}

// core is the state of all steps of a host. It is changed by news alone, and
// answers with effects; it reads no clock, and it waits for nothing.
type core struct {
	name string
	now  instant
	// steps are those that the host knows, ended ones until they are forgotten.
	steps map[key]*step
	// order is the newest one that was accepted, highest its mark; that of an
	// earlier life is known by its mark alone.
	order   *pb.Order
	highest *pb.OrderMark
	lever   lever
	// damage is what could not be read of the journal and nobody has confirmed.
	damage *pb.Damage
	// bootID names this boot: instants of another are not on its clock.
	bootID string
	sets   map[string][]string
	// granted is the boot time from which the newest lease counts; negative
	// before the first.
	granted time.Duration
	// armCost is what arming took here lately.
	armCost time.Duration
	// sweeps is how many sweeps are under way: a step that came meanwhile waits.
	sweeps int
	out    []effect
	// told says that what others see has changed.
	told bool
}

// newCore knows what the journal knows.
func newCore(name, bootID string, now instant, known []*undo.Step, order *pb.OrderMark, latches []*pb.HaltLatch) *core {
	c := &core{
		name: name, bootID: bootID, now: now, steps: map[key]*step{}, highest: order, sets: map[string][]string{},
		granted: -1, armCost: firstArmCost,
	}
	c.lever.adopt(latches)
	for _, k := range known {
		c.remember(k)
	}
	return c
}

// remember takes up a step that the journal knows.
func (c *core) remember(known *undo.Step) {
	s := c.adopt(known)
	c.steps[s.key] = s
	if s.state == pb.StepState_STEP_STATE_REVERTED {
		c.recover(s, known)
	}
}

// take lets news change the state, moves every step as far as it goes, and
// returns what is to be done.
func (c *core) take(now instant, n news) []effect {
	c.now = now
	if n != nil {
		n.into(c)
	}
	for _, s := range c.sorted() {
		for c.move(s, decide(c.view(s))) {
		}
		c.watch(s)
		if c.date(s) {
			c.tell(s)
		}
	}
	c.forget()
	out := c.out
	c.out = nil
	return out
}

// next is the boot time at which to look again without news.
func (c *core) next() time.Duration {
	next := c.now.boot + longestNap
	for _, s := range c.steps {
		if m := decide(c.view(s)); m.verb == wait {
			next = min(next, m.until)
		}
	}
	return max(next, c.now.boot)
}

func (c *core) do(e effect) { c.out = append(c.out, e) }

// sorted is every step, by run and step.
func (c *core) sorted() []*step {
	return slices.SortedFunc(maps.Values(c.steps), func(a, b *step) int {
		return strings.Compare(a.key.run+"\x00"+a.key.step, b.key.run+"\x00"+b.key.step)
	})
}

// lease is the shortest lease of the steps that are not over.
func (c *core) lease() (time.Duration, bool) {
	shortest, any := forever, false
	for _, s := range c.steps {
		if !s.over() {
			shortest, any = min(shortest, s.lease()), true
		}
	}
	return shortest, any
}

// renew moves the gates of every step that is not over, each by its own lease.
func (c *core) renew() {
	until := leases{}
	for k, s := range c.steps {
		if c.granted >= 0 && !s.over() {
			until[k] = c.granted + s.lease()
		}
	}
	if len(until) > 0 {
		c.do(renewing{until})
	}
}

// nextDeadline is the earliest deadline of what may have changed the host; 0 is
// none. What was undone counts no more, whether or not the disk knows it.
func (c *core) nextDeadline() time.Duration {
	next := time.Duration(0)
	for _, s := range c.steps {
		if s.touching() && s.deadline > 0 && (next == 0 || s.deadline < next) {
			next = s.deadline
		}
	}
	return next
}

// forget drops the tombstones that the machine has recorded and that are clean.
// One that the same order still lists stays: it is what keeps the step from a
// second injection.
func (c *core) forget() {
	for _, confirmed := range c.order.GetConfirmed() {
		s := c.steps[keyOf(confirmed)]
		if s == nil || s.forgetting || !s.settled() || s.owed() || c.listed(s.key) {
			continue
		}
		s.forgetting = true
		c.do(forgetting{s.key})
	}
	c.expire()
}

// keptLocal is how many ended local steps are kept: only people look at them.
const keptLocal = 64

// expire drops the oldest local steps that ended clean, as the journal does.
func (c *core) expire() {
	var old []*step
	for _, s := range c.steps {
		if s.local && s.settled() && !s.owed() {
			old = append(old, s)
		}
	}
	if len(old) <= keptLocal {
		return
	}
	slices.SortFunc(old, func(a, b *step) int { return cmp.Compare(a.endedAt, b.endedAt) })
	for _, s := range old[:len(old)-keptLocal] {
		delete(c.steps, s.key)
		c.told = true
	}
}

func (c *core) listed(k key) bool {
	return slices.ContainsFunc(c.order.GetTasks(), func(t *pb.Task) bool { return keyOf(t) == k })
}

// missing lists the digests of the sets that tasks name and the host lacks.
func (c *core) missing() []string {
	var missing []string
	for _, s := range c.steps {
		digest := s.task.GetAddressSet()
		if _, ok := c.sets[digest]; digest != "" && !ok && !s.over() && !slices.Contains(missing, digest) {
			missing = append(missing, digest)
		}
	}
	slices.Sort(missing)
	return missing
}

// held are the tags of everything that a sweep has to leave alone.
func (c *core) held() []string {
	var held []string
	for _, s := range c.sorted() {
		if !s.over() {
			held = append(held, fault.Tag(s.key.run, s.key.step))
		}
	}
	return held
}
