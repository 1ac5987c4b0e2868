package step

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
)

var errDisk = errors.New("input/output error")

// hold lets a step be held.
func (r *rig) hold() *pb.Task {
	r.t.Helper()
	r.pass(time.Second)
	task := r.task(0, time.Hour)
	r.order(task)
	r.pass(3 * time.Second)
	r.wantDark(true)
	return task
}

// tell sends an order whose error is of no interest.
func (r *rig) tell(o *pb.Order) {
	r.index++
	o.Epoch, o.Index = 1, r.index
	_ = r.engine.Order(o)
	synctest.Wait()
}

// What takes away needs no disk: an order that can't be written aborts and
// halts all the same, and adds nothing.
func TestOrderThatCantBeWrittenTakesAway(t *testing.T) {
	for name, order := range map[string]*pb.Order{
		"abort": {},
		"halt":  {Halt: &pb.HaltLatch{Id: "h1", Engaged: true}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(r *rig) {
				order := proto.CloneOf(order)
				if task := r.hold(); order.GetHalt() != nil {
					order.Tasks = append(order.Tasks, task)
				}
				r.disk.fails(errDisk)
				added := r.task(0, time.Hour)
				added.Run = "run-2"
				order.Tasks = append(order.Tasks, added)
				r.tell(order)
				r.pass(time.Second)
				r.wantDark(false)
				r.disk.fails(nil)
				r.pass(10 * time.Second)
				r.wantDark(false)
				for _, s := range r.engine.Statuses() {
					if s.GetRun() == "run-2" && s.GetState() != refusedS {
						t.Errorf("what it added: %v", s)
					}
				}
			})
		})
	}
}

// Residue is open work for ever, and at once when somebody asks.
func TestResidueIsTriedUntilItIsGone(t *testing.T) {
	const undos = 4 // operations of one try
	bubble(t, func(r *rig) {
		r.hold()
		for i := range 9 * undos {
			r.fake.FailOp(i+1, errors.New("busy"))
		}
		r.order()
		r.pass(time.Minute)
		if left := r.status().GetResidue(); len(left) == 0 {
			t.Fatal("nothing is left, though no undo worked")
		}
		r.pass(10 * time.Minute)
		if left := r.status().GetResidue(); len(left) > 0 {
			t.Errorf("left after ten minutes: %v", left)
		}
		r.wantDark(false)
	})
}

func TestResidueIsTriedAtOnce(t *testing.T) {
	const undos = 4
	for name, ask := range map[string]func(*rig){
		"undo":      func(r *rig) { r.engine.Undo(r.t.Context(), "", pb.RevertCause_REVERT_CAUSE_LOCAL) },
		"halt":      func(r *rig) { _ = r.engine.Halt(&pb.HaltLatch{Id: "h", Engaged: true}) },
		"reconnect": func(r *rig) { r.engine.Retry() },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(r *rig) {
				r.hold()
				for i := range 7 * undos { // at 0, 2, 6, 14, 30, 62 and 122 s
					r.fake.FailOp(i+1, errors.New("busy"))
				}
				r.order()
				r.pass(130 * time.Second)
				if left := r.status().GetResidue(); len(left) == 0 {
					t.Fatal("nothing is left, though no undo worked")
				}
				ask(r)
				synctest.Wait()
				if left := r.status().GetResidue(); len(left) > 0 {
					t.Errorf("left: %v", left)
				}
			})
		})
	}
}

// A refusal that was told is on disk: the step is not taken up after a restart,
// when the reason for it has gone.
func TestRefusedUnderAHaltIsNeverInjected(t *testing.T) {
	bubble(t, func(r *rig) {
		r.pass(time.Second)
		if err := r.engine.Halt(&pb.HaltLatch{Id: "h1", Engaged: true}); err != nil {
			t.Fatal(err)
		}
		task := r.task(time.Second, time.Hour)
		r.order(task)
		r.want(refusedS, none)
		r.end()
		r.begin()
		r.orderWith(&pb.HaltLatch{Id: "h9", Also: []string{"h1"}})
		r.order(task)
		r.pass(30 * time.Second)
		r.want(refusedS, none)
		if r.kills() != 0 {
			t.Error("it was injected")
		}
	})
}

// A lever that can't be written is engaged all the same, and says so.
func TestHaltIsEngagedBeforeItIsRecorded(t *testing.T) {
	bubble(t, func(r *rig) {
		r.hold()
		r.disk.fails(errDisk)
		_ = r.engine.Halt(&pb.HaltLatch{Id: "h1", Engaged: true, Local: true})
		synctest.Wait()
		if h := r.engine.Halted(); !h.GetEngaged() || !h.GetUnrecorded() {
			t.Fatalf("halted: %v, want engaged and not recorded", h)
		}
		r.disk.fails(nil)
		second := r.task(0, time.Minute)
		second.Run = "run-2"
		r.order(second)
		r.pass(time.Second)
		r.wantDark(false)
	})
}

