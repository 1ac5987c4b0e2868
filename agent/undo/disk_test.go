package undo_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"squall/agent/undo"
	"squall/agent/undo/undotest"
	pb "squall/proto/squall/v1"
)

// onDisk runs a test with a runner on a disk in memory, and a mirror.
func onDisk(t *testing.T, test func(t *testing.T, b *bench, d *undotest.Disk)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d := undotest.NewDisk()
		b := newBenchOn(t, d, filepath.Join(t.TempDir(), "mirror"))
		defer d.Thaw()
		test(t, b, d)
	})
}

// atOnce fails when f takes simulated time: it has waited for something.
func atOnce(t *testing.T, what string, f func()) {
	t.Helper()
	began := time.Now()
	f()
	if took := time.Since(began); took > 0 {
		t.Errorf("%s took %s", what, took)
	}
}

func (b *bench) hold(t *testing.T, fault string) {
	t.Helper()
	b.host.Renew("squall", b.host.Boot()+time.Hour)
	if err := b.runner.Inject(t.Context(), b.intent(t, faults(t)[fault]), nil); err != nil {
		t.Fatal(err)
	}
}

func (b *bench) revert(t *testing.T, cause pb.RevertCause) {
	t.Helper()
	if m, _, err := b.runner.Revert(t.Context(), "r1", "dark.fault", cause); err != nil || len(m.GetResidue()) > 0 {
		t.Fatalf("revert: %v, %v", m, err)
	}
}

// die ends the process: its goroutines end where they next would write or act,
// and what hangs in the kernel goes on hanging.
func (b *bench) die() {
	b.dead.Store(true)
	b.last = nil
	b.host.Crash()
}

func TestLettingGoDoesNotWaitForAFrozenDisk(t *testing.T) {
	onDisk(t, func(t *testing.T, b *bench, d *undotest.Disk) {
		before := b.host.String()
		b.hold(t, "dns.fail")
		d.Freeze(nil)
		atOnce(t, "a halt", func() {
			if err := b.runner.Latch(&pb.HaltLatch{Id: "h", Engaged: true, Local: true}); err != nil {
				t.Error(err)
			}
		})
		atOnce(t, "a revert", func() { b.revert(t, pb.RevertCause_REVERT_CAUSE_HALT) })
		atOnce(t, "an order", func() {
			if err := b.runner.Accept(&pb.OrderMark{Epoch: 1, Index: 7}); err != nil {
				t.Error(err)
			}
		})
		if b.runner.Halted().GetId() != "h" || b.runner.Order().GetIndex() != 7 {
			t.Errorf("halt %v, order %v", b.runner.Halted(), b.runner.Order())
		}
		if after := b.host.String(); after != before {
			t.Errorf("the host reads\n%s\nand read\n%s", after, before)
		}
		if lacks, err := b.runner.Unrecorded(); len(lacks) < 3 || err != nil {
			t.Errorf("unrecorded: %v, %v", lacks, err)
		}
		d.Thaw()
		if err := b.runner.Recorded(t.Context()); err != nil {
			t.Error(err)
		}
		if lacks, err := b.runner.Unrecorded(); len(lacks) > 0 || err != nil {
			t.Errorf("unrecorded after the thaw: %v, %v", lacks, err)
		}
	})
}

