package judge

import (
	"slices"
	"time"

	pb "squall/proto/squall/v1"
)

// lag is how many seconds behind now rules are judged: a window closes with
// its second, and then travels.
const lag = 1

// Steady tells whether the steady state held over the trailing stretch that
// ends at now. Without enough data it has not. An experiment without the
// section is always steady.
func (j *Judge) Steady(p *pb.Plan, r Readings, now time.Time) (bool, []*pb.Finding) {
	over := seconds(time.Duration(j.experiment.GetSteadyState().GetOver().GetNanos()))
	end := now.Unix()
	m := &moment{view: newView(p, r, end-over), end: end, over: over}
	all := true
	var findings []*pb.Finding
	for _, x := range j.steady {
		t := newTally(x)
		if m.covers(x, over) {
			t.add(m)
		}
		f := &pb.Finding{Kind: pb.FindingKind_FINDING_KIND_STEADY_STATE, Name: x.text, State: t.state(), Text: t.text(), AtUnixNanos: end * nanos}
		all = all && f.State == pb.FindingState_FINDING_STATE_HOLDS
		findings = append(findings, f)
	}
	return all, findings
}

// covers tells whether there are readings from the beginning of the stretch
// on for everything that an expression names.
func (m *moment) covers(x *expression, over int64) bool {
	names := slices.Clone(x.probes)
	for _, t := range x.targets {
		names = append(names, "target/"+t)
	}
	for _, r := range x.roles {
		names = append(names, "zone/"+r)
	}
	return !slices.ContainsFunc(names, func(name string) bool { return !m.covered(m.view.probes[name], over) })
}

func (m *moment) covered(s *source, over int64) bool {
	if s == nil {
		return false
	}
	from := m.end - over
	for _, z := range s.zones {
		if len(m.between(s, z, from, min(from+seconds(s.limit()), m.end))) == 0 {
			return false
		}
	}
	return true
}

// Abort is the first rule that has been true without a break for its `for`,
// or nil. Data that is missing counts as true. Rules are judged from T0 on,
// one second behind now, since windows take time to arrive.
func (j *Judge) Abort(run *pb.Run, r Readings, now time.Time) *pb.Finding {
	g := newGrader(run, r, now)
	end := now.Unix() - lag
	for i, rule := range j.experiment.GetAbort() {
		x := j.abort[i]
		lasted := max(seconds(time.Duration(rule.GetFor().GetNanos())), 1)
		if run.GetT0UnixNanos() == 0 || !g.trueFor(x, end, lasted) {
			continue
		}
		return &pb.Finding{
			Kind: pb.FindingKind_FINDING_KIND_ABORT, Name: rule.GetName(), State: pb.FindingState_FINDING_STATE_BROKEN,
			Text: x.seen(g.moment(end, 0, nil)), AtUnixNanos: end * nanos,
		}
	}
	return nil
}

// trueFor tells whether an expression was true, or without data, at the end of
// each of the last seconds up to end, all of them since T0.
func (g *grader) trueFor(x *expression, end, lasted int64) bool {
	if end-lasted < g.run.GetT0UnixNanos()/nanos {
		return false
	}
	for ; lasted > 0; lasted-- {
		if o := x.eval(g.moment(end, 0, nil)); o == broken {
			return false
		}
		end--
	}
	return true
}

// Verify tells whether everything in `revert.verify` holds at now.
func (j *Judge) Verify(run *pb.Run, r Readings, now time.Time) (bool, []*pb.Finding) {
	g := newGrader(run, r, now)
	all := true
	var findings []*pb.Finding
	for _, x := range j.verify {
		t := newTally(x)
		t.add(g.moment(now.Unix(), 0, nil))
		f := &pb.Finding{Kind: pb.FindingKind_FINDING_KIND_VERIFY, Name: x.text, State: t.state(), Text: t.text(), AtUnixNanos: now.UnixNano()}
		all = all && f.State == pb.FindingState_FINDING_STATE_HOLDS
		findings = append(findings, f)
	}
	return all, findings
}
