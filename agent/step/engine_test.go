package step

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"squall/agent/undo"
	pb "squall/proto/squall/v1"
)

func TestStepHoldsFromItsStartToItsEnd(t *testing.T) {
	bubble(t, func(r *rig) {
		task := r.task(5*time.Second, 30*time.Second)
		unfired := proto.CloneOf(task)
		unfired.Fire = false
		r.pass(time.Millisecond)
		r.order(unfired)
		r.want(ready, none)
		if s := r.status(); len(s.GetTouches()) == 0 || s.GetArmNanos() <= 0 {
			t.Errorf("ready without touches or an estimate: %v", s)
		}
		r.wantDark(false)
		r.order(task)
		r.pass(4900 * time.Millisecond)
		r.want(armed, none)
		r.wantDark(false)
		r.pass(200 * time.Millisecond)
		r.want(held, none)
		r.wantDark(true)
		r.pass(29700 * time.Millisecond)
		r.wantDark(true)
		r.pass(300 * time.Millisecond)
		r.want(reverted, pb.RevertCause_REVERT_CAUSE_END)
		r.wantDark(false)
		marks := r.status().GetJournal()
		last := marks[len(marks)-1]
		if late := last.GetActualUnixNanos() - task.GetEndUnixNanos(); late < 0 || late > int64(20*time.Millisecond) {
			t.Errorf("reverted %s after its end", time.Duration(late))
		}
	})
}

// A host that was never granted a lease is not ready, or it would be fired and
// refuse to begin.
// TestWhatDidNotRunIsNotStarted: the revert puts back what was.
func TestWhatDidNotRunIsNotStarted(t *testing.T) {
	bubble(t, func(r *rig) {
		stop := &pb.Op{Kind: &pb.Op_KillWorkloads{KillWorkloads: &pb.KillWorkloads{Workload: []string{"web"}}}}
		if err := r.fake.Do(t.Context(), stop, nil); err != nil {
			t.Fatal(err)
		}
		task := r.task(5*time.Second, 30*time.Second)
		r.pass(time.Millisecond)
		r.order(task)
		r.pass(4900 * time.Millisecond)
		r.want(armed, none)
		if touches := strings.Join(r.status().GetTouches(), "\n"); !strings.Contains(touches, "leave down web") {
			t.Errorf("it touches %s", touches)
		}
		r.pass(30200 * time.Millisecond)
		r.want(reverted, pb.RevertCause_REVERT_CAUSE_END)
		if r.fake.Runs("web") {
			t.Error("web was started by the revert")
		}
	})
}

func TestHostWithoutALeaseIsNotReady(t *testing.T) {
	bubble(t, func(r *rig) {
		task := r.task(20*time.Second, time.Minute)
		task.Fire = false
		r.order(task)
		r.silent(9 * time.Second)
		if all := r.engine.Statuses(); len(all) != 0 {
			t.Errorf("it tells of %v", all)
		}
		r.pass(time.Millisecond)
		r.want(ready, none)
		r.silent(10 * time.Second)
		r.want(pb.StepState_STEP_STATE_REFUSED, pb.RevertCause_REVERT_CAUSE_LEASE)
	})
}

func TestRevertWhenLeaseRunsOut(t *testing.T) {
	bubble(t, func(r *rig) {
		r.order(r.task(2*time.Second, time.Minute))
		r.pass(5 * time.Second)
		r.wantDark(true)
		r.silent(8 * time.Second)
		r.wantDark(true)
		r.silent(2 * time.Second)
		r.want(reverted, pb.RevertCause_REVERT_CAUSE_LEASE)
		r.wantDark(false)
	})
}

func TestRenewalAfterTheLapseComesTooLate(t *testing.T) {
	bubble(t, func(r *rig) {
		r.order(r.task(2*time.Second, time.Minute))
		r.pass(5 * time.Second)
		r.engine.core.granted -= DefaultLease // as if the process had been stopped; its owner waits
		r.engine.Renewed(r.fake.Boot())
		r.pass(time.Second)
		r.want(reverted, pb.RevertCause_REVERT_CAUSE_LEASE)
		r.wantDark(false)
	})
}