func TestWhatAddsWaitsForTheDiskOrItsContext(t *testing.T) {
	onDisk(t, func(t *testing.T, b *bench, d *undotest.Disk) {
		before := b.host.String()
		d.Freeze(nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := b.runner.Inject(ctx, b.intent(t, faults(t)["dns.fail"]), nil); !errors.Is(err, undo.ErrDisk) {
			t.Errorf("inject on a frozen disk: %v", err)
		}
		if after := b.host.String(); after != before {
			t.Errorf("the host was changed:\n%s", after)
		}
	})
}

// Nobody waits for the dead: the supervisor's part is played while the worker's
// writer hangs in the kernel and holds the journal's disk.
func TestRevertFromTheMirrorAlone(t *testing.T) {
	onDisk(t, func(t *testing.T, b *bench, d *undotest.Disk) {
		before := b.host.String()
		b.hold(t, "power.off")
		d.Freeze(nil)
		_ = b.runner.Latch(&pb.HaltLatch{Id: "h", Engaged: true})
		synctest.Wait() // the writer hangs
		b.die()
		b.own = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		began := time.Now()
		b.open(t)
		if err := b.runner.Recover(t.Context(), pb.RevertCause_REVERT_CAUSE_CRASH); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("reverted after %s", took)
		}
		if after := b.host.String(); after != before {
			t.Errorf("the host reads\n%s\nand read\n%s", after, before)
		}
		if b.runner.Halted().GetId() != "h" {
			t.Error("the halt is forgotten")
		}
		err := b.runner.Inject(t.Context(), &pb.Intent{Run: "r2", Step: "s"}, nil)
		if !errors.Is(err, undo.ErrDisk) {
			t.Errorf("inject without the disk: %v", err)
		}
		b.afterThaw(t, d)
	})
}

// afterThaw checks that the next owner finds the same in the mirror and on disk.
func (b *bench) afterThaw(t *testing.T, d *undotest.Disk) {
	t.Helper()
	want := b.steps()
	_ = b.last.Close()
	b.last, b.own = nil, nil
	d.Thaw()
	b.open(t)
	if err := b.runner.Recorded(t.Context()); err != nil {
		t.Error(err)
	}
	if got := b.steps(); got != want {
		t.Errorf("with the disk back:\n%s\nwant\n%s", got, want)
	}
	b.mirror = ""
	b.open(t) // the disk alone
	if got := b.steps(); got != want {
		t.Errorf("on disk:\n%s\nwant\n%s", got, want)
	}
}

func (b *bench) steps() string {
	var all strings.Builder
	for _, s := range b.runner.Steps() {
		fmt.Fprintf(&all, "%s/%s %s %s\n", s.Run, s.Step, s.State, s.Cause)
	}
	fmt.Fprintf(&all, "halted %s", b.runner.Halted().GetId())
	return all.String()
}

// A write that fails refuses what adds, and nothing else.
func TestDiskErrorsRefuseOnlyWhatAdds(t *testing.T) {
	for _, broken := range []error{syscall.EIO, syscall.ENOSPC} {
		for _, kind := range []string{"write", "sync", "room"} {
			t.Run(fmt.Sprintf("%v at %s", broken, kind), func(t *testing.T) {
				onDisk(t, func(t *testing.T, b *bench, d *undotest.Disk) {
					b.hold(t, "dns.fail")
					d.Fail(func(o undotest.Op) error {
						if o.Kind == kind {
							return broken
						}
						return nil
					})
					refusesOnlyWhatAdds(t, b, d, broken)
				})
			})
		}
	}
}

func refusesOnlyWhatAdds(t *testing.T, b *bench, d *undotest.Disk, broken error) {
	t.Helper()
	err := b.runner.Inject(t.Context(), &pb.Intent{Run: "r2", Step: "refused"}, nil)
	if !errors.Is(err, broken) || strings.Contains(err.Error(), "\n") {
		t.Errorf("inject: %v", err)
	}
	if s, ok := b.runner.Step("r2", "refused"); !ok || s.State != pb.StepState_STEP_STATE_REFUSED {
		t.Errorf("the refused step is %v", s)
	}
	atOnce(t, "letting go", func() {
		_ = b.runner.Accept(&pb.OrderMark{Epoch: 1, Index: 1})
		_ = b.runner.Latch(&pb.HaltLatch{Id: "h", Engaged: true})
		b.revert(t, pb.RevertCause_REVERT_CAUSE_ORDER)
	})
	d.Fail(nil)
	if err := b.runner.Recorded(t.Context()); err != nil {
		t.Error(err)
	}
	want := b.steps()
	b.mirror = ""
	b.open(t)
	if got := b.steps(); got != want {
		t.Errorf("on disk:\n%s\nwant\n%s", got, want)
	}
	if b.runner.Damaged() {
		t.Errorf("damage: %v", b.runner.Damage())
	}
}

