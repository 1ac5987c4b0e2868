package conduct

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	pb "squall/proto/squall/v1"
	"squall/server/state"
)

const (
	// maxRuntime applies where the file does not say how long a run may take.
	maxRuntime = time.Hour
	// unheardGrace is how long after its lease a host may take to report an
	// end that it has reached by itself.
	unheardGrace = 5 * time.Second
)

// hold watches a run while its faults bite.
func (l *look) hold() {
	runtime := l.t0().Add(span(l.run.GetExperiment().GetGuardrails().GetMaxRuntime(), maxRuntime))
	if broken := l.abort(); broken != nil {
		l.end(pb.EndCause_END_CAUSE_ABORT_RULE, broken.GetName()+": "+broken.GetText())
		return
	}
	if !l.now.Before(runtime) {
		l.end(pb.EndCause_END_CAUSE_RUNTIME, "guardrail max_runtime")
		return
	}
	l.wake(runtime)
	l.follow()
	l.phases()
	l.tokens()
	l.ends()
}

// abort judges the rules, once for each second.
func (l *look) abort() *pb.Finding {
	if len(l.run.GetExperiment().GetAbort()) == 0 {
		return nil
	}
	l.wakeNextSecond()
	if l.d.judged == l.now.Unix() {
		return nil
	}
	l.d.judged = l.now.Unix()
	return l.judge.Abort(l.run, l.v.Readings(l.run.GetId()), l.now)
}

// follow judges the seconds that have come to be known, as they do: then the
// verdict is there when the run is over. It reports whether it has caught up.
func (l *look) follow() bool {
	caughtUp := l.judge.Follow(l.run, l.v.Readings(l.run.GetId()), l.now)
	switch {
	case !caughtUp:
		l.wake(l.now)
	case len(l.run.GetExperiment().GetProof())+len(l.run.GetExperiment().GetExpect()) > 0:
		l.wakeNextSecond()
	}
	return caughtUp
}

// phases tells the phases that cluster time has reached.
func (l *look) phases() {
	begun := int(l.run.GetPhasesBegun())
	for _, p := range l.run.GetPlan().GetPhases()[begun:] {
		if at := l.after(p.GetStartNanos()); l.now.Before(at) {
			l.wake(at)
			return
		}
		l.propose("phase/"+p.GetName(), &pb.Command{Kind: &pb.Command_BeginPhase{
			BeginPhase: &pb.BeginPhase{Run: l.run.GetId(), Phase: p.GetName()},
		}})
	}
}

// ends looks for the end of all steps. A host that has not been heard of when
// its last deadline and its lease are over has reverted by itself or is
// unknown: nobody waits for it.
func (l *look) ends() {
	open, unheard := l.open(), l.unheard()
	switch {
	case len(open) == 0:
		l.watchRecovery()
	case !l.now.Before(unheard):
		l.end(pb.EndCause_END_CAUSE_COMPLETE, "not heard from: "+hostsOf(open))
	default:
		l.wake(unheard)
	}
}

// unheard is when nobody waits for a report any more.
func (l *look) unheard() time.Time {
	return l.after(l.run.GetPlan().GetDeadlineNanos() + l.run.GetPlan().GetLeaseNanos()).Add(unheardGrace)
}

// watchRecovery is all there is to do where nobody waits for anything any more.
func (l *look) watchRecovery() {
	l.propose("recover", &pb.Command{Kind: &pb.Command_Recover{Recover: &pb.Recover{Run: l.run.GetId()}}})
	if l.calledOff() {
		l.verdict()
	}
}

// tokens lets waiting hosts boot, as many at one time as the steps allow.
func (l *look) tokens() {
	for _, step := range l.run.GetPlan().GetSteps() {
		if step.GetBootTokens() > 0 {
			l.grant(step)
		}
	}
}

func (l *look) grant(step *pb.PlannedStep) {
	waiting := l.waiting(step)
	free := int(step.GetBootTokens()) - state.TokensInUse(l.run, step.GetId(), l.now.UnixNano())
	granted := l.run.GetSteps()[step.GetId()].GetTokenUnixNanos()
	if n := min(free, len(waiting)); n > 0 {
		id := fmt.Sprintf("tokens/%s/%d", step.GetId(), len(granted))
		l.propose(id, &pb.Command{Kind: &pb.Command_GrantTokens{
			GrantTokens: &pb.GrantTokens{Run: l.run.GetId(), Step: step.GetId(), Hosts: waiting[:n]},
		}})
	}
	if len(waiting) > free {
		l.wakeWhenFreed(step, granted)
	}
}

// wakeWhenFreed looks again when a token comes free by itself.
func (l *look) wakeWhenFreed(step *pb.PlannedStep, granted map[string]int64) {
	for _, at := range granted {
		freed := time.Unix(0, at+step.GetBootLimitNanos()).UTC()
		if at > 0 && freed.After(l.now) {
			l.wake(freed)
		}
	}
}

// waiting are the hosts of a step whose end has come and that have no token,
// in the order of their ends.
func (l *look) waiting(step *pb.PlannedStep) []string {
	hosts := l.run.GetSteps()[step.GetId()]
	slots := slices.Clone(step.GetSlots())
	slices.SortStableFunc(slots, func(a, b *pb.HostSlot) int { return cmp.Compare(a.GetEndNanos(), b.GetEndNanos()) })
	var out []string
	for _, s := range slots {
		returning := hosts.GetHosts()[s.GetHost()].GetState() == pb.StepState_STEP_STATE_RETURNING
		if returning && hosts.GetTokenUnixNanos()[s.GetHost()] == 0 {
			out = append(out, s.GetHost())
		}
	}
	return out
}
