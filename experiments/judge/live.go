package judge

import (
	"time"

	pb "squall/proto/squall/v1"
)

// lag is how many seconds behind now rules are judged: a window closes with
// its second, and then travels.
const lag = 1

// Steady tells whether the steady state held over the trailing stretch that
// ends at now. Without enough data it has not. An experiment without the
// section is always steady.
func (t *Track) Steady(run *pb.Run, r Readings, now time.Time) (bool, []*pb.Finding) {
	t.see(run, r)
	over := seconds(t.judge.experiment.GetSteadyState().GetOver().GetNanos())
	t.newest.move(now.Unix())
	m := &moment{view: t.newest, over: over}
	all := true
	var findings []*pb.Finding
	for _, x := range t.judge.steady {
		f := t.now(x, m, m.covers(x, over))
		f.Kind = pb.FindingKind_FINDING_KIND_STEADY_STATE
		all = all && f.State == pb.FindingState_FINDING_STATE_HOLDS
		findings = append(findings, f)
	}
	return all, findings
}

// Skip judges the schedule's `skip_when` by the newest readings: the finding is
// broken where it leaves the start of a run out, and unknown where nobody can
// tell. It is nil where the schedule has none.
func (t *Track) Skip(run *pb.Run, r Readings, now time.Time) *pb.Finding {
	if len(t.judge.skip) == 0 {
		return nil
	}
	t.see(run, r)
	t.newest.move(now.Unix())
	x := t.judge.skip[0]
	m := &moment{view: t.newest}
	f := t.now(x, m, true)
	f.Kind, f.Name, f.Text = pb.FindingKind_FINDING_KIND_STEADY_STATE, "not ("+x.text+")", x.seen(m)
	switch f.State {
	case pb.FindingState_FINDING_STATE_HOLDS:
		f.State = pb.FindingState_FINDING_STATE_BROKEN
	case pb.FindingState_FINDING_STATE_BROKEN:
		f.State = pb.FindingState_FINDING_STATE_HOLDS
	}
	return f
}

// now judges an expression at a moment, where there is enough data for it.
func (t *Track) now(x *expression, m *moment, enough bool) *pb.Finding {
	tally := newTally(x)
	if enough {
		tally.add(m)
	}
	return &pb.Finding{Name: x.text, State: tally.state(), Text: tally.text(), AtUnixNanos: m.at(), Basis: m.basis(x)}
}

// covers tells whether there are readings from the beginning of the stretch
// on, of every host that is to speak, for everything that an expression names.
func (m *moment) covers(x *expression, over int64) bool {
	for _, name := range x.sources() {
		s := m.view.sources[name]
		if s == nil || !m.covered(s, m.view.end-over) {
			return false
		}
	}
	return true
}

func (m *moment) covered(s *source, from int64) bool {
	for _, z := range s.zones {
		silent := map[int]bool{}
		for _, bit := range z.bits {
			silent[bit] = true
		}
		heard := false
		for second := max(from, 0); second < min(from+seconds(s.limit()), m.view.end) && (len(silent) > 0 || !heard); second++ {
			w := m.view.window(s, z, second)
			heard = heard || w != nil
			for bit := range silent {
				if has(w.GetHosts(), bit) {
					delete(silent, bit)
				}
			}
		}
		if !heard || len(silent) > 0 {
			return false
		}
	}
	return len(s.zones) > 0
}

// streak is for how many seconds an abort rule has been true without a break,
// up to the end of a second.
type streak struct{ end, lasted int64 }

// Abort is the first rule that has been true without a break for its `for`,
// or nil. Data that is missing counts as true, data that may still come as
// neither. Rules are judged from T0 on, one second behind now, since windows
// take time to arrive, with what is there by then.
func (t *Track) Abort(run *pb.Run, r Readings, now time.Time) *pb.Finding {
	t.see(run, r)
	if t.t0 == 0 {
		return nil
	}
	end := now.Unix() - lag
	for i, rule := range t.judge.experiment.GetAbort() {
		lasts := max(seconds(rule.GetFor().GetNanos()), 1)
		if t.streaks[i].end > end || t.streaks[i].end < end-lasts {
			t.streaks[i] = streak{end: max(end-lasts, t.t0/nanos)}
		}
	}
	for at := max(t.behind(end), t.newest.end); at <= end; at++ { // what was passed is not gone back to
		t.newest.move(at)
		t.judgeRules(at)
	}
	return t.aborts(end)
}