// One slot that can't be read or opened does not keep the other from being used.
func TestOneBadSlotDoesNotFailOpen(t *testing.T) {
	for _, slot := range []string{"journal.a", "journal.b"} {
		for _, kind := range []string{"open", "read", "write"} {
			t.Run(slot+" "+kind, func(t *testing.T) {
				onDisk(t, func(t *testing.T, b *bench, d *undotest.Disk) {
					before := b.host.String()
					b.hold(t, "dns.fail")
					b.mirror = "" // by the disk alone
					d.Fail(func(o undotest.Op) error {
						if o.Kind == kind && filepath.Base(o.Path) == slot {
							return syscall.EIO
						}
						return nil
					})
					b.host.Crash()
					b.open(t)
					if err := b.runner.Recover(t.Context(), pb.RevertCause_REVERT_CAUSE_CRASH); err != nil {
						t.Error(err)
					}
					if after := b.host.String(); after != before {
						t.Errorf("the host reads\n%s\nand read\n%s", after, before)
					}
					if _, known := b.runner.Step("r1", "dark.fault"); !known && !b.runner.Damaged() {
						t.Error("the step is lost, without a word")
					}
				})
			})
		}
	}
}

func TestNewJournalsNamesAreMadeDurable(t *testing.T) {
	onDisk(t, func(t *testing.T, b *bench, d *undotest.Disk) {
		synced := map[string]bool{}
		for _, o := range d.Ops() {
			if o.Kind == "syncfolder" {
				synced[o.Path] = true
			}
		}
		if !synced[b.dir] || !synced[filepath.Dir(b.dir)] {
			t.Errorf("synced folders: %v", synced)
		}
	})
}

// Power fails at each operation of the disk in one life of a fault. Afterwards
// there is no mirror: what was acknowledged is on disk.
func TestPowerCutAtEveryDiskOperation(t *testing.T) {
	for n := 1; ; n++ {
		cut := false
		onDisk(t, func(t *testing.T, b *bench, d *undotest.Disk) { cut = powerCutAt(t, b, d, n) })
		if !cut {
			if n < 6 {
				t.Fatalf("only %d operations", n)
			}
			return
		}
	}
}

func powerCutAt(t *testing.T, b *bench, d *undotest.Disk, n int) (cut bool) {
	synctest.Wait() // the journal's writer may still be opening it
	first := len(d.Ops())
	before := b.host.String()
	d.Fail(func(o undotest.Op) error {
		if cut = cut || o.N == first+n; cut {
			return syscall.EIO
		}
		return nil
	})
	injected := b.runner.Inject(t.Context(), b.intent(t, faults(t)["dns.fail"]), nil)
	if injected == nil {
		b.revert(t, pb.RevertCause_REVERT_CAUSE_END)
	}
	time.Sleep(time.Second) // the end of a step is on disk soon, not at once
	synctest.Wait()
	b.dead.Store(true)
	b.last, b.mirror = nil, ""
	d.Fail(nil)
	d.PowerCut()
	b.host.Crash()
	b.open(t)
	if err := b.runner.Recover(t.Context(), pb.RevertCause_REVERT_CAUSE_REBOOT); err != nil {
		t.Errorf("power cut at operation %d: %v", n, err)
	}
	if after := b.host.String(); after != before {
		t.Errorf("power cut at operation %d: the host reads\n%s", n, after)
	}
	if s, known := b.runner.Step("r1", "dark.fault"); injected == nil && (!known || s.Open()) {
		t.Errorf("power cut at operation %d: an acknowledged step is %v", n, s)
	}
	return cut
}

