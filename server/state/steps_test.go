package state

import (
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
)

func TestStepOnlyMovesForward(t *testing.T) {
	const reverted, refused = pb.StepState_STEP_STATE_REVERTED, pb.StepState_STEP_STATE_REFUSED
	for _, c := range []struct{ known, heard, want pb.StepState }{
		{pb.StepState_STEP_STATE_READY, pb.StepState_STEP_STATE_ARMED, pb.StepState_STEP_STATE_ARMED},
		{pb.StepState_STEP_STATE_HELD, pb.StepState_STEP_STATE_ARMED, pb.StepState_STEP_STATE_HELD},
		{pb.StepState_STEP_STATE_READY, refused, refused},
		{reverted, pb.StepState_STEP_STATE_HELD, reverted},
		{reverted, refused, reverted},
		{refused, reverted, refused},
		{refused, pb.StepState_STEP_STATE_ARMED, refused},
	} {
		b := holding(t)
		b.must(steps(status("r", "a", c.known)), steps(status("r", "a", c.heard)))
		if got := b.run("r").GetSteps()["dark.dns.fail"].GetHosts()["a"].GetState(); got != c.want {
			t.Errorf("%v, then %v: got %v", c.known, c.heard, got)
		}
	}
}

func TestLateReportTakesNothingAway(t *testing.T) {
	ready := status("r", "a", pb.StepState_STEP_STATE_READY)
	ready.Touches, ready.ArmNanos, ready.Engine = []string{"drop DNS"}, 5, "tcx"
	held := status("r", "a", pb.StepState_STEP_STATE_HELD)
	held.Journal = []*pb.JournalMark{{Seq: 1, State: pb.StepState_STEP_STATE_ARMED}, {Seq: 2, State: pb.StepState_STEP_STATE_HELD}}
	held.Evidence = []*pb.Evidence{{Name: "dropped", Holds: true}}
	end := status("r", "a", pb.StepState_STEP_STATE_REVERTED)
	end.Journal = []*pb.JournalMark{{Seq: 3, State: pb.StepState_STEP_STATE_REVERTED}}
	end.Evidence = []*pb.Evidence{{Name: "dropped", Holds: true, After: true}}
	all := []*pb.StepStatus{ready, held, end, ready, held}
	b := holding(t)
	for _, s := range all {
		b.must(steps(s))
	}
	got := b.run("r").GetSteps()["dark.dns.fail"].GetHosts()["a"]
	if len(got.GetTouches()) != 1 || got.GetArmNanos() != 5 || got.GetEngine() != "tcx" {
		t.Errorf("what READY said is lost: %v", got)
	}
	if len(got.GetJournal()) != 3 || len(got.GetEvidence()) != 2 {
		t.Errorf("journal or evidence is lost: %v", got)
	}
}

// TestNewestLookCounts has a look that could read nothing between whole ones, while
// the fault holds and after it: nothing of it is left when the next one is whole.
func TestNewestLookCounts(t *testing.T) {
	for name, after := range map[string]bool{"while it holds": false, "after it": true} {
		t.Run(name, func(t *testing.T) {
			state := pb.StepState_STEP_STATE_HELD
			if after {
				state = pb.StepState_STEP_STATE_REVERTED
			}
			look := func(holds bool, names ...string) *pb.StepStatus {
				s := status("r", "a", state)
				for _, n := range names {
					s.Evidence = append(s.Evidence, &pb.Evidence{Name: n, Holds: holds, After: after})
				}
				return s
			}
			b := holding(t)
			b.must(steps(look(true, "dropped", "link")), steps(look(false, "readable")), steps(look(true, "dropped", "link")))
			for _, e := range b.run("r").GetSteps()["dark.dns.fail"].GetHosts()["a"].GetEvidence() {
				if !e.GetHolds() {
					t.Errorf("an older look still says %v", e)
				}
			}
			b.must(steps(look(false, "readable")))
			if got := b.run("r").GetSteps()["dark.dns.fail"].GetHosts()["a"].GetEvidence(); len(got) != 1 || got[0].GetName() != "readable" {
				t.Errorf("the newest look brought nothing, and an older one speaks: %v", got)
			}
		})
	}
}

func TestResidueGoesAwayOnlyWithALongerJournal(t *testing.T) {
	end := func(seq uint64, residue ...string) *pb.StepStatus {
		s := status("r", "a", pb.StepState_STEP_STATE_REVERTED)
		s.Journal, s.Residue = []*pb.JournalMark{{Seq: seq}}, residue
		return s
	}
	b := holding(t)
	b.must(steps(end(5, "a filter")), steps(end(4)))
	if n := len(b.run("r").GetSteps()["dark.dns.fail"].GetHosts()["a"].GetResidue()); n != 1 {
		t.Errorf("an older report hid the residue")
	}
	b.must(steps(end(6)))
	if n := len(b.run("r").GetSteps()["dark.dns.fail"].GetHosts()["a"].GetResidue()); n != 0 {
		t.Errorf("residue stayed after a newer report without it")
	}
}

