package conduct

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"squall/experiments/judge"
	pb "squall/proto/squall/v1"
	"squall/server/state"
)

// look is one decision about one run in the making.
type look struct {
	d     *Decider
	now   time.Time
	v     *state.View
	run   *pb.Run
	judge *judge.Track
	out   Decision
}

// slot is a step on one host: as planned, and as last reported.
type slot struct {
	step   *pb.PlannedStep
	plan   *pb.HostSlot
	status *pb.StepStatus // nil when the host has said nothing
}

func (l *look) decide() {
	switch l.run.GetState() {
	case pb.RunState_RUN_STATE_GATING:
		l.gate()
	case pb.RunState_RUN_STATE_PREPARING:
		l.unlessBreached(l.prepare)
	case pb.RunState_RUN_STATE_FIRED:
		l.fired()
	case pb.RunState_RUN_STATE_HOLDING:
		l.unlessBreached(l.hold)
	case pb.RunState_RUN_STATE_REVERTING:
		l.revert()
	case pb.RunState_RUN_STATE_RECOVERING:
		l.recover()
	}
}

// broken ends a run whose expressions this build can't compile, although the
// build that admitted it could: an upgrade in mid-run.
func (l *look) broken() {
	const why = "this build can't compile the run's expressions"
	switch l.run.GetState() {
	case pb.RunState_RUN_STATE_GATING, pb.RunState_RUN_STATE_RECOVERING:
		l.finish(pb.Verdict_VERDICT_ERROR, []*pb.Finding{{
			Kind: pb.FindingKind_FINDING_KIND_STEP, Name: why, State: pb.FindingState_FINDING_STATE_UNKNOWN,
		}})
	case pb.RunState_RUN_STATE_REVERTING:
		l.revert()
	default:
		l.end(pb.EndCause_END_CAUSE_ABORT_RULE, why)
	}
}

// propose records a command. Its id is the run's and the decision's, so that
// the same decision of two leaders takes effect once.
func (l *look) propose(decision string, c *pb.Command) {
	c.Id = l.run.GetId() + "/" + decision
	c.AtUnixNanos = l.now.UnixNano()
	c.By = &pb.Principal{Name: "conductor", Role: pb.Role_ROLE_SERVER}
	l.out.Record = append(l.out.Record, c)
}

// wake asks for another look at an instant, or at an earlier one asked for before.
func (l *look) wake(at time.Time) {
	if l.out.Wake.IsZero() || at.Before(l.out.Wake) {
		l.out.Wake = at
	}
}

// wakeNextSecond asks for a look just after the next whole second.
func (l *look) wakeNextSecond() { l.wake(l.now.Truncate(time.Second).Add(time.Second)) }

func (l *look) end(cause pb.EndCause, detail string) {
	l.propose("end/"+cause.String(), &pb.Command{Kind: &pb.Command_EndRun{
		EndRun: &pb.EndRun{Run: l.run.GetId(), Cause: cause, Detail: detail},
	}})
}

func (l *look) finish(verdict pb.Verdict, findings []*pb.Finding) {
	l.propose("finish", &pb.Command{Kind: &pb.Command_Finish{
		Finish: &pb.Finish{Run: l.run.GetId(), Verdict: verdict, Findings: findings},
	}})
}

// entered is when the run came to a state.
func (l *look) entered(s pb.RunState) time.Time {
	return time.Unix(0, l.run.GetEnteredUnixNanos()[uint32(s)]).UTC()
}

// t0 is the instant of the start, and after is one that lies nanos behind it.
func (l *look) t0() time.Time { return l.after(0) }

func (l *look) after(nanos int64) time.Time {
	return time.Unix(0, l.run.GetT0UnixNanos()+nanos).UTC()
}

func (l *look) fires() bool { return l.run.GetT0UnixNanos() != 0 }

// slots are all steps on all hosts, in the order of the plan.
func (l *look) slots() []slot {
	var out []slot
	for _, step := range l.run.GetPlan().GetSteps() {
		hosts := l.run.GetSteps()[step.GetId()].GetHosts()
		for _, s := range step.GetSlots() {
			out = append(out, slot{step: step, plan: s, status: hosts[s.GetHost()]})
		}
	}
	return out
}

// open are the slots that have not come to their end.
func (l *look) open() []slot {
	return slices.DeleteFunc(l.slots(), func(s slot) bool { return state.Ended(s.status) })
}

func (s slot) state() pb.StepState { return s.status.GetState() }

func (s slot) refused() bool { return s.state() == pb.StepState_STEP_STATE_REFUSED }

// hostsOf names the hosts of slots, for people: the first few and how many more.
func hostsOf(slots []slot) string {
	const most = 8
	var names []string
	for _, s := range slots {
		names = append(names, s.plan.GetHost())
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if more := len(names) - most; more > 0 {
		names = append(names[:most], fmt.Sprintf("%d more", more))
	}
	return strings.Join(names, ", ")
}

// span is a span of the file, or what applies where it is left out.
func span(s *pb.Span, otherwise time.Duration) time.Duration {
	if s.GetNanos() > 0 {
		return time.Duration(s.GetNanos())
	}
	return otherwise
}
