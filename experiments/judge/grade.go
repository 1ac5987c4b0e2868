package judge

import (
	"fmt"
	"time"

	"squall/experiments/quantity"
	pb "squall/proto/squall/v1"
)

const nanos = int64(time.Second)

// grader judges the checks of one run.
type grader struct {
	run  *pb.Run
	view *view
	// cut is when the run's faults ended before their time; 0 where they did not.
	cut int64
	now int64
}

func newGrader(run *pb.Run, r Readings, now time.Time) *grader {
	g := &grader{run: run, view: newView(run.GetPlan(), r, began(run)/nanos), now: now.UnixNano()}
	if c := run.GetEndCause(); c != pb.EndCause_END_CAUSE_COMPLETE && c != pb.EndCause_END_CAUSE_UNSPECIFIED {
		g.cut = first(run.GetEnteredUnixNanos()[uint32(pb.RunState_RUN_STATE_REVERTING)], g.now)
	}
	return g
}

// began is when the run was admitted, and its probes began.
func began(run *pb.Run) int64 {
	at := run.GetT0UnixNanos()
	for _, entered := range run.GetEnteredUnixNanos() {
		if at == 0 || entered > 0 && entered < at {
			at = entered
		}
	}
	return at
}

// stretch is a part of a run in cluster time.
type stretch struct {
	name       string
	start, end int64
	// reached is false where the run ended before it.
	reached bool
}

func (g *grader) phase(name string) stretch {
	for _, p := range g.run.GetPlan().GetPhases() {
		if p.GetName() == name {
			return g.stretch(name, p.GetStartNanos(), p.GetEndNanos())
		}
	}
	return stretch{name: name}
}

func (g *grader) stretch(name string, start, end int64) stretch {
	t0 := g.run.GetT0UnixNanos()
	s := stretch{name: name, start: t0 + start, end: min(t0+end, g.now)}
	if g.cut != 0 {
		s.end = min(s.end, g.cut)
	}
	s.reached = t0 != 0 && s.end > s.start
	return s
}

// slack is how far hosts may be off in starting and ending a fault: a second
// that begins within it after a phase does not count yet.
const slack = int64(20 * time.Millisecond)

// firstSecond is the first second that lies wholly inside.
func (s stretch) firstSecond() int64 { return (s.start + slack + nanos - 1) / nanos }

// during judges a check at every whole second of some phases; none means all.
func (g *grader) during(x *expression, over *pb.Span, phases []string) *pb.Finding {
	if len(phases) == 0 {
		for _, p := range g.run.GetPlan().GetPhases() {
			phases = append(phases, p.GetName())
		}
	}
	t := newTally(x)
	f := &pb.Finding{}
	for _, name := range phases {
		before := t.judged
		g.each(g.phase(name), over, func(m *moment) { g.note(f, name, t.add(m)) })
		if t.judged == before && f.GetPhase() == "" {
			f.Phase = name
			t.missing++
		}
	}
	f.State, f.Text, f.AtUnixNanos = t.state(), t.text(), t.at()
	return f
}

// note keeps the phase in which a check first broke.
func (g *grader) note(f *pb.Finding, phase string, o outcome) {
	if f.GetPhase() == "" && (o == broken || o == missing) {
		f.Phase = phase
	}
}

// each visits the end of every whole second of a stretch.
func (g *grader) each(s stretch, over *pb.Span, visit func(*moment)) {
	if !s.reached {
		return
	}
	for end := s.firstSecond() + 1; end <= s.end/nanos; end++ {
		visit(g.moment(end, s.firstSecond(), over))
	}
}

func (g *grader) moment(end, begin int64, over *pb.Span) *moment {
	return &moment{view: g.view, end: end, begin: begin, over: seconds(time.Duration(over.GetNanos()))}
}

// within judges a check that must hold by some time after a phase's start, and
// from then to the end of that phase.
func (g *grader) within(x *expression, e *pb.Expectation) *pb.Finding {
	p := g.phase(e.GetAfter())
	limit := e.GetWithin().GetNanos()
	due := max((p.start+limit)/nanos, p.firstSecond()+1)
	watched := g.stretch(p.name, p.start-g.run.GetT0UnixNanos(), max(p.end, due*nanos)-g.run.GetT0UnixNanos())
	t, since := newTally(x), int64(0)
	g.each(watched, e.GetOver(), func(m *moment) {
		o := x.eval(m)
		if m.end >= due {
			o = t.add(m)
		}
		since = held(since, m.end, o)
	})
	f := &pb.Finding{State: t.state(), Phase: p.name, AtUnixNanos: since * nanos}
	f.Text = fmt.Sprintf("%s, limit %s, %s", tookText(since*nanos-p.start, since), quantity.FormatSpan(limit), t.text())
	return f
}

// held is the second since which a check has held without a break; 0 is none.
func held(since, end int64, o outcome) int64 {
	if o != holds {
		return 0
	}
	return first(since, end)
}

func tookText(took, since int64) string {
	if since == 0 {
		return "never for good"
	}
	return "after " + quantity.FormatSpan(max(took, 0)/nanos*nanos)
}
