package undo_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"squall/agent/fault"
	"squall/agent/host/hosttest"
	"squall/agent/undo"
	kind "squall/experiments/fault"
	"squall/experiments/fault/faulttest"
	pb "squall/proto/squall/v1"
)

func config() *pb.HostConfig {
	return &pb.HostConfig{
		Name: "web-a1", Zone: "zone-a",
		Workloads: []*pb.Workload{
			{Name: "web", Start: []string{"/bin/web"}},
			{Name: "db", Start: []string{"/bin/db"}},
		},
	}
}

// faults is one step of each kind that this build can inject, on the host and
// on a workload where the kind can be narrowed to one.
func faults(t *testing.T) map[string]*pb.Task {
	t.Helper()
	tasks := map[string]*pb.Task{}
	for name, f := range faulttest.All(t) {
		tasks[name] = &pb.Task{Fault: f}
		if kind.ByName(name).Narrows["workload"] == kind.Narrowed {
			tasks[name+" of workload"] = &pb.Task{Fault: f, Workload: []string{"web"}}
		}
	}
	return tasks
}

type bench struct {
	host   *hosttest.Fake
	dir    string
	runner *undo.Runner
	// hook is called at each point; the journal's writer is a goroutine of its own.
	hook atomic.Pointer[func(string)]
	// dead is the process that has the journal open.
	dead *atomic.Bool
	// last is the journal in use; nil after a crash.
	last *undo.Journal
	// mirror is the path of the mirror; empty is none.
	mirror string
	disk   undo.Disk
	// own waits for the disk to be free; nil is at once.
	own func(context.Context) error
}

func newBench(t *testing.T) *bench {
	t.Helper()
	return newBenchOn(t, nil, "")
}

func newBenchOn(t *testing.T, disk undo.Disk, mirror string) *bench {
	t.Helper()
	b := &bench{host: hosttest.NewFake(config()), dir: t.TempDir(), disk: disk, mirror: mirror}
	b.host.Renew("squall", b.host.Boot()+time.Hour)
	b.open(t)
	return b
}

// owner is undo.Options.Own.
func (b *bench) owner() func(context.Context) (io.Closer, error) {
	own := b.own
	return func(ctx context.Context) (io.Closer, error) {
		if own == nil {
			return io.NopCloser(nil), nil
		}
		return io.NopCloser(nil), own(ctx)
	}
}

// open is an agent's start on what an earlier one left.
func (b *bench) open(t *testing.T) {
	t.Helper()
	if b.last != nil {
		if err := b.last.Close(); err != nil {
			t.Error(err)
		}
	}
	dead := new(atomic.Bool)
	b.dead = dead
	hook := func(p string) {
		if dead.Load() {
			runtime.Goexit()
		}
		if hook := b.hook.Load(); hook != nil {
			(*hook)(p)
		}
	}
	j, err := undo.Open(b.dir, undo.Options{
		BootID: "boot", Size: 512 << 10, Hook: hook, Mirror: b.mirror, Disk: b.disk, Own: b.owner(),
		Sync: func(*os.File) error { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	b.last = j
	b.runner = undo.NewRunner(b.host, j, slog.New(slog.DiscardHandler))
}

func (b *bench) intent(t *testing.T, task *pb.Task) *pb.Intent {
	t.Helper()
	facts, err := b.host.Facts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	task.Run, task.Step = "r1", "dark.fault"
	now := b.host.Boot()
	s := &fault.Step{Task: task, Start: now, End: now + time.Minute, Deadline: now + 2*time.Minute}
	changes, err := fault.Plan(facts, s)
	if err != nil {
		t.Fatal(err)
	}
	return &pb.Intent{
		Run: task.GetRun(), Step: task.GetStep(), Changes: changes, Task: task,
		StartBootNanos: int64(s.Start), EndBootNanos: int64(s.End), DeadlineBootNanos: int64(s.Deadline),
	}
}

// crashAt lets the process die at the nth point that it passes: its goroutines
// end where they next would write or act.
func (b *bench) crashAt(n int64) (passed *atomic.Int64) {
	passed = new(atomic.Int64)
	die := func(string) {
		if passed.Add(1) >= n {
			runtime.Goexit()
		}
	}
	b.hook.Store(&die)
	return passed
}

// survive runs f in a process that may die, and says whether it did.
func survive(f func()) (crashed bool) {
	crashed = true
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
		crashed = false
	}()
	<-done
	return crashed
}

// The promise of the whole house: whatever the fault, and wherever the agent
// dies on the way in or out, recovery leaves the host as it was.
func TestRecoveryAfterACrashAnywhereLeavesTheHostAsItWas(t *testing.T) {
	for name, task := range faults(t) {
		for _, mirrored := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, mirror %t", name, mirrored), func(t *testing.T) {
				for n := int64(1); ; n++ {
					done := false
					synctest.Test(t, func(t *testing.T) { done = crashOnce(t, task, n, mirrored) })
					if !done {
						continue
					}
					if n < 6 {
						t.Fatalf("only %d points to crash at", n)
					}
					return
				}
			})
		}
	}
}