func TestHoldWithoutLeaseEndsAtItsEnd(t *testing.T) {
	bubble(t, func(r *rig) {
		task := r.task(2*time.Second, time.Minute)
		task.HoldWithoutLease = true
		r.order(task)
		r.pass(5 * time.Second)
		r.silent(50 * time.Second)
		r.wantDark(true)
		r.silent(10 * time.Second)
		r.want(reverted, pb.RevertCause_REVERT_CAUSE_END)
	})
}

func TestPreparedHostLetsGo(t *testing.T) {
	bubble(t, func(r *rig) {
		task := r.task(time.Hour, time.Minute)
		task.Fire = false
		r.order(task)
		r.pass(3 * time.Second)
		r.want(ready, none)
		r.silent(10 * time.Second)
		r.want(refusedS, pb.RevertCause_REVERT_CAUSE_LEASE)
	})
}

func TestLaterStepNeedsARenewedLease(t *testing.T) {
	bubble(t, func(r *rig) {
		r.pass(time.Second)
		r.order(r.task(30*time.Second, time.Minute))
		r.silent(31 * time.Second)
		r.want(refusedS, pb.RevertCause_REVERT_CAUSE_LEASE)
		if r.kills() != 0 {
			t.Error("it was injected without a lease")
		}
	})
	bubble(t, func(r *rig) {
		r.order(r.task(30*time.Second, time.Minute))
		r.silent(28 * time.Second) // cut off, and back in time
		r.pass(3 * time.Second)
		r.want(held, none)
	})
}

func TestRevertedStepIsNeverInjectedAgain(t *testing.T) {
	bubble(t, func(r *rig) {
		r.pass(time.Second)
		task := r.task(0, time.Hour)
		r.order(task)
		r.pass(3 * time.Second)
		r.wantDark(true)

		r.end()
		r.fake.Crash() // the worker is killed
		r.begin()
		r.want(reverted, pb.RevertCause_REVERT_CAUSE_CRASH)
		r.wantDark(false)
		r.order(task)
		r.pass(5 * time.Second)
		r.want(reverted, pb.RevertCause_REVERT_CAUSE_CRASH)
		if n := r.kills(); n != 1 {
			t.Errorf("web was killed %d times, want once", n)
		}

		r.index++ // the machine has recorded it
		confirmed := &pb.Order{Epoch: 1, Index: r.index, Confirmed: []*pb.StepKey{{Run: "run-1", Step: "power.off"}}}
		if err := r.engine.Order(confirmed); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if all := r.engine.Statuses(); len(all) != 0 {
			t.Errorf("confirmed and still kept: %v", all)
		}
	})
}

func TestAbsentFromAnOrderIsReverted(t *testing.T) {
	bubble(t, func(r *rig) {
		r.pass(time.Second)
		r.order(r.task(0, time.Hour))
		r.pass(3 * time.Second)
		r.wantDark(true)
		r.order()
		r.want(reverted, pb.RevertCause_REVERT_CAUSE_ORDER)
		r.wantDark(false)
	})
}

func TestCancelBeforeTheStartHurtsNobody(t *testing.T) {
	bubble(t, func(r *rig) {
		r.order(r.task(2*time.Second, time.Hour))
		r.pass(1500 * time.Millisecond)
		r.want(armed, none)
		r.order()
		r.pass(5 * time.Second)
		r.want(reverted, pb.RevertCause_REVERT_CAUSE_ORDER)
		if r.kills() != 0 {
			t.Error("web was killed")
		}
	})
}

func TestOlderOrderIsRefused(t *testing.T) {
	bubble(t, func(r *rig) {
		r.pass(time.Second)
		r.order(r.task(0, time.Hour))
		r.pass(3 * time.Second)
		for _, old := range []*pb.Order{{Epoch: 1, Index: 0}, {Epoch: 0, Index: 99}} {
			if err := r.engine.Order(old); !errors.Is(err, undo.ErrBehind) {
				t.Errorf("order %d/%d: %v, want ErrBehind", old.GetEpoch(), old.GetIndex(), err)
			}
		}
		r.wantDark(true)
		if err := r.engine.Order(&pb.Order{Epoch: 2, Index: 0}); err != nil {
			t.Errorf("an order of a later epoch: %v", err)
		}
	})
}

