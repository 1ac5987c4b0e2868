package judge

import (
	"slices"
	"time"

	pb "squall/proto/squall/v1"
)

// Rules are how the abort rules stand now, and the expectations and proofs of
// the present phase: what people look at while a run goes on. Nothing is decided
// here, and what is not there yet is told as unknown.
func (t *Track) Rules(run *pb.Run, r Readings, now time.Time) []*pb.LiveRule {
	t.Abort(run, r, now)
	t.newest.move(max(now.Unix()-lag, t.newest.end))
	phase := t.phaseAt(now.UnixNano())
	var rules []*pb.LiveRule
	for _, c := range t.checks {
		if slices.Contains(c.during, phase) || c.after != "" && c.after == phase {
			rules = append(rules, t.rule(c.x, c.kind, c.name, c.over))
		}
	}
	for i, a := range t.judge.experiment.GetAbort() {
		rule := t.rule(t.judge.abort[i], pb.FindingKind_FINDING_KIND_ABORT, a.GetName(), 0)
		rule.ForNanos, rule.TrueNanos = max(a.GetFor().GetNanos(), nanos), t.streaks[i].lasted*nanos
		rules = append(rules, rule)
	}
	return rules
}

func (t *Track) rule(x *expression, kind pb.FindingKind, name string, over int64) *pb.LiveRule {
	m := &moment{view: t.newest, over: over, any: kind == pb.FindingKind_FINDING_KIND_ABORT}
	states := map[outcome]pb.FindingState{
		holds: pb.FindingState_FINDING_STATE_HOLDS, broken: pb.FindingState_FINDING_STATE_BROKEN,
	}
	state, ok := states[x.eval(m)]
	if !ok {
		state = pb.FindingState_FINDING_STATE_UNKNOWN
	}
	return &pb.LiveRule{Kind: kind, Name: name, Seen: x.brief(m), State: state}
}

// phaseAt is the phase of an instant: of those that have begun, the last.
func (t *Track) phaseAt(now int64) string {
	name := ""
	for _, p := range t.phases {
		if t.t0 != 0 && p.start <= now {
			name = p.name
		}
	}
	return name
}
