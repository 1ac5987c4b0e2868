package state

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	pb "squall/proto/squall/v1"
)

const t0 = int64(1_800_000_100e9)

// holding is a machine with run "r" holding on hosts a, b and c.
func holding(t *testing.T) *bench {
	b := newBench(t)
	b.must(hosts("s1", 1, "a", "b", "c"), admit("r", planOf(2, "a", "b", "c")), fire("r", t0), hold("r"))
	return b
}

func TestRunOnlyMovesForward(t *testing.T) {
	all := map[pb.RunState]*pb.Command{
		pb.RunState_RUN_STATE_PREPARING:  prepare("r"),
		pb.RunState_RUN_STATE_FIRED:      fire("r", t0),
		pb.RunState_RUN_STATE_HOLDING:    hold("r"),
		pb.RunState_RUN_STATE_RECOVERING: recovers("r"),
		pb.RunState_RUN_STATE_DONE:       finish("r"),
	}
	path := []*pb.Command{
		gated("r", planOf(0, "a")), prepare("r"), fire("r", t0), hold("r"),
		endRun("r", pb.EndCause_END_CAUSE_UNDO), recovers("r"), finish("r"),
	}
	b := newBench(t)
	b.must(hosts("s1", 1, "a"))
	for _, step := range path {
		b.must(step)
		at := b.run("r").GetState()
		for to, c := range all {
			if !slices.Contains(moves[to], at) {
				b.refused(c, pb.Refusal_REFUSAL_INVALID)
				if got := b.run("r").GetState(); got != at {
					t.Fatalf("a refused command moved the run from %v to %v", at, got)
				}
			}
		}
	}
	if got := b.run("r").GetState(); got != pb.RunState_RUN_STATE_DONE {
		t.Errorf("the run ended %v", got)
	}
}

func TestRunWithoutSteadyStatePreparesAtOnce(t *testing.T) {
	b := newBench(t)
	b.must(hosts("s1", 1, "a"), admit("r", planOf(0, "a")), gated("g", planOf(0, "d")))
	if got := b.run("r").GetState(); got != pb.RunState_RUN_STATE_PREPARING {
		t.Errorf("without a steady state the run is %v", got)
	}
	if got := b.run("g").GetState(); got != pb.RunState_RUN_STATE_GATING {
		t.Errorf("with one it is %v", got)
	}
}

func TestRefusedFireLeavesNoInstant(t *testing.T) {
	b := newBench(t)
	b.must(hosts("s1", 1, "a"), gated("r", planOf(0, "a")))
	b.refused(fire("r", t0), pb.Refusal_REFUSAL_INVALID)
	if got := b.run("r").GetT0UnixNanos(); got != 0 {
		t.Errorf("a refused fire set the instant %d", got)
	}
}

// TestServersNameOneHostThatObeyed: the refusal goes into the record of acts, each of
// which is chained to those before it.
func TestServersNameOneHostThatObeyed(t *testing.T) {
	names := []string{"a", "b", "c", "d", "e", "f", "g"}
	again := fire("r", t0+60e9)
	again.GetFire().Number = 2
	var first *bench
	for range 20 {
		b := newBench(t)
		b.must(hosts("s1", 1, names...), admit("r", planOf(0, names...)), fire("r", t0), steps(status("r", "a", pb.StepState_STEP_STATE_READY)))
		for _, name := range names[1:] {
			b.must(steps(status("r", name, pb.StepState_STEP_STATE_ARMED)))
		}
		p := b.refused(again, pb.Refusal_REFUSAL_INVALID)
		if first == nil {
			first = b
		}
		if p.GetMessage() != `run "r": b obeyed the firing before` || b.m.Hash() != first.m.Hash() {
			t.Fatalf("it says %q", p.GetMessage())
		}
	}
}

func TestFirstCauseOfTheEndIsKept(t *testing.T) {
	b := holding(t)
	b.must(endRun("r", pb.EndCause_END_CAUSE_ABORT_RULE), endRun("r", pb.EndCause_END_CAUSE_UNDO), halt("h"))
	if got := b.run("r").GetEndCause(); got != pb.EndCause_END_CAUSE_ABORT_RULE {
		t.Errorf("the cause is %v", got)
	}
}

