package step

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"squall/agent/fault"
	"squall/agent/host"
	pb "squall/proto/squall/v1"
)

const (
	// evidenceEvery is how often a held step reads its mechanism.
	evidenceEvery = time.Second
	// lookLimit is how long a look may take, on a busy host, before it counts as
	// one that hangs.
	lookLimit = 3 * evidenceEvery
)

const (
	// endedName names the evidence that a mechanism ended before its time.
	endedName = "ended"
	// unreadableName names the evidence that nothing could be read, as the host does.
	unreadableName = "readable"
)

// sight is what a held step sees of its mechanism.
type sight struct {
	// looking is under way, since began; due is when to look next.
	looking    bool
	began, due time.Duration
	// seen is the newest reading of the mechanism, shown the one that others see.
	seen, shown []*pb.Evidence
	// blind says that the last look brought nothing; since is when that began.
	blind bool
	since time.Duration
	// lost says that the mechanism ended, or couldn't be read, before its time.
	lost bool
}

// watch looks at the mechanism while the step is held.
func (c *core) watch(s *step) {
	if s.state != pb.StepState_STEP_STATE_HELD && s.state != pb.StepState_STEP_STATE_RETURNING || s.sight.lost {
		return
	}
	if s.sight.looking && c.now.boot-s.sight.began >= lookLimit {
		c.unread(s, "the look at it hangs")
	}
	if s.sight.looking || s.work != nothing || c.now.boot < s.sight.due {
		return
	}
	s.sight.looking, s.sight.began, s.sight.due = true, c.now.boot, c.now.boot+evidenceEvery
	c.do(looking{key: s.key})
}

// seenNews answers looking.
type seenNews struct {
	key      key
	evidence []*pb.Evidence
	ok       bool
}

func (n *seenNews) into(c *core) {
	s := c.steps[n.key]
	if s == nil || !s.sight.looking {
		return
	}
	s.sight.looking = false
	if s.sight.lost {
		return // for good
	}
	if why := n.unreadable(); why != "" {
		c.unread(s, why)
		return
	}
	s.sight.seen, s.sight.blind = n.evidence, false
	// Counters move each second; what they show does not, and only that is news
	// for everybody.
	if !sameFindings(s.sight.shown, n.evidence) {
		c.show(s, n.evidence)
	}
}

// lookNoMore gives up a look that is under way. One that was late brought nothing.
func (c *core) lookNoMore(s *step) {
	if s.sight.looking && c.now.boot-s.sight.began >= evidenceEvery {
		c.unread(s, "the look at it hangs")
	}
	s.sight.looking = false
}

// unreadable is why a look brought nothing, or not everything; empty when it
// was whole.
func (n *seenNews) unreadable() string {
	if !n.ok {
		return "the mechanism can't be read"
	}
	for _, e := range n.evidence {
		if e.GetName() == unreadableName && !e.GetHolds() {
			return e.GetText()
		}
	}
	return ""
}

func sameFindings(a, b []*pb.Evidence) bool {
	return slices.EqualFunc(a, b, func(x, y *pb.Evidence) bool {
		return x.GetName() == y.GetName() && x.GetHolds() == y.GetHolds()
	})
}

// show lets others see a reading of the mechanism.
func (c *core) show(s *step, seen []*pb.Evidence) {
	s.sight.seen, s.sight.shown, s.status.Evidence = seen, seen, seen
	c.tell(s)
}

// unread notes why a look brought nothing. What the next one can't read either
// is lost, and what a look hangs over.
func (c *core) unread(s *step, why string) {
	again := s.sight.blind
	if !again {
		s.sight.blind, s.sight.since = true, s.sight.began
	}
	if again || c.now.boot-s.sight.began >= lookLimit {
		c.lose(s, unreadableName, fmt.Sprintf("not known since %s: %s", c.clockText(s.sight.since), why))
	}
}

// died says that something under a tag has ended without being detached.
type died struct {
	tag string
	// why it ended; empty where that isn't known.
	why string
}

func (n *died) into(c *core) {
	for _, s := range c.sorted() {
		if !host.Under(n.tag, fault.Tag(s.key.run, s.key.step)) || s.over() || s.work == revertingWork {
			continue
		}
		op := s.operation(n.tag)
		if end := time.Duration(op.GetGate().GetEndBootNanos()); end > 0 && c.now.boot >= end {
			continue // its time had come
		}
		what := strings.ReplaceAll(host.Kind(op), "_", " ")
		if what == "" {
			what = "part " + n.tag
		}
		text := fmt.Sprintf("the %s ended at %s", what, c.clockText(c.now.boot))
		if n.why != "" {
			text += ": " + n.why
		}
		c.lose(s, endedName, text)
	}
}

// operation is what a step does under a tag; nil where its plan has nothing there.
func (s *step) operation(tag string) *pb.Op {
	i := slices.IndexFunc(s.changes, func(ch *pb.Change) bool { return ch.GetDo().GetTag() == tag })
	if i < 0 {
		return nil
	}
	return s.changes[i].GetDo()
}

// lose marks what a step has shown as not held any more, for a reason that
// stands first. The first one stays to the end: what was read before says
// nothing of now, and what is read later nothing of the time between.
func (c *core) lose(s *step, name, why string) {
	if s.sight.lost {
		return
	}
	s.sight.lost = true
	seen := []*pb.Evidence{{Name: name, Text: why}}
	for _, e := range s.sight.seen {
		if e.GetName() == name {
			continue
		}
		e = proto.CloneOf(e)
		e.Holds = false
		seen = append(seen, e)
	}
	c.show(s, seen)
}

// clockText is an instant of boot time for people: in cluster time, once that
// is known.
func (c *core) clockText(at time.Duration) string {
	if !c.now.known {
		return at.Round(time.Millisecond).String() + " after boot"
	}
	return clockOf(int64(at + c.now.offset))
}

// clockOf is a time of day, in UTC.
func clockOf(unixNanos int64) string {
	return time.Unix(0, unixNanos).UTC().Format("15:04:05.000")
}

// watchDeaths tells of what ends on the host without being detached, until ctx
// ends.
func (e *Engine) watchDeaths(ctx context.Context) {
	for {
		select {
		case d := <-e.host.Died():
			e.log.Error("a part of a fault has ended by itself", "tag", d.Tag, "why", d.Why)
			e.post(&died{d.Tag, d.Why})
		case <-ctx.Done():
			return
		}
	}
}
