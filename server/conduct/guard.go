package conduct

import (
	"time"

	"squall/experiments/plan"
	pb "squall/proto/squall/v1"
)

// breachLimit is how long a guardrail may be broken: agents that change over to
// another server are not connected for a moment.
const breachLimit = 3 * time.Second

// unlessBreached goes on with a run that keeps all guardrails. One that breaks a
// guardrail which it kept when it was let in does not fire, and ends when that
// has lasted.
func (l *look) unlessBreached(goOn func()) {
	broken, cause := l.breach(), pb.EndCause_END_CAUSE_ABORT_RULE
	if !l.fires() {
		cause = pb.EndCause_END_CAUSE_NOT_READY
	}
	switch {
	case broken != nil && l.now.Sub(l.d.since) >= breachLimit:
		l.end(cause, broken.GetMessage())
	case broken == nil || l.fires():
		goOn()
	}
}

// breach judges the guardrails, once for each second.
func (l *look) breach() *pb.Problem {
	l.wakeNextSecond()
	if l.d.guarded == l.now.Unix() {
		return l.d.breach
	}
	l.d.guarded = l.now.Unix()
	w := l.v.World()
	w.NowUnixNanos = l.now.UnixNano()
	before := l.d.breach
	if l.d.breach = plan.Breach(l.run.GetId(), w); before == nil {
		l.d.since = l.now
	}
	return l.d.breach
}