func TestOrderThatComesAfterTheEndStartsNothing(t *testing.T) {
	bubble(t, func(r *rig) {
		r.pass(time.Second)
		r.order(r.task(-time.Minute, 30*time.Second))
		r.pass(time.Second)
		r.want(refusedS, pb.RevertCause_REVERT_CAUSE_END)
		if r.kills() != 0 {
			t.Error("web was killed")
		}
	})
}

func TestLateOrderStartsAtOnceAndSaysSo(t *testing.T) {
	bubble(t, func(r *rig) {
		r.pass(time.Second)
		task := r.task(-10*time.Second, time.Minute)
		r.order(task)
		r.pass(time.Second)
		r.want(held, none)
		for _, m := range r.status().GetJournal() {
			if m.GetState() == held && m.GetActualUnixNanos()-m.GetPlannedUnixNanos() < int64(10*time.Second) {
				t.Errorf("late by %s, want 10s", time.Duration(m.GetActualUnixNanos()-m.GetPlannedUnixNanos()))
			}
		}
	})
}

// A run from a file begins together or not at all: a host that hears of the
// instant when it has passed stays ready for the next one.
func TestFiringThatComesTooLateIsNotObeyed(t *testing.T) {
	bubble(t, func(r *rig) {
		r.pass(time.Second)
		task := r.task(-10*time.Millisecond, time.Minute)
		task.ObeyUntilUnixNanos = task.GetStartUnixNanos()
		r.order(task)
		r.pass(2 * time.Second)
		r.want(ready, none)
		r.wantDark(false)
		again := r.task(time.Second, time.Minute)
		again.ObeyUntilUnixNanos = again.GetStartUnixNanos()
		r.order(again)
		r.pass(2 * time.Second)
		r.want(held, none)
		for _, m := range r.status().GetJournal() {
			if off := time.Duration(m.GetActualUnixNanos() - again.GetStartUnixNanos()); m.GetState() == held && off.Abs() > time.Millisecond {
				t.Errorf("held %s after the second instant", off)
			}
		}
		if r.status().GetOrder().GetIndex() == 0 {
			t.Error("the host does not say under which order it got ready")
		}
	})
}

func TestReturnWaitsForItsToken(t *testing.T) {
	bubble(t, func(r *rig) {
		r.pass(time.Second)
		task := r.task(0, 10*time.Second)
		task.NeedsToken, task.BootLimitNanos = true, int64(5*time.Second)
		r.order(task)
		r.pass(12 * time.Second)
		r.want(returning, none)
		r.wantDark(true)
		task = proto.CloneOf(task)
		task.Token = true
		r.order(task)
		r.want(reverted, pb.RevertCause_REVERT_CAUSE_END)
		r.wantDark(false)
		if !r.status().GetReadyAgain() {
			t.Error("the token is not given back")
		}
	})
}

func TestDeadlineEndsTheWaitForAToken(t *testing.T) {
	bubble(t, func(r *rig) {
		r.pass(time.Second)
		task := r.task(0, 10*time.Second)
		task.NeedsToken = true
		r.order(task)
		r.pass(29 * time.Second)
		r.want(returning, none)
		r.pass(2 * time.Second)
		r.want(reverted, pb.RevertCause_REVERT_CAUSE_DEADLINE)
	})
}

func TestFiredInstantsNeverMove(t *testing.T) {
	bubble(t, func(r *rig) {
		task := r.task(5*time.Second, time.Minute)
		r.order(task)
		moved := proto.CloneOf(task)
		moved.StartUnixNanos += int64(time.Hour)
		moved.EndUnixNanos += int64(time.Hour)
		r.order(moved)
		r.pass(6 * time.Second)
		r.want(held, none)
	})
}

