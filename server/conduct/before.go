package conduct

import (
	"fmt"
	"slices"
	"time"

	pb "squall/proto/squall/v1"
)

const (
	// gateSlack is how much longer than its stretch the gate may take, on top
	// of two rounds of the slowest probe.
	gateSlack = 5 * time.Second
	// prepareLimit is how long targets may take to get ready.
	prepareLimit = 10 * time.Second
	// absentLimit is how long a lost target may take to come back to us.
	absentLimit = 3 * time.Second
	// firstSteps are those that begin so soon after T0 that everyone must have
	// armed before; later ones must be on the hosts' disks.
	firstSteps = time.Second
	// calmLead is the least time from the decision to fire to the start of a run
	// from a file: nobody waits at a prompt, and a host that is busy for a moment
	// must not cost the run.
	calmLead = time.Second
	// fireGrace is how long acknowledgements of an ad hoc fault may take: there
	// nobody is cancelled for being late.
	fireGrace = 3 * time.Second
	// ackGrace is how long acknowledgements that waited for a leader may take to
	// arrive when there is one again.
	ackGrace = 500 * time.Millisecond
	// usualSlop is how late a look is taken to be where none was later.
	usualSlop = 20 * time.Millisecond
	// maxFires is how often a run's firing may come too late for everyone.
	maxFires = 3
	// usualCommit is how long a commit takes where nobody measured it.
	usualCommit = 5 * time.Millisecond
)

// gate waits for the steady state. Until it holds nothing is touched. A run of a
// schedule that leaves its slot out ends here, and so does one of which nobody
// can tell whether it does.
func (l *look) gate() {
	steady, findings := l.judge.Steady(l.run, l.v.Readings(l.run.GetId()), l.now)
	if skip := l.skip(); skip != nil {
		if skip.GetState() == pb.FindingState_FINDING_STATE_BROKEN {
			l.leaveOut(skip)
			return
		}
		steady = steady && skip.GetState() == pb.FindingState_FINDING_STATE_HOLDS
		findings = append(findings, skip)
	}
	since := l.entered(pb.RunState_RUN_STATE_GATING)
	whole, limit := since.Add(l.gateStretch()), since.Add(l.gateLimit())
	switch {
	case l.now.Before(whole):
		l.wake(whole)
	case steady:
		l.propose("prepare", &pb.Command{Kind: &pb.Command_Prepare{Prepare: &pb.Prepare{Run: l.run.GetId()}}})
	case !l.now.Before(limit):
		l.finish(pb.Verdict_VERDICT_NOT_STARTED, findings)
	default:
		l.wake(limit)
		l.wakeNextSecond()
	}
}

// skip is whether the run's schedule leaves its slot out; nil where it leaves none
// out by what is measured, and in a run that somebody began.
func (l *look) skip() *pb.Finding {
	if l.run.GetSlot() == nil {
		return nil
	}
	return l.judge.Skip(l.run, l.v.Readings(l.run.GetId()), l.now)
}

// leaveOut ends the run before anything was touched.
func (l *look) leaveOut(skip *pb.Finding) {
	l.propose("finish", &pb.Command{Kind: &pb.Command_Finish{Finish: &pb.Finish{
		Run: l.run.GetId(), Verdict: pb.Verdict_VERDICT_NOT_STARTED, Findings: []*pb.Finding{skip},
		Skipped: "skip_when: " + skip.GetText(),
	}}})
}

// gateStretch is over how long the steady state must hold; a slot's `skip_when`
// alone needs no more than one reading.
func (l *look) gateStretch() time.Duration {
	if l.run.GetExperiment().GetSteadyState() == nil {
		return 0
	}
	return span(l.run.GetExperiment().GetSteadyState().GetOver(), 10*time.Second)
}

func (l *look) gateLimit() time.Duration {
	slowest := time.Second
	for _, p := range l.run.GetExperiment().GetProbes() {
		slowest = max(slowest, span(p.GetEvery(), time.Second))
	}
	return l.gateStretch() + 2*slowest + gateSlack
}

// prepare waits until every target is ready, then sets the instant. One that
// can't get ready ends the run with nothing touched.
func (l *look) prepare() {
	var refused, unready, absent []slot
	for _, s := range l.slots() {
		switch {
		case s.refused():
			refused = append(refused, s)
		case s.state() < pb.StepState_STEP_STATE_READY:
			unready = append(unready, s)
			if l.v.Host(s.plan.GetHost()).GetServer() == "" {
				absent = append(absent, s)
			}
		}
	}
	since := l.entered(pb.RunState_RUN_STATE_PREPARING)
	switch {
	case len(refused) > 0:
		l.end(pb.EndCause_END_CAUSE_NOT_READY, refusals(refused))
	case len(unready) == 0:
		l.fire()
	case len(absent) > 0 && !l.now.Before(since.Add(absentLimit)):
		l.end(pb.EndCause_END_CAUSE_NOT_READY, "not connected: "+hostsOf(absent))
	case !l.now.Before(since.Add(prepareLimit)):
		l.end(pb.EndCause_END_CAUSE_NOT_READY, "not ready in time: "+hostsOf(unready))
	default:
		l.wake(since.Add(absentLimit))
		if !l.now.Before(since.Add(absentLimit)) {
			l.out.Wake = since.Add(prepareLimit)
		}
	}
}

func refusals(slots []slot) string {
	first := slots[0]
	return fmt.Sprintf("refused by %s: %s", hostsOf(slots), first.status.GetRefused().GetMessage())
}