func TestPhasesBeginOnceAndInOrder(t *testing.T) {
	b := holding(t)
	b.refused(phase("r", "after"), pb.Refusal_REFUSAL_INVALID)
	b.must(phase("r", "dark"))
	b.refused(phase("r", "dark"), pb.Refusal_REFUSAL_INVALID)
	b.must(phase("r", "after"))
	b.refused(phase("r", "after"), pb.Refusal_REFUSAL_INVALID)
	events := b.m.View().Events("r", 0)
	if last := events[len(events)-1]; last.GetPhase() != "after" || last.GetAtUnixNanos() != t0+10e9 {
		t.Errorf("the story ends with %v", last)
	}
}

// TestNoPhaseBeginsOfARunThatWasEnded: it was decided before, and comes after.
func TestNoPhaseBeginsOfARunThatWasEnded(t *testing.T) {
	b := holding(t)
	b.must(endRun("r", pb.EndCause_END_CAUSE_UNDO))
	b.refused(phase("r", "dark"), pb.Refusal_REFUSAL_INVALID)
	if n := b.run("r").GetPhasesBegun(); n != 0 {
		t.Errorf("%d phases have begun", n)
	}
}

func TestStoryCanBeFollowedFromAnyIndex(t *testing.T) {
	b := holding(t)
	b.must(steps(status("r", "a", pb.StepState_STEP_STATE_HELD)), endRun("r", pb.EndCause_END_CAUSE_UNDO), recovers("r"), finish("r"))
	v := b.m.View()
	all := v.Events("r", 0)
	for after := range v.Index() + 2 {
		want := slices.IndexFunc(all, func(e *pb.Event) bool { return e.GetIndex() > after })
		if want < 0 {
			want = len(all)
		}
		if got := len(v.Events("r", after)); got != len(all)-want {
			t.Errorf("after index %d: %d events, want %d", after, got, len(all)-want)
		}
	}
	if last := all[len(all)-1]; last.GetKind() != pb.EventKind_EVENT_KIND_VERDICT {
		t.Errorf("the story ends with %v", last)
	}
}

func TestIncidentTimeFollowsTheSpeed(t *testing.T) {
	r := &pb.Run{T0UnixNanos: t0, Plan: &pb.Plan{OriginUnixNanos: 1e9, MilliSpeed: 12_000}}
	if got := Incident(r, t0+60e9); got != 1e9+720e9 {
		t.Errorf("a minute at 12x is %d", got)
	}
	if got := Incident(r, t0-1); got != 0 {
		t.Errorf("before the start there is no incident time, got %d", got)
	}
	r.Plan.MilliSpeed = 1_000_000
	if got := Incident(r, t0+86_400e9); got != 1e9+86_400_000e9 {
		t.Errorf("a day at 1000x is %d", got)
	}
}

func TestOldestDoneRunsMakeRoom(t *testing.T) {
	b := newBench(t)
	b.must(hosts("s1", 1, "a"))
	for i := range mostDone + 5 {
		id := fmt.Sprintf("run-%03d", i)
		b.must(gated(id, planOf(0, "a")), finish(id))
	}
	runs := b.m.View().Runs()
	if len(runs) != mostDone || runs[0].GetId() != "run-005" {
		t.Errorf("%d runs are kept, the oldest is %s", len(runs), runs[0].GetId())
	}
}

func TestUnknownRunIsNamed(t *testing.T) {
	b := newBench(t)
	for _, c := range []*pb.Command{
		prepare("x"), fire("x", t0), hold("x"), endRun("x", 1), recovers("x"), finish("x"), phase("x", "p"), tokens("x", "a"),
	} {
		if p := b.refused(c, pb.Refusal_REFUSAL_UNKNOWN); !strings.Contains(p.GetMessage(), `"x"`) {
			t.Errorf("%q does not name the run", p.GetMessage())
		}
	}
}