func crashOnce(t *testing.T, task *pb.Task, n int64, mirrored bool) (done bool) {
	b := newBench(t)
	if mirrored {
		b.mirror = filepath.Join(t.TempDir(), "mirror")
		b.open(t)
	}
	before := b.host.String()
	in := b.intent(t, task)
	b.host.Renew("squall", b.host.Boot()+time.Hour)
	passed := b.crashAt(n)
	life := func() {
		ctx := context.WithoutCancel(t.Context())
		err := b.runner.Schedule(ctx, &pb.ScheduleRecord{Task: in.GetTask()})
		if err == nil {
			err = b.runner.Inject(ctx, in, nil)
		}
		_, _, reverted := b.runner.Revert(ctx, "r1", "dark.fault", pb.RevertCause_REVERT_CAUSE_END)
		if err = errors.Join(err, reverted, b.runner.Recorded(ctx)); err != nil && passed.Load() < n {
			t.Error(err)
		}
	}
	if !survive(life) && passed.Load() < n {
		return true
	}
	b.hook.Store(nil)
	b.last = nil
	b.host.Crash()
	b.open(t)
	if err := b.runner.Recover(t.Context(), pb.RevertCause_REVERT_CAUSE_CRASH); err != nil {
		t.Errorf("crash at point %d: recover: %v", n, err)
	}
	if after := b.host.String(); after != before {
		t.Errorf("crash at point %d: the host reads\n%s\nand read\n%s", n, after, before)
	}
	if s, ok := b.runner.Step("r1", "dark.fault"); ok && s.Open() {
		t.Errorf("crash at point %d: the step is still %s", n, s.State)
	}
	return false
}

// A change that fails half-way takes the whole step back.
func TestFailedInjectionTakesItselfBack(t *testing.T) {
	for name, task := range faults(t) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				probe := newBench(t)
				for n := range len(probe.intent(t, task).GetChanges()) {
					b := newBench(t)
					before, boom := b.host.String(), errors.New("boom")
					in := b.intent(t, task)
					b.host.FailOp(n+1, boom)
					err := b.runner.Inject(t.Context(), in, nil)
					if err == nil {
						continue // an operation that does nothing can't fail
					}
					if !errors.Is(err, boom) {
						t.Errorf("operation %d: %v", n+1, err)
					}
					if after := b.host.String(); after != before {
						t.Errorf("operation %d failed: the host reads\n%s\nand read\n%s", n+1, after, before)
					}
					if s, _ := b.runner.Step("r1", "dark.fault"); s.State != pb.StepState_STEP_STATE_REFUSED {
						t.Errorf("operation %d failed: the step is %s", n+1, s.State)
					}
				}
			})
		})
	}
}

func TestStepIsInjectedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		in := b.intent(t, faults(t)["dns.fail"])
		if err := b.runner.Inject(t.Context(), in, nil); err != nil {
			t.Fatal(err)
		}
		if err := b.runner.Inject(t.Context(), in, nil); !errors.Is(err, undo.ErrOnce) {
			t.Errorf("second injection: %v", err)
		}
		if _, _, err := b.runner.Revert(t.Context(), "r1", "dark.fault", pb.RevertCause_REVERT_CAUSE_HALT); err != nil {
			t.Fatal(err)
		}
		b.open(t)
		if err := b.runner.Inject(t.Context(), in, nil); !errors.Is(err, undo.ErrOnce) {
			t.Errorf("injection after the revert and a restart: %v", err)
		}
	})
}

// An undo that fails does not keep the others from running, and is named.
func TestRevertGoesOnPastErrorsAndNamesWhatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		if err := b.runner.Inject(t.Context(), b.intent(t, faults(t)["power.off"]), nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		b.host.FailOp(2, errors.New("stuck"))
		m, _, err := b.runner.Revert(t.Context(), "r1", "dark.fault", pb.RevertCause_REVERT_CAUSE_END)
		if err != nil {
			t.Fatal(err)
		}
		if len(m.GetResidue()) == 0 {
			t.Error("a failed undo left no residue in the mark")
		}
		again, _, err := b.runner.Revert(t.Context(), "r1", "dark.fault", pb.RevertCause_REVERT_CAUSE_LOCAL)
		if err != nil || len(again.GetResidue()) != 0 {
			t.Errorf("a second revert left %v, %v", again.GetResidue(), err)
		}
		if again.GetCause() != pb.RevertCause_REVERT_CAUSE_END {
			t.Errorf("the second revert changed the cause to %s", again.GetCause())
		}
	})
}

