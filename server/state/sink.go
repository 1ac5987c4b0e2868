package state

import (
	"fmt"
	"slices"

	pb "squall/proto/squall/v1"
	"squall/proto/text"
)

const (
	// MaxSinks is how many sinks are kept.
	MaxSinks = 32
	// maxDead is how many notices that were given up are kept of a sink.
	maxDead = 100
	// MaxWhy bounds why a notice was given up, in bytes.
	MaxWhy = 300
)

// Sinks are all sinks, by name.
func (v *View) Sinks() []*pb.KeptSink { return byName(v.sinks) }

// Sink is a sink by its name, nil when it is not kept.
func (v *View) Sink(name string) *pb.KeptSink { return v.sinks[name] }

// SinkNamedBy are the schedules whose file names a sink, by name.
func (v *View) SinkNamedBy(sink string) (schedules []string) {
	for _, s := range v.Schedules() {
		if slices.Contains(s.GetExperiment().GetNotify().GetSinks(), sink) {
			schedules = append(schedules, s.GetName())
		}
	}
	return schedules
}

// NoSink refuses a sink that is not kept.
func NoSink(name string) *pb.Problem {
	return refuse(pb.Refusal_REFUSAL_UNKNOWN, "see them with: squall notify list", "there is no sink %q", name)
}

// putSink keeps a sink. One that was kept under its name goes on where it was:
// with what it has yet to be told, and what was given up.
func (t *change) putSink(c *pb.PutSink) *pb.Problem {
	s := c.GetSink()
	known := t.sinks[s.GetName()]
	switch {
	case !GoodName(s.GetName()) || s.GetKind() == pb.SinkKind_SINK_KIND_UNSPECIFIED || len(s.GetEvents()) == 0:
		return refuse(pb.Refusal_REFUSAL_INVALID, "give it a short name, a kind and events", "sink %q can't be kept", s.GetName())
	case known == nil && len(t.sinks) >= MaxSinks:
		return refuse(pb.Refusal_REFUSAL_GUARDRAIL, "remove one with: squall notify remove NAME", "%d sinks are kept, the most that may be", MaxSinks)
	}
	for _, e := range s.GetEvents() {
		if !slices.Contains(events, e) {
			return refuse(pb.Refusal_REFUSAL_UNSUPPORTED, "upgrade this server", "sink %q wants to be told of %q, which this build does not know", s.GetName(), e)
		}
	}
	next := &pb.KeptSink{Watermark: t.noticeSeq}
	if known != nil {
		next = shallow(known)
	}
	next.Sink, next.By, next.PutUnixNanos, next.PutIndex, next.Gone = s, t.cmd.GetBy(), t.last, t.index, false
	own(t, &t.sinks)
	t.sinks[s.GetName()] = next
	return nil
}

// removeSink drops a sink with what it has yet to be told, unless a schedule's
// file names it.
func (t *change) removeSink(c *pb.RemoveSink) *pb.Problem {
	name := c.GetName()
	if t.sinks[name] == nil {
		return NoSink(name)
	}
	if named := t.SinkNamedBy(name); len(named) > 0 {
		return refuse(pb.Refusal_REFUSAL_GUARDRAIL, "take it out of `notify` there, or remove that first with: squall schedule remove "+named[0], "sink %q is named by schedule %s", name, few(named))
	}
	own(t, &t.sinks)
	delete(t.sinks, name)
	t.forgetTold()
	return nil
}

func (t *change) editSink(name string) *pb.KeptSink {
	own(t, &t.sinks)
	s := shallow(t.sinks[name])
	t.sinks[name] = s
	return s
}

// recordDelivered notes how far sinks have come. What is said of a sink that was
// put anew meanwhile, or removed, is void: it is told again.
func (t *change) recordDelivered(c *pb.RecordDelivered) *pb.Problem {
	for _, p := range c.GetSinks() {
		known := t.sinks[p.GetSink()]
		if known.GetPutIndex() != p.GetPutIndex() || known == nil || p.GetWatermark() > t.noticeSeq || p.GetWatermark() < known.GetWatermark() {
			continue
		}
		s := t.editSink(p.GetSink())
		s.Delivered += p.GetDelivered()
		s.Failed += p.GetFailed()
		if p.GetDelivered() > 0 {
			s.LastDeliveredUnixNanos = t.last
		}
		s.Gone = s.GetGone() || p.GetGone()
		for _, g := range p.GetGivenUp() {
			t.bury(s, g)
		}
		s.Watermark = p.GetWatermark()
	}
	t.forgetTold()
	return nil
}

// bury keeps a notice that was given up; the oldest makes room.
func (t *change) bury(s *pb.KeptSink, g *pb.GivenUp) {
	i := slices.IndexFunc(t.notices, func(n *pb.Notice) bool { return n.GetSeq() == g.GetSeq() })
	if i < 0 || !awaits(s, t.notices[i]) {
		return
	}
	s.DeadEver++
	s.Dead = append(slices.Clip(s.GetDead()), &pb.DeadNotice{
		Notice: t.notices[i], Why: text.Cut(g.GetWhy(), MaxWhy), Attempts: g.GetAttempts(), AtUnixNanos: t.last,
	})
	s.Dead = s.Dead[max(0, len(s.Dead)-maxDead):]
}

// settleDead delivers notices that were given up once more, behind all others, or
// drops them.
func (t *change) settleDead(c *pb.SettleDead) *pb.Problem {
	known := t.sinks[c.GetSink()]
	if known == nil {
		return NoSink(c.GetSink())
	}
	named := func(d *pb.DeadNotice) bool {
		return len(c.GetIds()) == 0 || slices.Contains(c.GetIds(), d.GetNotice().GetId())
	}
	for _, id := range c.GetIds() {
		if !slices.ContainsFunc(known.GetDead(), func(d *pb.DeadNotice) bool { return d.GetNotice().GetId() == id }) {
			return refuse(pb.Refusal_REFUSAL_UNKNOWN, "see them with: squall notify dead list", "sink %q has given up no notice %q", c.GetSink(), id)
		}
	}
	s := t.editSink(c.GetSink())
	s.Dead = slices.DeleteFunc(slices.Clone(known.GetDead()), named)
	if c.GetDrop() {
		return nil
	}
	s.Gone, s.PutIndex = false, t.index // a sink that was gone is asked again
	for _, d := range known.GetDead() {
		if named(d) { // where it takes the place of another, the sink is edited again
			t.queue(shallow(d.GetNotice()), c.GetSink())
		}
	}
	return nil
}

// settled names what an act settles.
func settled(c *pb.SettleDead) (act, object string) {
	act = "retry dead notices"
	if c.GetDrop() {
		act = "drop dead notices"
	}
	if n := len(c.GetIds()); n > 0 {
		return act, fmt.Sprintf("%s, %d of them", c.GetSink(), n)
	}
	return act, c.GetSink()
}