// What is undone has no deadline any more, whether or not the disk knows it.
func TestRevertThatCantBeRecordedLeavesNoDeadline(t *testing.T) {
	bubble(t, func(r *rig) {
		r.hold()
		if r.engine.NextDeadline() == 0 {
			t.Fatal("held without a deadline")
		}
		r.disk.fails(errDisk)
		r.engine.Undo(r.t.Context(), "", pb.RevertCause_REVERT_CAUSE_LOCAL)
		r.wantDark(false)
		r.want(reverted, pb.RevertCause_REVERT_CAUSE_LOCAL)
		if at := r.engine.NextDeadline(); at != 0 {
			t.Errorf("reverted, and its deadline %s stands", at)
		}
		r.disk.fails(nil)
		r.pass(5 * time.Second)
		r.end()
		r.begin()
		r.want(reverted, pb.RevertCause_REVERT_CAUSE_LOCAL) // recorded late, not by a recovery
	})
}

// A workload that never gets ready again is a failure with a name, and its boot
// token is not given back before it is ready.
func TestWorkloadThatNeverGetsReadyIsNamed(t *testing.T) {
	bubble(t, func(r *rig) {
		r.pass(time.Second)
		task := r.task(0, 10*time.Second)
		task.BootLimitNanos = int64(5 * time.Second)
		r.order(task)
		r.pass(3 * time.Second)
		r.fake.FailReady("web", errors.New("connection refused"))
		r.pass(10 * time.Second)
		r.want(reverted, pb.RevertCause_REVERT_CAUSE_END)
		if s := r.status(); s.GetReadyAgain() || len(s.GetRecoveryFailures()) > 0 {
			t.Errorf("before the limit: %v", s)
		}
		r.pass(5 * time.Second)
		s := r.status()
		if f := s.GetRecoveryFailures(); s.GetReadyAgain() || len(f) != 1 || f[0].GetWorkload() != "web" ||
			f[0].GetWhy() != "connection refused" || len(f[0].GetLog()) == 0 {
			t.Errorf("after the limit: %v", s)
		}
	})
}

func TestTokenReturnsWhenTheWorkloadIsReady(t *testing.T) {
	bubble(t, func(r *rig) {
		r.pass(time.Second)
		task := r.task(0, 10*time.Second)
		task.BootLimitNanos = int64(time.Minute)
		r.order(task)
		r.fake.FailReady("web", errors.New("starting"))
		r.pass(15 * time.Second)
		r.want(reverted, pb.RevertCause_REVERT_CAUSE_END)
		if r.status().GetReadyAgain() {
			t.Error("ready as soon as its processes run")
		}
		r.fake.FailReady("web", nil)
		r.pass(time.Second)
		if s := r.status(); !s.GetReadyAgain() || s.GetReadyUnixNanos() == 0 {
			t.Errorf("not ready again: %v", s)
		}
	})
}

// A disk that hangs keeps nothing from ending, and nobody who asks waiting.
func TestEverythingEndsWhileTheDiskHangs(t *testing.T) {
	for name, end := range map[string]func(*rig){
		"order": func(r *rig) { r.tell(&pb.Order{}) },
		"halt":  func(r *rig) { _ = r.engine.Halt(&pb.HaltLatch{Id: "h", Engaged: true}) },
		"undo":  func(r *rig) { r.engine.Undo(r.t.Context(), "", pb.RevertCause_REVERT_CAUSE_LOCAL) },
		"lease": func(r *rig) { r.silent(DefaultLease) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(r *rig) {
				r.hold()
				defer r.disk.hangs()()
				began := time.Now()
				end(r)
				synctest.Wait()
				r.wantDark(false)
				if at := r.engine.NextDeadline(); at != 0 {
					t.Errorf("its deadline %s stands", at)
				}
				if took := time.Since(began); took > DefaultLease {
					t.Errorf("it took %s", took)
				}
				added := r.task(0, time.Minute)
				added.Run = "run-2"
				r.tell(&pb.Order{Tasks: []*pb.Task{added}})
				r.pass(30 * time.Second)
				r.wantDark(false)
			})
		})
	}
}

// A step that had not begun is nobody's after a restart, until an order that
// comes then lists it.
func TestStepThatHadNotBegunNeedsANewOrder(t *testing.T) {
	for name, again := range map[string]bool{"no order": false, "a new order": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(r *rig) {
				r.pass(time.Second)
				task := r.task(30*time.Second, time.Minute)
				r.order(task)
				r.pass(time.Second)
				r.want(scheduled, none)
				r.end()
				r.begin()
				if all := r.engine.Statuses(); len(all) != 0 {
					t.Errorf("after the restart: %v", all)
				}
				if again {
					r.order(task)
				}
				r.pass(40 * time.Second)
				r.wantDark(again)
			})
		})
	}
}

// One halt that another has followed is not told as on disk while neither is.
func TestHaltThatAnotherFollowedIsNotRecordedEither(t *testing.T) {
	bubble(t, func(r *rig) {
		defer r.disk.hangs()()
		first := &pb.HaltLatch{Id: "first", Engaged: true, Local: true}
		second := &pb.HaltLatch{Id: "second", Engaged: true, Local: true}
		if err := errors.Join(r.engine.Halt(first), r.engine.Halt(second)); err != nil {
			t.Fatal(err)
		}
		for _, h := range []*pb.HaltLatch{first, second} {
			if told := r.engine.Recorded(context.Background(), h, time.Second); !told.GetUnrecorded() || told.GetId() != h.GetId() {
				t.Errorf("%s is told as %v, and the disk hangs", h.GetId(), told)
			}
		}
	})
}
