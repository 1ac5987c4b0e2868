package experiments

import (
	"fmt"
	"time"

	"squall/experiments/quantity"
	pb "squall/proto/squall/v1"
)

// phaseEnds are where phases end, as far as the file tells: at their `until`,
// else where the next begins, else with their last fault.
func (c *chart) phaseEnds() map[string]moment {
	ends := map[string]moment{}
	for i, p := range c.e.GetTimeline() {
		switch next := i + 1; {
		case p.GetUntil() != nil || c.wrong[fmt.Sprintf("timeline[%d].until", i)]:
			ends[p.GetPhase()] = c.untils[p.GetPhase()]
		case next < len(c.e.GetTimeline()):
			ends[p.GetPhase()] = c.starts[c.e.GetTimeline()[next].GetPhase()]
		default:
			ends[p.GetPhase()] = c.lastFault
		}
	}
	return ends
}

// checkOver wants no check to look back over more than its phase lasts: it
// would see less than it says. Phases are compressed by the clock, `over` is not.
func (c *chart) checkOver() {
	ends := c.phaseEnds()
	for i, p := range c.e.GetProof() {
		c.overFits(fmt.Sprintf("proof[%d].over", i), p.GetOver(), p.GetDuring(), ends)
	}
	for i, x := range c.e.GetExpect() {
		c.overFits(fmt.Sprintf("expect[%d].over", i), x.GetOver(), x.GetDuring(), ends)
	}
}

func (c *chart) overFits(path string, over *pb.Span, during []string, ends map[string]moment) {
	for _, phase := range during {
		start, end := c.starts[phase], ends[phase]
		if !start.known || !end.known || end.nanos <= start.nanos {
			continue
		}
		if lasts := c.real(phase, end.nanos-start.nanos); over.GetNanos() > lasts {
			c.badPath(path, fmt.Sprintf("over: %s is longer than phase %s, which lasts %s", quoted(quantity.FormatSpan(over.GetNanos())),
				quoted(phase), quantity.FormatSpan(lasts)), "look back over less, or let the phase last longer")
			return
		}
	}
}

// real is how long a stretch of a phase lasts once the clock is compressed.
func (c *chart) real(phase string, nanos int64) int64 {
	if milli := c.e.GetClock().GetSpeed().GetMilliTimes(); milli > 0 {
		nanos = int64(float64(nanos) * 1000 / float64(milli))
	}
	for _, p := range c.e.GetTimeline() {
		if p.GetPhase() == phase {
			nanos = max(nanos, p.GetAtLeast().GetNanos())
		}
	}
	return nanos - nanos%int64(time.Millisecond)
}

// UsualDue is within how long an experiment should pass again whose file says
// nothing of it.
const UsualDue = 30 * 24 * time.Hour
