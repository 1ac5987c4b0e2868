package state

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	pb "squall/proto/squall/v1"
)

func TestHaltEndsEveryRunAndRefusesNewOnes(t *testing.T) {
	b := holding(t)
	b.must(gated("g", planOf(0, "d")), halt("h1"))
	for _, id := range []string{"r", "g"} {
		r := b.run(id)
		if r.GetState() != pb.RunState_RUN_STATE_REVERTING || r.GetEndCause() != pb.EndCause_END_CAUSE_HALT {
			t.Errorf("run %s is %v by %v", id, r.GetState(), r.GetEndCause())
		}
	}
	if o := b.m.View().Order("a"); len(o.GetTasks()) != 0 || !o.GetHalt().GetEngaged() {
		t.Errorf("the order after a halt is %v", o)
	}
	p := b.refused(admit("new", planOf(0, "d")), pb.Refusal_REFUSAL_HALTED)
	if !strings.Contains(p.GetMessage(), "h1") || !strings.Contains(p.GetFix(), "squall resume h1") {
		t.Errorf("the refusal does not name the halt: %v", p)
	}
	b.refused(fire("r", t0), pb.Refusal_REFUSAL_INVALID)
}

func TestRefusalByAHaltSaysWhy(t *testing.T) {
	for reason, want := range map[string]string{
		"":           `the halt lever is engaged by "h1"`,
		"a real one": `the halt lever is engaged by "h1": a real one`,
	} {
		if p := Halted(&pb.HaltLatch{Id: "h1", Reason: reason}); p.GetMessage() != want {
			t.Errorf("it says %q, want %q", p.GetMessage(), want)
		}
	}
}

func TestResumeNamesTheHaltThatIsEngaged(t *testing.T) {
	b := newBench(t)
	b.refused(resume("h1"), pb.Refusal_REFUSAL_INVALID)
	b.must(halt("h1"))
	b.refused(resume("h2"), pb.Refusal_REFUSAL_INVALID)
	b.must(resume("h1"), resume("h1"), hosts("s", 1, "a"), admit("r", planOf(0, "a")))
	if o := b.m.View().Order("a"); o.GetHalt().GetEngaged() || o.GetHalt().GetId() != "h1" {
		t.Errorf("hosts do not learn what was let go of: %v", o.GetHalt())
	}
}

func TestLateRepeatOfAHaltEngagesNothing(t *testing.T) {
	b := newBench(t)
	b.must(halt("h1"), resume("h1"), halt("h1"))
	if b.m.View().Halt().GetEngaged() {
		t.Error("a halt that was let go of engaged again")
	}
}

// TestHaltThatWasLetGoOfIsNeverForgotten pulls one again after more others than a
// lever names, on a machine that knows the log and on one that knows a snapshot.
func TestHaltThatWasLetGoOfIsNeverForgotten(t *testing.T) {
	b := newBench(t)
	b.must(halt("first"), resume("first"))
	for i := range 3 * maxAlso {
		id := fmt.Sprint("h", i)
		b.must(halt(id), resume(id))
	}
	if n := len(b.m.View().Halt().GetAlso()); n != maxAlso {
		t.Errorf("a lever names %d others", n)
	}
	again := New()
	if err := again.Restore(b.m.Snapshot()); err != nil {
		t.Fatal(err)
	}
	for name, m := range map[string]*Machine{"the machine": b.m, "one from its snapshot": again} {
		before := m.View()
		if o := m.Apply(before.Index()+1, &pb.Command{Id: "late", Kind: halt("first").GetKind()}); o.GetRefused() != nil {
			t.Errorf("%s: refused: %v", name, o.GetRefused())
		}
		if v := m.View(); v.Halt().GetEngaged() || v.PulledAt("first") == 0 || v.PulledAt("other") != 0 {
			t.Errorf("%s: the lever is %v", name, v.Halt())
		}
		if _, all := m.View().Reordered(before.Index()); !all {
			t.Errorf("%s: hosts that latched it again don't hear that it was let go of", name)
		}
	}
}

func TestOldestHaltIsForgottenFirst(t *testing.T) {
	pulled := table[uint64]{}.with("b", 2).with("a", 7).with("c", 3)
	if got := oldestPull(pulled); got != "b" {
		t.Errorf("forgets %q", got)
	}
}

func TestEveryLatchIsLetGoOf(t *testing.T) {
	b := newBench(t)
	b.must(halt("h1"), halt("h2"))
	b.refused(resume("h2"), pb.Refusal_REFUSAL_INVALID)
	b.must(resume("h1"), halt("h3"), resume("h3"), halt("h2"))
	h := b.m.View().Halt()
	if h.GetEngaged() || h.GetId() != "h3" || !slices.Equal(h.GetAlso(), []string{"h2", "h1"}) {
		t.Errorf("the latch is %v", h)
	}
}

func TestHaltMovesEveryOrder(t *testing.T) {
	b := holding(t)
	before := b.m.View().Index()
	b.must(halt("h1"))
	if _, all := b.m.View().Reordered(before); !all {
		t.Error("a halt did not change every order")
	}
}

func TestRecoveringRunIsLeftToItsVerdict(t *testing.T) {
	b := holding(t)
	b.must(recovers("r"), halt("h"))
	if r := b.run("r"); r.GetState() != pb.RunState_RUN_STATE_RECOVERING || r.GetEndCause() != pb.EndCause_END_CAUSE_COMPLETE {
		t.Errorf("the run is %v by %v", r.GetState(), r.GetEndCause())
	}
}

func TestRunThatItsHostsEndedOnAHaltIsHalted(t *testing.T) {
	b := holding(t)
	heard := status("r", "a", pb.StepState_STEP_STATE_REVERTED)
	heard.Cause = pb.RevertCause_REVERT_CAUSE_HALT
	b.must(steps(heard), recovers("r"), halt("h"))
	if r := b.run("r"); r.GetState() != pb.RunState_RUN_STATE_RECOVERING || r.GetEndCause() != pb.EndCause_END_CAUSE_HALT {
		t.Errorf("the run is %v by %v", r.GetState(), r.GetEndCause())
	}
}
