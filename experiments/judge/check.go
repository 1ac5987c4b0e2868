package judge

import (
	"fmt"

	"squall/experiments/quantity"
	pb "squall/proto/squall/v1"
)

// check is a proof or an expectation on its way through a run.
type check struct {
	x    *expression
	kind pb.FindingKind
	name string
	over int64
	// during are the phases in which it must hold; empty where after is set.
	during []string
	// after is the phase from whose start it must hold within a time.
	after  string
	within int64
	// stays tells of a proof that it must hold before the fault too; turns of
	// one that must not.
	stays, turns bool

	tally *tally
	// judged counts seconds by phase, broke is the phase in which it first broke.
	judged map[string]int
	broke  string
	// before is what a proof was just before its fault, the end of that second
	// being beforeAt; early where it was not looked at yet.
	before   outcome
	beforeAt int64
	// since is the second since which it has held without a break, and briefly
	// the same over one second only. 0 is none.
	since, briefly int64
	basis          []*pb.Basis
}

// checks are an experiment's proofs and expectations, before the first second of a run.
func (j *Judge) checks(run *pb.Run) []*check {
	var list []*check
	add := func(c *check) {
		c.tally, c.judged, c.before = newTally(c.x), map[string]int{}, early
		list = append(list, c)
	}
	for i, p := range j.experiment.GetProof() {
		c := &check{
			x: j.proof[i], kind: pb.FindingKind_FINDING_KIND_PROOF, name: p.GetName(), over: seconds(p.GetOver().GetNanos()),
			during: named(p.GetDuring(), run), stays: p.GetStays(), turns: !p.GetStays(),
		}
		c.beforeAt = (run.GetT0UnixNanos() + faultBefore(c, run.GetPlan())) / nanos
		add(c)
	}
	for i, e := range j.experiment.GetExpect() {
		c := &check{x: j.expect[i], kind: pb.FindingKind_FINDING_KIND_EXPECT, name: e.GetName(), over: seconds(e.GetOver().GetNanos())}
		if c.after, c.within = e.GetAfter(), e.GetWithin().GetNanos(); c.after == "" {
			c.during = named(e.GetDuring(), run)
		}
		add(c)
	}
	return list
}

// named are the phases that a section names; none means all.
func named(during []string, run *pb.Run) []string {
	if len(during) > 0 {
		return during
	}
	var all []string
	for _, p := range run.GetPlan().GetPhases() {
		all = append(all, p.GetName())
	}
	return all
}

// faultBefore is when the fault began that a proof shows, after T0: the last
// one that begins no later than the proof's first phase. Where the proof names
// a target with a fault, only the faults on it are looked at.
func faultBefore(c *check, p *pb.Plan) int64 {
	first := int64(-1)
	for _, phase := range p.GetPhases() {
		for _, name := range c.during {
			if phase.GetName() == name && (first < 0 || phase.GetStartNanos() < first) {
				first = phase.GetStartNanos()
			}
		}
	}
	own, any := latest(p, first, func(s *pb.PlannedStep) bool { return c.x.namesTarget(s.GetTarget()) })
	if any {
		return own
	}
	if all, any := latest(p, first, func(*pb.PlannedStep) bool { return true }); any {
		return all
	}
	return max(first, 0)
}

func latest(p *pb.Plan, by int64, of func(*pb.PlannedStep) bool) (start int64, any bool) {
	for _, s := range p.GetSteps() {
		if begin := begins(s); of(s) && begin <= by {
			start, any = max(start, begin), true
		}
	}
	return start, any
}

// begins is when a step begins on the first of its hosts, after T0.
func begins(s *pb.PlannedStep) int64 {
	at := int64(-1)
	for _, slot := range s.GetSlots() {
		if at < 0 || slot.GetStartNanos() < at {
			at = slot.GetStartNanos()
		}
	}
	return max(at, 0)
}

// judge looks at the second that was closed last.
func (c *check) judge(t *Track) {
	v := t.closed
	if c.beforeAt == v.end && (c.turns || c.stays) {
		c.before = c.x.eval(&moment{view: v, over: c.over})
	}
	for _, p := range t.phases {
		switch {
		case p.name == c.after:
			c.judgeWithin(v, p, t.cut)
		case p.holds(v.end) && c.inPhase(p.name):
			c.judgeDuring(v, p)
		}
	}
}

