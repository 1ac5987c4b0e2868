package step

import (
	"testing"
	"testing/synctest"
	"time"

	pb "squall/proto/squall/v1"
)

func TestHaltRevertsAndIsLatched(t *testing.T) {
	bubble(t, func(r *rig) {
		r.pass(time.Second)
		r.order(r.task(0, time.Minute))
		r.pass(3 * time.Second)
		r.wantDark(true)
		if err := r.engine.Halt(&pb.HaltLatch{Id: "h1", Engaged: true, Reason: "stop"}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		r.want(reverted, pb.RevertCause_REVERT_CAUSE_HALT)
		r.wantDark(false)

		r.end()
		r.begin() // a restart does not forget it
		second := r.task(0, time.Minute)
		second.Run = "run-2"
		r.order(second)
		if s := r.engine.Statuses()[1]; s.GetRefused().GetRefusal() != pb.Refusal_REFUSAL_HALTED {
			t.Fatalf("halted host took a step: %v", s)
		}
		r.orderWith(&pb.HaltLatch{Id: "another"})
		if r.engine.Halted() == nil {
			t.Fatal("a resume of another halt let go of this one")
		}
		r.orderWith(&pb.HaltLatch{Id: "h9", Also: []string{"h1"}})
		if h := r.engine.Halted(); h != nil {
			t.Fatalf("still halted: %v", h)
		}
	})
}

// orderWith sends an order that tells of the lever.
func (r *rig) orderWith(h *pb.HaltLatch) {
	r.t.Helper()
	r.index++
	if err := r.engine.Order(&pb.Order{Epoch: 1, Index: r.index, Halt: h}); err != nil {
		r.t.Fatal(err)
	}
	synctest.Wait()
}

func TestLocalHaltIsLiftedOnlyLocally(t *testing.T) {
	bubble(t, func(r *rig) {
		if err := r.engine.Halt(&pb.HaltLatch{Id: "mine", Engaged: true, Local: true}); err != nil {
			t.Fatal(err)
		}
		r.orderWith(&pb.HaltLatch{Id: "theirs", Engaged: true})
		r.orderWith(&pb.HaltLatch{Id: "theirs", Also: []string{"mine"}})
		if h := r.engine.Halted(); h.GetId() != "mine" {
			t.Fatalf("halted: %v, want the local latch", h)
		}
		if err := r.engine.Resume(); err != nil {
			t.Fatal(err)
		}
		if h := r.engine.Halted(); h != nil {
			t.Fatalf("still halted: %v", h)
		}
	})
}

func TestHaltCutsAnInjectionOffThatHangs(t *testing.T) {
	bubble(t, func(r *rig) {
		r.fake.HangOp(2)
		r.pass(time.Second)
		r.order(r.task(0, time.Minute))
		r.pass(time.Second)
		if err := r.engine.Halt(&pb.HaltLatch{Id: "h", Engaged: true}); err != nil {
			t.Fatal(err)
		}
		r.pass(time.Second)
		r.want(reverted, pb.RevertCause_REVERT_CAUSE_HALT)
		r.wantDark(false)
	})
}

// haltBehindALocalOne has servers and somebody on the host halt it, and the
// engine begin anew with both.
func (r *rig) haltBehindALocalOne() {
	r.t.Helper()
	r.orderWith(&pb.HaltLatch{Id: "theirs", Engaged: true})
	if err := r.engine.Halt(&pb.HaltLatch{Id: "mine", Engaged: true, Local: true}); err != nil {
		r.t.Fatal(err)
	}
	synctest.Wait()
	r.end()
	r.begin()
}

// What servers lift while a local halt hides theirs is lifted: the host is not
// left halted by what nobody holds any more.
func TestHaltBehindALocalOneIsLifted(t *testing.T) {
	bubble(t, func(r *rig) {
		r.haltBehindALocalOne()
		r.orderWith(&pb.HaltLatch{Id: "theirs"})
		if h := r.engine.Halted(); h.GetId() != "mine" {
			t.Fatalf("halted: %v, want the local latch", h)
		}
		if err := r.engine.Resume(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if h := r.engine.Halted(); h != nil {
			t.Errorf("everybody resumed, and the host is halted by %v", h)
		}
	})
}

// A halt that stands behind a local one holds from the moment that is lifted,
// whether or not the disk answers.
func TestHaltBehindALocalOneHoldsAtOnce(t *testing.T) {
	bubble(t, func(r *rig) {
		r.haltBehindALocalOne()
		defer r.disk.hangs()()
		if err := r.engine.Resume(); err != nil {
			t.Fatal(err)
		}
		if h := r.engine.Halted(); h.GetId() != "theirs" {
			t.Errorf("halted: %v, want what servers told", h)
		}
	})
}