func TestChangeThatFailsIsTakenBack(t *testing.T) {
	bubble(t, func(r *rig) {
		before := r.fake.String()
		r.fake.FailOp(2, errors.New("no such thing"))
		r.pass(time.Second)
		r.order(r.task(2*time.Second, time.Minute))
		r.pass(4 * time.Second)
		r.want(refusedS, none)
		if after := r.fake.String(); strip(after) != strip(before) {
			t.Errorf("before:\n%s\nafter:\n%s", before, after)
		}
	})
}

// strip drops the lines of a fake's text that tell the time.
func strip(text string) string {
	lines := strings.Split(text, "\n")
	return strings.Join(slices.DeleteFunc(lines, func(l string) bool {
		return strings.Contains(l, "boot") || strings.Contains(l, "lease")
	}), "\n")
}

func TestStepEndsWhileItIsBeingLookedAt(t *testing.T) {
	bubble(t, func(r *rig) {
		r.fake.HangEvidence()
		r.pass(time.Second)
		r.order(r.task(time.Second, 10*time.Second))
		r.pass(2 * time.Second)
		r.want(held, none)
		r.pass(9*time.Second + 20*time.Millisecond)
		r.want(reverted, pb.RevertCause_REVERT_CAUSE_END)
		r.wantDark(false)
	})
}

func TestLocalInjectAnswersWhenActive(t *testing.T) {
	bubble(t, func(r *rig) {
		r.pass(time.Second)
		task := &pb.Task{
			Run: "local", Step: "power.off", LeaseNanos: int64(10 * time.Second),
			Fault: &pb.Fault{Kind: &pb.Fault_PowerOff{PowerOff: &pb.PowerOff{}}},
		}
		status, err := r.engine.Inject(r.t.Context(), task, nil, 5*time.Second, time.Second)
		if err != nil || status.GetState() != held {
			t.Fatalf("inject: %v, %v", status, err)
		}
		r.wantDark(true)
		if _, err := r.engine.Inject(r.t.Context(), task, nil, time.Second, time.Second); !errors.Is(err, undo.ErrOnce) {
			t.Errorf("the same step again: %v, want ErrOnce", err)
		}
		r.order() // orders leave what is local alone
		r.wantDark(true)
		steps := r.engine.Undo(r.t.Context(), "local", pb.RevertCause_REVERT_CAUSE_LOCAL)
		shown := func(e *pb.Evidence) bool { return e.GetAfter() && e.GetHolds() }
		if len(steps) != 1 || !slices.ContainsFunc(steps[0].GetEvidence(), shown) {
			t.Errorf("undone, and shown to be clean: %v", steps)
		}
		r.want(reverted, pb.RevertCause_REVERT_CAUSE_LOCAL)
		r.wantDark(false)
	})
}

// A step whose start has passed when it is armed is armed and begins in one word:
// each word is a commit of its own.
func TestLateStepIsToldOnce(t *testing.T) {
	k := key{"run-1", "power.off"}
	scheduled := func(start time.Duration) *core {
		return &core{now: instant{boot: time.Minute}, steps: map[key]*step{
			k: {key: k, state: pb.StepState_STEP_STATE_SCHEDULED, start: start, status: &pb.StepStatus{}},
		}}
	}
	c := scheduled(time.Hour)
	if (&armedNews{k}).into(c); len(c.out) != 1 {
		t.Errorf("armed ahead: %v", c.out)
	}
	c = scheduled(time.Second)
	if (&armedNews{k}).into(c); len(c.out) != 0 || c.steps[k].armedAt != time.Minute {
		t.Errorf("armed late, at %s: %v", c.steps[k].armedAt, c.out)
	}
	c.steps[k].state = pb.StepState_STEP_STATE_HELD
	mark := &pb.Mark{Run: k.run, Step: k.step, State: pb.StepState_STEP_STATE_ARMED}
	if (&marked{mark: mark}).into(c); c.told {
		t.Error("it is told of as armed while the mark that it has begun is on its way")
	}
	mark.State = pb.StepState_STEP_STATE_HELD
	if (&marked{mark: mark}).into(c); !c.told {
		t.Error("nobody is told that it has begun")
	}
}