// behind is the end of the first second that one of the rules has not seen.
func (t *Track) behind(end int64) int64 {
	at := end + 1
	for _, s := range t.streaks {
		at = min(at, s.end+1)
	}
	return at
}

func (t *Track) judgeRules(end int64) {
	for i, x := range t.judge.abort {
		if t.streaks[i].end >= end {
			continue
		}
		t.streaks[i].end = end
		switch x.eval(&moment{view: t.newest, any: true}) {
		case holds, missing:
			t.streaks[i].lasted++
		default:
			t.streaks[i].lasted = 0
		}
	}
}

func (t *Track) aborts(end int64) *pb.Finding {
	for i, rule := range t.judge.experiment.GetAbort() {
		if t.streaks[i].lasted < max(seconds(rule.GetFor().GetNanos()), 1) {
			continue
		}
		m := &moment{view: t.newest, any: true}
		return &pb.Finding{
			Kind: pb.FindingKind_FINDING_KIND_ABORT, Name: rule.GetName(), State: pb.FindingState_FINDING_STATE_BROKEN,
			Text: t.judge.abort[i].seen(m), AtUnixNanos: end * nanos, Basis: m.basis(t.judge.abort[i]),
		}
	}
	return nil
}

// Verify tells whether everything in `revert.verify` holds at now, by what was
// read since the faults are gone.
func (t *Track) Verify(run *pb.Run, r Readings, now time.Time) (bool, []*pb.Finding) {
	t.see(run, r)
	t.newest.move(now.Unix())
	all := true
	var findings []*pb.Finding
	for i, x := range t.judge.verify {
		f := t.now(x, &moment{view: t.newest, begin: gone(run)}, true)
		f.Kind, f.AtUnixNanos = pb.FindingKind_FINDING_KIND_VERIFY, now.UnixNano()
		f.Took = t.recovered(run, i, f)
		all = all && f.State == pb.FindingState_FINDING_STATE_HOLDS
		findings = append(findings, f)
	}
	return all, findings
}

// recovered is how long after the end of the faults what must hold then came to
// hold for good: to the second where that second was closed, else by now. It is
// nil where the faults are not known to be gone, or nothing is known of it.
func (t *Track) recovered(run *pb.Run, i int, f *pb.Finding) *pb.Took {
	from := run.GetEnteredUnixNanos()[uint32(pb.RunState_RUN_STATE_RECOVERING)]
	switch {
	case from == 0 || f.GetState() == pb.FindingState_FINDING_STATE_UNKNOWN:
		return nil
	case f.GetState() == pb.FindingState_FINDING_STATE_BROKEN:
		return &pb.Took{Never: true}
	}
	since := f.GetAtUnixNanos()
	if t.verified[i] != 0 {
		since = min(since, t.verified[i]*nanos)
	}
	return &pb.Took{Nanos: max(since-from, 0)}
}

// Premature are the proofs that speak against beginning: those that are true
// before anything was done, and those of scope that are not. Then a run would
// prove nothing, so that it is not begun.
func (t *Track) Premature(run *pb.Run, r Readings, now time.Time) []*pb.Finding {
	t.see(run, r)
	t.newest.move(now.Unix())
	var findings []*pb.Finding
	for _, c := range t.checks {
		wrong := map[bool]outcome{c.turns: holds, c.stays: broken}[true]
		if !c.turns && !c.stays {
			continue
		}
		m := &moment{view: t.newest, over: c.over}
		if c.x.eval(m) != wrong {
			continue
		}
		f := t.now(c.x, m, true)
		f.Kind, f.Name, f.State = c.kind, c.name, pb.FindingState_FINDING_STATE_BROKEN
		f.Text = map[bool]string{true: "true before the fault already, ", false: "does not hold before the fault either, "}[c.turns] + f.Text
		findings = append(findings, f)
	}
	return findings
}