func TestHostSpeaksForItsOwnStepsAlone(t *testing.T) {
	b := holding(t)
	before := b.run("r")
	b.must(steps(status("r", "stranger", pb.StepState_STEP_STATE_HELD)),
		steps(&pb.StepStatus{Run: "r", Step: "no.such", Host: "a", State: pb.StepState_STEP_STATE_HELD}))
	if !proto.Equal(before, b.run("r")) {
		t.Error("a report about a step that the host does not have was taken")
	}
}

func TestEndOfAnUnknownRunIsConfirmed(t *testing.T) {
	b := holding(t)
	b.must(steps(status("gone", "a", pb.StepState_STEP_STATE_HELD)))
	if got := b.m.View().Order("a").GetConfirmed(); len(got) != 0 {
		t.Errorf("a step that has not ended was confirmed: %v", got)
	}
	mark := b.m.View().Mark("a")
	b.must(steps(status("gone", "a", pb.StepState_STEP_STATE_REVERTED)), steps(status("gone", "a", pb.StepState_STEP_STATE_REVERTED)))
	o := b.m.View().Order("a")
	if len(o.GetConfirmed()) != 1 || o.GetConfirmed()[0].GetRun() != "gone" || o.GetIndex() <= mark.GetIndex() {
		t.Errorf("the end is not confirmed once by a new order: %v", o)
	}
}

func TestBootTokensAreNeverMoreThanTheStepAllows(t *testing.T) {
	b := holding(t)
	b.must(tokens("r", "a", "b"))
	b.refused(tokens("r", "c"), pb.Refusal_REFUSAL_GUARDRAIL)
	ready := status("r", "a", pb.StepState_STEP_STATE_REVERTED)
	ready.ReadyAgain = true
	b.must(steps(ready), tokens("r", "c"))
	b.now += 60e9 // boot_limit frees the rest
	if got := TokensInUse(b.run("r"), "dark.dns.fail", b.now); got != 0 {
		t.Errorf("%d tokens are in use after boot_limit", got)
	}
	o := b.m.View().Order("c")
	if !o.GetTasks()[0].GetToken() || !o.GetTasks()[0].GetNeedsToken() {
		t.Errorf("the order does not carry the token: %v", o)
	}
	b.must(tokens("r", "c", "a")) // granted before: nothing happens
}

func TestUnknownIsNeverClean(t *testing.T) {
	b := holding(t)
	b.must(steps(status("r", "a", pb.StepState_STEP_STATE_REVERTED), status("r", "b", pb.StepState_STEP_STATE_REFUSED)))
	clean := Clean(b.run("r"))
	got := slices.Collect(func(yield func(bool) bool) {
		for _, c := range clean {
			yield(c.GetClean())
		}
	})
	if !slices.Equal(got, []bool{true, true, false}) || !clean[2].GetUnknown() {
		t.Errorf("clean is %v", clean)
	}
	if n := b.m.View().Readings("r").Residue(); n != 1 {
		t.Errorf("residue counts %d", n)
	}
}

// Getting ready for what was before a restore, or before the run, says nothing.
func TestReadyCountsUnderTheRunsOwnOrdersOnly(t *testing.T) {
	b := newBench(t)
	b.must(hosts("s1", 1, "a"), admit("r", planOf(0, "a")))
	admission := b.run("r").GetAdmittedIndex()
	for _, c := range []struct {
		epoch, index uint64
		want         pb.StepState
	}{
		{1, admission - 1, pb.StepState_STEP_STATE_UNSPECIFIED},
		{2, admission, pb.StepState_STEP_STATE_UNSPECIFIED},
		{1, admission, pb.StepState_STEP_STATE_READY},
	} {
		ready := status("r", "a", pb.StepState_STEP_STATE_READY)
		ready.Order = &pb.OrderMark{Epoch: c.epoch, Index: c.index}
		b.must(steps(ready))
		if got := b.run("r").GetSteps()["dark.dns.fail"].GetHosts()["a"].GetState(); got != c.want {
			t.Errorf("ready under %d/%d: got %v, want %v", c.epoch, c.index, got, c.want)
		}
	}
}

// An agent that was restarted says of a step what its journal has, which does
// not hold how its workloads got ready.
func TestWorkloadThatDidNotComeBackIsNotForgotten(t *testing.T) {
	b := holding(t)
	lost, blank := status("r", "a", pb.StepState_STEP_STATE_REVERTED), status("r", "a", pb.StepState_STEP_STATE_REVERTED)
	lost.RecoveryFailures = []*pb.RecoveryFailure{{Workload: "web", Why: "its port is not open"}}
	known := func() *pb.StepStatus { return b.run("r").GetSteps()["dark.dns.fail"].GetHosts()["a"] }
	b.must(steps(lost), steps(blank))
	if len(known().GetRecoveryFailures()) != 1 {
		t.Error("a report of an agent that knows nothing of it hid the failure")
	}
	ready := status("r", "a", pb.StepState_STEP_STATE_REVERTED)
	ready.ReadyAgain, ready.ReadyUnixNanos = true, 7
	b.must(steps(ready), steps(blank))
	if len(known().GetRecoveryFailures()) != 0 || !known().GetReadyAgain() || known().GetReadyUnixNanos() != 7 {
		t.Errorf("it got ready after all: %v", known())
	}
}