// fire sets the instant. Each attempt has a number and so an id of its own. A
// run whose proof is true before anything was done would prove nothing.
func (l *look) fire() {
	if found := l.judge.Premature(l.run, l.v.Readings(l.run.GetId()), l.now); len(found) > 0 {
		l.end(pb.EndCause_END_CAUSE_STEADY_STATE, fmt.Sprintf("proof %q: %s", found[0].GetName(), found[0].GetText()))
		return
	}
	number, decision := l.run.GetFires()+1, "fire"
	if number > 1 {
		decision = fmt.Sprintf("fire/%d", number)
	}
	t0 := l.now.Add(l.lead()).UnixNano()
	l.propose(decision, &pb.Command{Kind: &pb.Command_Fire{
		Fire: &pb.Fire{Run: l.run.GetId(), T0UnixNanos: t0, Number: number},
	}})
}

// lead is how far ahead the start lies: the order is committed and travels, and
// the slowest host arms, as far as what it says of that can be. In a run from a file its acknowledgement travels too
// and is committed, and a cancel could still be; a quarter is added, since
// estimates are of good days.
func (l *look) lead() time.Duration {
	if l.run.GetAdHoc() {
		return l.usualLead()
	}
	var arm time.Duration
	for _, s := range l.slots() {
		if s.first() {
			arm = max(arm, time.Duration(s.status.GetArmNanos()))
		}
	}
	arm = min(arm, prepareLimit)
	lead := arm + 3*l.roundTrip() + 3*l.commit() + l.slop()
	return max(calmLead, lead+lead/4)
}

// usualLead is how far ahead an ad hoc fault starts: as far as a usual host needs
// on a usual day. The slowest one begins as soon as it has armed; if all waited for
// the worst that was seen of late, so would the person at the prompt.
func (l *look) usualLead() time.Duration {
	var arms, trips []time.Duration
	for _, s := range l.slots() {
		arms = append(arms, time.Duration(s.status.GetArmNanos()))
		trips = append(trips, time.Duration(l.v.Host(s.plan.GetHost()).GetRoundTripNanos()))
	}
	commit := l.d.UsualCommit
	if commit == 0 {
		commit = l.commit()
	}
	return min(middle(arms), prepareLimit) + min(middle(trips)/2, absentLimit) + commit
}

// middle is the lower median; 0 of nothing.
func middle(all []time.Duration) time.Duration {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[(len(all)-1)/2]
}

func (s slot) first() bool { return time.Duration(s.plan.GetStartNanos()) <= firstSteps }

// roundTrip is the longest one of all targets to their servers. Beyond what a
// host may be away it is not believed: its agent says it.
func (l *look) roundTrip() time.Duration {
	var longest time.Duration
	for _, s := range l.slots() {
		longest = max(longest, time.Duration(l.v.Host(s.plan.GetHost()).GetRoundTripNanos()))
	}
	return min(longest, absentLimit)
}

func (l *look) commit() time.Duration {
	if l.d.Commit > 0 {
		return l.d.Commit
	}
	return usualCommit
}

// slop is how much later than asked this leader may look.
func (l *look) slop() time.Duration { return max(l.d.Slop, usualSlop) }

// fired waits until everyone has armed. Who is missing when a cancel could just
// still arrive before the start, or at any time after it, ends the run: half of
// the hosts must not be hurt alone. Only what waited for a leader is given time
// to arrive. An ad hoc fault is to begin now, not together: who arms late begins
// late, and its skew tells.
func (l *look) fired() {
	missing := slices.DeleteFunc(l.slots(), slot.acknowledged)
	refused := slices.DeleteFunc(slices.Clone(missing), func(s slot) bool { return !s.refused() })
	patience := later(l.cancel(), l.d.Since.Add(ackGrace))
	if l.run.GetAdHoc() {
		patience = l.t0().Add(fireGrace)
	}
	switch {
	case len(refused) > 0:
		l.end(pb.EndCause_END_CAUSE_NOT_READY, refusals(refused))
	case len(missing) == 0 && l.run.GetAdHoc() && l.now.Before(l.t0()):
		l.wake(l.t0()) // its hold and its phase are one write of the log
	case len(missing) == 0:
		l.propose("hold", &pb.Command{Kind: &pb.Command_Hold{Hold: &pb.Hold{Run: l.run.GetId()}}})
		l.phases()
	case l.now.Before(patience):
		l.wake(patience)
	case l.unheeded():
		l.fire()
	default:
		l.end(pb.EndCause_END_CAUSE_NOT_READY, "not armed in time: "+hostsOf(missing))
	}
}

// cancel is when the end of a run must be proposed to reach hosts before the start.
func (l *look) cancel() time.Time { return l.t0().Add(-l.roundTrip() - l.commit() - l.slop()) }

// unheeded tells whether the firing was committed so late, by a leader that was
// no more, that no host obeyed it: all are as ready as before.
func (l *look) unheeded() bool {
	heeded := func(s slot) bool { return s.state() != pb.StepState_STEP_STATE_READY }
	return !l.run.GetAdHoc() && l.d.Since.After(l.cancel()) && l.run.GetFires() < maxFires &&
		!slices.ContainsFunc(l.slots(), heeded)
}

// acknowledged tells whether a host has done what must be done before the start.
func (s slot) acknowledged() bool {
	if s.refused() {
		return false
	}
	if s.first() {
		return s.state() >= pb.StepState_STEP_STATE_ARMED
	}
	return s.state() >= pb.StepState_STEP_STATE_SCHEDULED
}
