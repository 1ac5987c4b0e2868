package state

import (
	"testing"

	pb "squall/proto/squall/v1"
)

// TestWhatMayWait asks of reports of host a while b has come to a state.
func TestWhatMayWait(t *testing.T) {
	const (
		ready, armed    = pb.StepState_STEP_STATE_READY, pb.StepState_STEP_STATE_ARMED
		held, returning = pb.StepState_STEP_STATE_HELD, pb.StepState_STEP_STATE_RETURNING
		reverted        = pb.StepState_STEP_STATE_REVERTED
		refused         = pb.StepState_STEP_STATE_REFUSED
	)
	residue := status("r", "a", reverted)
	residue.Residue = []string{"a filter"}
	for name, c := range map[string]struct {
		report      *pb.StepStatus
		known, said pb.StepState // of b
		want        bool
	}{
		"b is to say as much":           {report: status("r", "a", held), known: ready, want: true},
		"b has said as much":            {report: status("r", "a", held), known: held},
		"b has said it, not in the log": {report: status("r", "a", held), known: ready, said: held},
		"b is further on":               {report: status("r", "a", ready), known: held},
		"b has ended":                   {report: status("r", "a", held), known: refused},
		"an end, and b holds":           {report: status("r", "a", reverted), known: held, want: true},
		"a refusal":                     {report: status("r", "a", refused), known: ready},
		"residue":                       {report: residue, known: held},
		"it wants a token":              {report: status("r", "a", returning), known: held},
		"armed, in a run from a file":   {report: status("r", "a", armed), known: ready},
		"a run that nobody knows":       {report: status("other", "a", ready), known: ready},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.must(hosts("s1", 1, "a", "b", "c"), admit("r", planOf(0, "a", "b", "c")), steps(status("r", "b", c.known)), steps(status("r", "c", refused)))
			v := b.m.View()
			onB := func(host string) bool { return host == "b" }
			said := func(string) pb.StepState { return c.said }
			if got := v.Early(c.report, onB, said); got != c.want {
				t.Errorf("early: %v", got)
			}
			if v.Early(c.report, func(string) bool { return false }, said) {
				t.Error("early, though nobody is to be waited for")
			}
		})
	}
}

// TestWhoArmsForAnAdHocFaultSaysMoreSoon: it begins as soon as it can.
func TestWhoArmsForAnAdHocFaultSaysMoreSoon(t *testing.T) {
	b := newBench(t)
	run := admit("r", planOf(0, "a"))
	run.GetAdmitRun().AdHoc = true
	b.must(hosts("s1", 1, "a"), run)
	nobody := func(string) bool { return false }
	if !b.m.View().Early(status("r", "a", pb.StepState_STEP_STATE_ARMED), nobody, nil) {
		t.Error("that it has armed must be told at once")
	}
}

// TestBootsWaitForNobody: of a step whose hosts boot by tokens every report counts.
func TestBootsWaitForNobody(t *testing.T) {
	b := newBench(t)
	b.must(hosts("s1", 1, "a", "b"), admit("r", planOf(1, "a", "b")))
	all, said := func(string) bool { return true }, func(string) pb.StepState { return 0 }
	if b.m.View().Early(status("r", "a", pb.StepState_STEP_STATE_REVERTED), all, said) {
		t.Error("a host's end waits, and so does the next one's token")
	}
}
