package state

import (
	"strings"
	"testing"

	pb "squall/proto/squall/v1"
)

func TestSecondRunOnTheSameResourceIsRefused(t *testing.T) {
	b := holding(t)
	p := b.refused(admit("second", planOf(0, "a")), pb.Refusal_REFUSAL_CLAIM)
	for _, want := range []string{`"r"`, "a"} {
		if !strings.Contains(p.GetMessage(), strings.Trim(want, `"`)) {
			t.Errorf("%q does not name %s", p.GetMessage(), want)
		}
	}
	b.must(admit("elsewhere", planOf(0, "d")))
}

func TestHostThatWasNotHeardFromIsHeldUntilItsDeadline(t *testing.T) {
	b := holding(t)
	b.must(endRun("r", pb.EndCause_END_CAUSE_UNDO), steps(status("r", "b", pb.StepState_STEP_STATE_REVERTED)), recovers("r"), finish("r"))
	b.must(lost(1, "a"))
	b.refused(forget("a"), pb.Refusal_REFUSAL_CLAIM)
	b.must(hosts("s1", 2, "a"))
	b.refused(admit("second", planOf(0, "a")), pb.Refusal_REFUSAL_CLAIM)
	b.must(admit("other", planOf(0, "b")))
	limited := admit("limited", planOf(0, "d"))
	limited.GetAdmitRun().Experiment.Guardrails = &pb.Guardrails{MaxHosts: &pb.Amount{Of: &pb.Amount_Count{Count: 3}}}
	b.refused(limited, pb.Refusal_REFUSAL_GUARDRAIL) // a and c of the first run, b of the second, and d
	b.now = t0 + 21e9
	b.must(admit("second", planOf(0, "a")))
}

func TestLimitsOfARunUnderWayStandAgainstAnAdHocOne(t *testing.T) {
	b := newBench(t)
	b.must(hosts("s1", 1, "a", "b"))
	first := admit("first", planOf(0, "a"))
	first.GetAdmitRun().Experiment.Guardrails = &pb.Guardrails{MaxHosts: &pb.Amount{Of: &pb.Amount_Count{Count: 1}}}
	b.must(first)
	p := b.refused(admit("second", planOf(0, "b")), pb.Refusal_REFUSAL_GUARDRAIL)
	if !strings.Contains(p.GetMessage(), "max_hosts of run first: 2 hosts") {
		t.Errorf("says %q", p.GetMessage())
	}
}

func TestOnlyAFileAimsAtServers(t *testing.T) {
	b := newBench(t)
	c := hosts("s1", 1, "s-1", "s-2", "s-3")
	for _, u := range c.GetUpdateHosts().GetHosts() {
		u.Host.Role = []string{"squall-server"}
	}
	b.must(c)
	aimed := func(run string, source []byte, names ...string) *pb.Command {
		c := admit(run, planOf(0, names...))
		c.GetAdmitRun().Experiment.Targets = map[string]*pb.Target{"all": {Role: []string{"squall-server"}}}
		c.GetAdmitRun().Source = source
		return c
	}
	b.refused(aimed("a command", nil, "s-1"), pb.Refusal_REFUSAL_GUARDRAIL)
	b.refused(aimed("most", []byte("version: 1"), "s-1", "s-2"), pb.Refusal_REFUSAL_GUARDRAIL)
	b.must(aimed("one", []byte("version: 1"), "s-1"))
	b.refused(aimed("another", []byte("version: 1"), "s-2"), pb.Refusal_REFUSAL_GUARDRAIL)
}

func TestClaimIsFreeAsSoonAsItsStepHasEnded(t *testing.T) {
	reverted := func(host string) *pb.Command { return steps(status("r", host, pb.StepState_STEP_STATE_REVERTED)) }
	for name, ending := range map[string][]*pb.Command{
		"an undo":                      {endRun("r", pb.EndCause_END_CAUSE_UNDO), reverted("a")},
		"an abort, recovery watched":   {endRun("r", pb.EndCause_END_CAUSE_ABORT_RULE), reverted("a"), recovers("r")},
		"its own end, verdict to come": {reverted("a"), recovers("r")},
		"a halt that was let go of":    {halt("h"), reverted("a"), resume("h")},
		"a refusal":                    {steps(status("r", "a", pb.StepState_STEP_STATE_REFUSED))},
	} {
		t.Run(name, func(t *testing.T) {
			b := holding(t)
			b.refused(admit("early", planOf(0, "a")), pb.Refusal_REFUSAL_CLAIM)
			b.must(ending...)
			b.refused(admit("other host", planOf(0, "b")), pb.Refusal_REFUSAL_CLAIM) // b was not heard from
			b.must(admit("second", planOf(0, "a")))
		})
	}
}

func TestTwoRunsCanNotBothSlipThroughAGuardrail(t *testing.T) {
	b := newBench(t)
	b.must(hosts("s1", 1, "a", "b", "c"))
	b.must(&pb.Command{Kind: &pb.Command_SetGuardrails{SetGuardrails: &pb.SetGuardrails{Guardrails: &pb.Guardrails{
		MaxHosts: &pb.Amount{Of: &pb.Amount_Count{Count: 2}},
	}}}})
	b.must(admit("one", planOf(0, "a")), admit("two", planOf(0, "b")))
	p := b.refused(admit("three", planOf(0, "c")), pb.Refusal_REFUSAL_GUARDRAIL)
	if !strings.Contains(p.GetMessage(), "max_hosts") {
		t.Errorf("%q does not name the guardrail", p.GetMessage())
	}
}

func TestRunIdStartsOneRun(t *testing.T) {
	b := newBench(t)
	b.must(hosts("s1", 1, "a"), admit("r", planOf(0, "a")))
	b.refused(admit("r", planOf(0, "d")), pb.Refusal_REFUSAL_INVALID)
}

func TestPlanWithProblemsIsRefusedByItsOwnWord(t *testing.T) {
	b := newBench(t)
	p := planOf(0, "d")
	p.Problems = []*pb.Problem{{Refusal: pb.Refusal_REFUSAL_NO_WAY_BACK, Message: "web has no way back"}}
	b.refused(admit("r", p), pb.Refusal_REFUSAL_NO_WAY_BACK)
	b.refused(admit("r", &pb.Plan{}), pb.Refusal_REFUSAL_INVALID)
}

func TestAdmissionAsksForBoundsAndNamesAgain(t *testing.T) {
	b := newBench(t)
	long := planOf(0, "d")
	long.LeaseNanos = int64(20 * 365 * 24 * 3600e9)
	b.refused(admit("r", long), pb.Refusal_REFUSAL_INVALID)
	for _, id := range []string{"\x1b[2J", "two\nlines", strings.Repeat("x", 129), "back\u202ewards"} {
		b.refused(admit(id, planOf(0, "d")), pb.Refusal_REFUSAL_INVALID)
		b.refused(halt(id), pb.Refusal_REFUSAL_INVALID)
	}
	b.must(admit("r", planOf(0, "d")))
	b.refused(fire("r", b.now+2*3600e9), pb.Refusal_REFUSAL_INVALID)
}
