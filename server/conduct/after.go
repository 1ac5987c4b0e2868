package conduct

import (
	"time"

	"squall/experiments/judge"
	pb "squall/proto/squall/v1"
)

const (
	// revertTimeout applies where the file does not say when all must be well.
	revertTimeout = time.Minute
)

// revert waits until every host has shown its end. One that never does is
// unknown, and the verdict says so.
func (l *look) revert() {
	limit := l.entered(pb.RunState_RUN_STATE_REVERTING).Add(l.revertTimeout())
	if limit.After(l.unheard()) {
		limit = l.unheard()
	}
	switch {
	case !l.fires():
		l.verdict() // nothing was touched
	case len(l.open()) == 0 || !l.now.Before(limit):
		l.watchRecovery()
	default:
		l.wake(limit)
	}
}

func (l *look) revertTimeout() time.Duration {
	return span(l.run.GetExperiment().GetRevert().GetTimeout(), revertTimeout)
}

// recover watches what the system does after the last fault: to the end of the
// timeline, and until it is well again or the file's patience is over. A
// person who ended the run waits for nothing, and of a run that was called off
// before it began no reading is judged.
func (l *look) recover() {
	since := l.entered(pb.RunState_RUN_STATE_RECOVERING)
	switch {
	case l.calledOff():
		l.verdict()
	case l.run.GetEndCause() == pb.EndCause_END_CAUSE_COMPLETE:
		l.phases()
		over := l.timelineEnd()
		if l.now.Before(over) {
			l.wake(over)
			return
		}
		l.watch(later(since, over))
	default:
		l.watch(since)
	}
}

// calledOff tells whether a person ended the run, or it ended before it began.
func (l *look) calledOff() bool {
	switch l.run.GetEndCause() {
	case pb.EndCause_END_CAUSE_HALT, pb.EndCause_END_CAUSE_UNDO, pb.EndCause_END_CAUSE_NOT_READY:
		return true
	}
	return false
}

// watch waits until the system is well after an instant, all seconds up to it
// are judged, and every host has said whether its workloads are ready again.
func (l *look) watch(from time.Time) {
	limit, ready := from.Add(l.revertTimeout()), l.readyBy()
	well, _ := l.judge.Verify(l.run, l.v.Readings(l.run.GetId()), l.now)
	if !l.follow() {
		return
	}
	seen := well && !l.judge.Closed().Before(from.Truncate(time.Second))
	switch over := !l.now.Before(limit); {
	case over && !well, (over || seen) && !l.now.Before(ready):
		l.verdict()
	case over || seen:
		l.wake(ready)
	default:
		l.wake(limit)
		l.wakeNextSecond()
	}
}

// readyBy is when nobody waits any more for hosts that have not said whether
// their workloads are ready again; the zero time where all have.
func (l *look) readyBy() (by time.Time) {
	for _, s := range l.slots() {
		if judge.Unready(s.step, s.status) {
			letGo := s.letGo()
			if letGo.After(l.unheard()) { // by a clock that is ahead: nothing is held so long
				letGo = l.unheard()
			}
			by = later(by, letGo.Add(time.Duration(s.step.GetBootLimitNanos())+unheardGrace))
		}
	}
	return by
}

// letGo is when a host let go of a step for good, in cluster time; the zero
// time where it does not say.
func (s slot) letGo() time.Time {
	for _, mark := range s.status.GetJournal() {
		if mark.GetState() == pb.StepState_STEP_STATE_REVERTED && mark.GetActualUnixNanos() != 0 {
			return time.Unix(0, mark.GetActualUnixNanos()).UTC()
		}
	}
	return time.Time{}
}

// timelineEnd is when the last phase is over.
func (l *look) timelineEnd() time.Time {
	end := l.run.GetPlan().GetLengthNanos()
	for _, p := range l.run.GetPlan().GetPhases() {
		end = max(end, p.GetEndNanos())
	}
	return l.after(end)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// verdict closes the run.
func (l *look) verdict() {
	if l.judge == nil {
		l.finish(pb.Verdict_VERDICT_ERROR, nil)
		return
	}
	verdict, findings := l.judge.Verdict(l.run, l.v.Readings(l.run.GetId()), l.now)
	l.finish(verdict, findings)
}
