package experiments

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"squall/experiments/quantity"
	pb "squall/proto/squall/v1"
)

// moment is a place in incident time, nanoseconds after T+0s. It is unknown
// where the file has another problem that hides it.
type moment struct {
	nanos int64
	known bool
}

// chart is the timeline while it is being checked.
type chart struct {
	*decoder
	e *pb.Experiment
	// origin is the time of day at T+0s; unknown without clock.origin.
	origin moment
	// starts are the phases' starts; a phase is in it once its own line has been read.
	starts map[string]moment
	// untils are where phases end that say so, and lastFault is where the faults
	// of the last phase have ended.
	untils    map[string]moment
	lastFault moment
}

// checkTimeline follows the timeline from line to line: times only go forward,
// every fault ends, and every name exists.
func (d *decoder) checkTimeline(e *pb.Experiment) {
	c := &chart{decoder: d, e: e, origin: originOf(e.GetClock()), starts: map[string]moment{}, untils: map[string]moment{}}
	before := moment{known: true}
	for i, p := range e.GetTimeline() {
		before = c.phaseStart(i, p, before)
	}
	for i, p := range e.GetTimeline() {
		c.phase(fmt.Sprintf("timeline[%d]", i), p)
	}
	c.checkOver()
}

func originOf(clock *pb.Clock) moment {
	t, err := time.Parse(time.RFC3339, clock.GetOrigin())
	if err != nil {
		return moment{}
	}
	h, m, s := t.Clock()
	return moment{nanos: int64(time.Duration(h)*time.Hour + time.Duration(m)*time.Minute + time.Duration(s)*time.Second), known: true}
}

// phaseStart reads where a phase begins, given where the line before began.
func (c *chart) phaseStart(i int, p *pb.Phase, before moment) moment {
	path := fmt.Sprintf("timeline[%d]", i)
	start := moment{known: true}
	switch {
	case p.GetAt() != nil:
		start = c.resolve(path+".at", p.GetAt(), before)
	case c.wrong[path+".at"]:
		start = moment{}
	case i > 0:
		c.badPath(path+".at", fmt.Sprintf("phase %s does not say when it begins", quoted(p.GetPhase())), "add `at:`; only the first phase may leave it out")
	}
	if _, twice := c.starts[p.GetPhase()]; twice && p.GetPhase() != "" {
		c.badPath(path+".phase", fmt.Sprintf("phase %s stands twice", quoted(p.GetPhase())), "give each phase its own name")
		return start
	}
	c.starts[p.GetPhase()] = start
	return start
}

func (c *chart) phase(path string, p *pb.Phase) {
	start := c.starts[p.GetPhase()]
	if p.GetUntil() != nil {
		end := c.resolve(path+".until", p.GetUntil(), start)
		c.endsAfter(path+".until", "phase "+quoted(p.GetPhase()), start, end)
		c.untils[p.GetPhase()] = end
	}
	c.lastFault = moment{known: true}
	for i, s := range p.GetFaults() {
		c.step(fmt.Sprintf("%s.faults[%d]", path, i), s, start)
	}
}

func (c *chart) step(path string, s *pb.Step, start moment) {
	if name := s.GetTarget(); name != "" && c.e.GetTargets()[name] == nil {
		c.unknownName(path+".target", "target", name, slices.Sorted(maps.Keys(c.e.GetTargets())))
	}
	if s.GetAt() != nil {
		start = c.resolve(path+".at", s.GetAt(), start)
	}
	length := c.length(path, s, start)
	c.lastFault.known = c.lastFault.known && start.known && length.known
	c.lastFault.nanos = max(c.lastFault.nanos, start.nanos+length.nanos)
	c.fits(path+".ramp", "ramp", s.GetRamp(), length)
	c.fits(path+".spread", "spread", s.GetSpread(), length)
	c.fits(path+".flap.period", "period", s.GetFlap().GetPeriod(), length)
	c.checkFault(c.e, path, s)
}