func (c *check) inPhase(name string) bool {
	for _, d := range c.during {
		if d == name {
			return true
		}
	}
	return false
}

func (c *check) judgeDuring(v *view, p stretch) {
	m := &moment{view: v, begin: p.firstSecond(), over: c.over}
	o := c.tally.add(m)
	if o == early {
		return
	}
	c.judged[p.name]++
	c.basis = joinBasis(c.basis, m.basis(c.x))
	if c.broke == "" && o != holds {
		c.broke = p.name
	}
}

// judgeWithin judges what must hold by some time after a phase's start, and
// from then to the end of that phase.
func (c *check) judgeWithin(v *view, p stretch, cut int64) {
	due := c.due(p)
	if p.end = max(p.end, due*nanos); cut != 0 {
		p.end = min(p.end, cut)
	}
	if !p.holds(v.end) {
		return
	}
	m := &moment{view: v, begin: p.firstSecond(), over: c.over}
	o := c.x.eval(m)
	if v.end >= due {
		if o = c.tally.add(m); o != early {
			c.basis = joinBasis(c.basis, m.basis(c.x))
		}
	}
	c.since = held(c.since, v.end, o)
	c.briefly = held(c.briefly, v.end, c.x.eval(&moment{view: v, begin: p.firstSecond(), over: 1}))
}

// due is the end of the first second that is judged.
func (c *check) due(p stretch) int64 { return max((p.start+c.within)/nanos, p.firstSecond()+1) }

// held is the second since which a check has held without a break; 0 is none.
func held(since, end int64, o outcome) int64 {
	if o != holds {
		return 0
	}
	return first(since, end)
}

// finding is what it comes to once the run is over.
func (c *check) finding(t *Track) *pb.Finding {
	tally := *c.tally
	f := &pb.Finding{Kind: c.kind, Name: c.name, Phase: c.broke, Basis: c.basis, Worst: tally.extremes()}
	if c.after != "" {
		f.Phase, f.State, f.AtUnixNanos, f.Took = c.after, tally.state(), c.since*nanos, c.took(t)
		f.Text = fmt.Sprintf("%s, limit %s, %s", tookText(f.Took), quantity.FormatSpan(c.within), tally.text())
		return f
	}
	for _, name := range c.during {
		if c.judged[name] == 0 {
			f.Phase = firstOf(f.Phase, name)
			tally.missing++
		}
	}
	f.State, f.Text, f.AtUnixNanos = tally.state(), tally.text(), tally.at()
	c.turned(f)
	return f
}

func firstOf(have, now string) string {
	if have != "" {
		return have
	}
	return now
}

// turned takes from a proof that held what it does not prove: one that was
// true before its fault shows nothing, and one of scope that was not shows no scope.
func (c *check) turned(f *pb.Finding) {
	why := ""
	switch {
	case !c.turns && !c.stays || f.State != pb.FindingState_FINDING_STATE_HOLDS:
		return
	case c.turns && c.before == holds:
		why = "was true before the fault already"
	case c.stays && c.before == broken:
		why = "did not hold before the fault either"
	case c.before == missing || c.before == early:
		why = "no data just before the fault"
	default:
		return
	}
	f.State, f.AtUnixNanos = pb.FindingState_FINDING_STATE_UNKNOWN, c.beforeAt*nanos
	f.Text = why + ", " + f.Text
}

// took is how long it took until it held for good, whatever it averages over:
// by when attempts began, where its probes had gaps, else to the second.
func (c *check) took(t *Track) *pb.Took {
	since := c.briefly
	if len(c.x.probes) == 0 || since == 0 { // what it averages over may bear a bad second
		since = c.since
	}
	if since == 0 {
		return &pb.Took{Never: true}
	}
	p := t.phase(c.after)
	after := max(since*nanos-p.start, 0) / nanos * nanos
	if good := t.goodSince(c.x, p); good != 0 && good <= since*nanos {
		after = max(good-p.start, 0)
	}
	return &pb.Took{Nanos: after}
}

func tookText(t *pb.Took) string {
	if t.GetNever() {
		return "never for good"
	}
	return "after " + tenths(t.GetNanos())
}