// A residue is tried again by every recovery, is named by each, and costs no
// room while it stays the same.
func TestResidueIsOpenWorkForEver(t *testing.T) {
	onDisk(t, func(t *testing.T, b *bench, _ *undotest.Disk) {
		before := b.host.String()
		b.hold(t, "dns.fail")
		stuck := errors.New("stuck")
		marks := 0
		for i := range 20 {
			b.host.FailOp(1, stuck)
			err := b.runner.Recover(t.Context(), pb.RevertCause_REVERT_CAUSE_HALT)
			if err == nil || !strings.Contains(err.Error(), "stuck") {
				t.Fatalf("recovery %d does not name the residue: %v", i, err)
			}
			s, _ := b.runner.Step("r1", "dark.fault")
			if marks = len(s.Marks); marks > 2 {
				t.Fatalf("%d marks after %d tries", marks, i+1)
			}
			b.open(t) // and none is too old for it
		}
		if left := b.runner.Residue(); len(left) != 1 {
			t.Errorf("residue: %v", left)
		}
		if err := b.runner.Recover(t.Context(), pb.RevertCause_REVERT_CAUSE_HALT); err != nil {
			t.Errorf("when nothing holds it any more: %v", err)
		}
		if after := b.host.String(); after != before || len(b.runner.Residue()) > 0 {
			t.Errorf("the host reads\n%s\nresidue %v", after, b.runner.Residue())
		}
	})
}

// A workload that does not start, as at a disk that hangs, keeps nobody dark.
func TestStartThatHangsKeepsNobodyDark(t *testing.T) {
	onDisk(t, func(t *testing.T, b *bench, _ *undotest.Disk) {
		b.hold(t, "power.off")
		b.host.HangOp(1) // of undos, the start is the first
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _, _ = b.runner.Revert(t.Context(), "r1", "dark.fault", pb.RevertCause_REVERT_CAUSE_HALT)
		}()
		time.Sleep(50 * time.Millisecond)
		if acting := b.host.Acting(); len(acting) > 0 {
			t.Errorf("50 ms after the halt: %v", acting)
		}
		<-done
	})
}

// An undo that hangs keeps no other step dark.
func TestRecoveryRevertsStepsBesideOneAnother(t *testing.T) {
	onDisk(t, func(t *testing.T, b *bench, _ *undotest.Disk) {
		b.hold(t, "dns.fail")
		other := b.intent(t, faults(t)["dns.fail"])
		other.Run, other.Task.Run = "r2", "r2"
		if err := b.runner.Inject(t.Context(), other, nil); err != nil {
			t.Fatal(err)
		}
		b.host.HangOp(1)
		done := make(chan error, 1)
		go func() { done <- b.runner.Recover(t.Context(), pb.RevertCause_REVERT_CAUSE_CRASH) }()
		time.Sleep(time.Second)
		open := 0
		for _, s := range b.runner.Steps() {
			if s.Open() {
				open++
			}
		}
		if open != 1 {
			t.Errorf("%d steps are open behind an undo that hangs, want 1", open)
		}
		if err := <-done; err == nil {
			t.Error("the undo that hung is not named")
		}
	})
}

// TestFullDiskIsToldOnce: a journal that has no room to begin with says so in one
// line, not once for each of its files and for each step of giving up.
func TestFullDiskIsToldOnce(t *testing.T) {
	d := undotest.NewDisk()
	d.Fail(func(o undotest.Op) error {
		if o.Kind == "write" {
			return syscall.ENOSPC
		}
		return nil
	})
	_, err := undo.Open("/journal", undo.Options{Disk: d, Size: 64 << 10})
	if want := "in /journal: two files of 64 KiB each: no space left on device"; err == nil || err.Error() != want || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("it says %v", err)
	}
}