// fits wants a stretch of a fault to be no longer than the fault.
func (c *chart) fits(path, key string, span *pb.Span, length moment) {
	if length.known && span.GetNanos() > length.nanos {
		c.badPath(path, fmt.Sprintf("%s: %s is longer than the fault, which lasts %s", key, quoted(quantity.FormatSpan(span.GetNanos())), quantity.FormatSpan(length.nanos)),
			"shorten it, or let the fault last longer")
	}
}

// length wants exactly one of `until` and `for`, and gives how long the fault lasts.
func (c *chart) length(path string, s *pb.Step, start moment) moment {
	until := s.GetUntil() != nil || c.wrong[path+".until"]
	lasts := s.GetFor() != nil || c.wrong[path+".for"]
	name := quoted(FaultName(s.GetFault()))
	switch {
	case FaultName(s.GetFault()) == "":
		return moment{}
	case until && lasts:
		c.badPath(path+".for", `"for" stands beside "until", and only one of them can`, "keep one of the two")
		return moment{}
	case !until && !lasts:
		c.badPath(path+"."+FaultName(s.GetFault()), name+" has no end", "add `until:` with a moment, or `for:` with a length of time")
		return moment{}
	case s.GetFor() != nil:
		return moment{nanos: s.GetFor().GetNanos(), known: true}
	case s.GetUntil() == nil:
		return moment{}
	}
	end := c.resolve(path+".until", s.GetUntil(), start)
	c.endsAfter(path+".until", name, start, end)
	return moment{nanos: end.nanos - start.nanos, known: start.known && end.known && end.nanos > start.nanos}
}

func (c *chart) endsAfter(path, what string, start, end moment) {
	if start.known && end.known && end.nanos <= start.nanos {
		c.badPath(path, what+" ends when it begins or before", "write a later moment; times only go forward")
	}
}

// resolve is the moment that an instant names, where the line before it is at `after`.
func (c *chart) resolve(path string, i *pb.Instant, after moment) moment {
	switch of := i.GetOf().(type) {
	case *pb.Instant_TimeOfDay:
		return c.nextTimeOfDay(path, int64(of.TimeOfDay)*int64(time.Second), after)
	case *pb.Instant_AfterOrigin:
		if after.known && of.AfterOrigin < after.nanos {
			c.badPath(path, fmt.Sprintf("%s lies before T+%s, where the line before begins", quoted(quantity.FormatInstant(i)), quantity.FormatSpan(after.nanos)), "write a later moment; times only go forward")
			return moment{}
		}
		return moment{nanos: of.AfterOrigin, known: true}
	case *pb.Instant_Phase:
		return c.phaseNamed(path, of.Phase, after)
	}
	return moment{}
}

// nextTimeOfDay is the first moment at that time of day from `after` on: an
// earlier one than the line before is the next day.
func (c *chart) nextTimeOfDay(path string, timeOfDay int64, after moment) moment {
	if !c.origin.known {
		if !c.wrong["clock.origin"] && !c.misplaced {
			c.badPath(path, "a time of day needs an origin", "add `clock: { origin: … }`, or write T+ and a length of time")
		}
		return moment{}
	}
	const day = int64(24 * time.Hour)
	forward := (timeOfDay - c.origin.nanos - after.nanos) % day
	if forward < 0 {
		forward += day
	}
	return moment{nanos: after.nanos + forward, known: after.known}
}

// phaseNamed is the start of a phase. While starts are being read, only the phases above are known.
func (c *chart) phaseNamed(path, name string, after moment) moment {
	start, ok := c.starts[name]
	if !ok {
		c.checkPhaseRef(c.e, path, name)
		if len(c.starts) < len(c.e.GetTimeline()) {
			c.badPath(path, fmt.Sprintf("phase %s does not stand above", quoted(name)), "name a phase that stands above this one")
		}
		return moment{}
	}
	if start.known && after.known && start.nanos < after.nanos {
		c.badPath(path, fmt.Sprintf("phase %s begins before this", quoted(name)), "write a later moment; times only go forward")
		return moment{}
	}
	return start
}