// A silence that the kernel doesn't take off keeps no workload from being
// started; it is residue, and the next attempt finds it.
func TestHangingUndoDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		if err := b.runner.Inject(t.Context(), b.intent(t, faults(t)["power.off"]), nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		b.host.HangOp(2)
		began := time.Now()
		go func() {
			time.Sleep(3 * time.Second)
			if !b.host.Runs("web") || !b.host.Runs("db") {
				t.Error("after 3 seconds they are still down")
			}
		}()
		m, _, err := b.runner.Revert(t.Context(), "r1", "dark.fault", pb.RevertCause_REVERT_CAUSE_END)
		if err != nil || len(m.GetResidue()) == 0 {
			t.Errorf("it left %v, %v", m.GetResidue(), err)
		}
		if took := time.Since(began); took > 25*time.Second {
			t.Errorf("it took %s", took)
		}
		if m, _, err = b.runner.Revert(t.Context(), "r1", "dark.fault", pb.RevertCause_REVERT_CAUSE_LOCAL); err != nil || len(m.GetResidue()) != 0 {
			t.Errorf("a second revert left %v, %v", m.GetResidue(), err)
		}
	})
}

func TestRevertIsLegalWhenNothingWasDone(t *testing.T) {
	b := newBench(t)
	m, _, err := b.runner.Revert(t.Context(), "r9", "unheard.of", pb.RevertCause_REVERT_CAUSE_HALT)
	if err != nil || m.GetState() != pb.StepState_STEP_STATE_REVERTED {
		t.Errorf("revert of an unknown step: %v, %v", m, err)
	}
}

// A revert does not wait for an injection that hangs.
func TestRevertInterruptsAHangingInjection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		before := b.host.String()
		in := b.intent(t, faults(t)["dns.fail"])
		b.host.HangOp(1)
		failed := make(chan error, 1)
		go func() { failed <- b.runner.Inject(context.WithoutCancel(t.Context()), in, nil) }()
		synctest.Wait()
		begun := time.Now()
		if _, _, err := b.runner.Revert(t.Context(), "r1", "dark.fault", pb.RevertCause_REVERT_CAUSE_HALT); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took > time.Second {
			t.Errorf("the revert waited %s", took)
		}
		if err := <-failed; !errors.Is(err, context.Canceled) {
			t.Errorf("the injection ended with %v", err)
		}
		if after := b.host.String(); after != before {
			t.Errorf("the host reads\n%s\nand read\n%s", after, before)
		}
	})
}

func TestOrdersOfBeforeAreRefused(t *testing.T) {
	b := newBench(t)
	for i, c := range []struct {
		epoch, index uint64
		refused      bool
	}{{1, 5, false}, {1, 5, false}, {1, 4, true}, {2, 1, false}, {1, 9, true}} {
		err := b.runner.Accept(&pb.OrderMark{Epoch: c.epoch, Index: c.index})
		if errors.Is(err, undo.ErrBehind) != c.refused {
			t.Errorf("order %d, %d.%d: %v", i, c.epoch, c.index, err)
		}
	}
	b.open(t)
	if o := b.runner.Order(); o.GetEpoch() != 2 || o.GetIndex() != 1 {
		t.Errorf("after a restart the order held is %v", o)
	}
}

func TestLocalHaltIsLiftedOnlyLocally(t *testing.T) {
	b := newBench(t)
	latch := func(id string, engaged, local bool) {
		t.Helper()
		if err := b.runner.Latch(&pb.HaltLatch{Id: id, Engaged: engaged, Local: local}); err != nil {
			t.Fatal(err)
		}
	}
	latch("h1", true, true)
	latch("h2", true, false)
	latch("h2", false, false)
	b.open(t)
	if h := b.runner.Halted(); h.GetId() != "h1" {
		t.Errorf("after a remote resume the latch is %v", h)
	}
	latch("h1", false, true)
	if h := b.runner.Halted(); h != nil {
		t.Errorf("after a local resume the latch is %v", h)
	}
}

func BenchmarkIntent(b *testing.B) {
	j, err := undo.Open(b.TempDir(), undo.Options{BootID: "boot"})
	if err != nil {
		b.Fatal(err)
	}
	defer j.Close()
	r := undo.NewRunner(hosttest.NewFake(config()), j, slog.New(slog.DiscardHandler))
	i := 0
	for b.Loop() {
		i++
		step := fmt.Sprint(i)
		if err := r.Inject(b.Context(), &pb.Intent{Run: "r", Step: step}, nil); err != nil {
			b.Fatal(err)
		}
		if _, _, err := r.Revert(b.Context(), "r", step, pb.RevertCause_REVERT_CAUSE_END); err != nil {
			b.Fatal(err)
		}
		if err := r.Forget("r", step); err != nil {
			b.Fatal(err)
		}
	}
}
