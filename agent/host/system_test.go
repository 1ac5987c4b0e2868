package host_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"squall/agent/host"
	"squall/agent/host/hosttest"
)

func TestPreallocatedFileHasItsLength(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "journal"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("kept"); err != nil {
		t.Fatal(err)
	}
	if err := host.Preallocate(f, 1<<20); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(f.Name())
	if err != nil || len(b) != 1<<20 || string(b[:4]) != "kept" {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	if err := errors.Join(host.Datasync(f), host.SyncDir(filepath.Dir(f.Name()))); err != nil {
		t.Error(err)
	}
}

func TestChildOutlivesItsStartAndIsReaped(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c, err := host.StartSelf(ctx, nil, host.ChildOptions{Env: []string{roleEnv + "=sleep"}, Session: true, DieWithParent: true})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	defer c.Close()
	short, stop := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer stop()
	if err := c.Wait(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("the child ended with its start: %v", err)
	}
	if c.Dead() {
		t.Error("a living child is called dead")
	}
	if err := c.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(t.Context()); err == nil {
		t.Error("a killed child has no error")
	}
	if !c.Dead() || c.Kill() != nil {
		t.Error("a dead child can't be killed again")
	}
}

func TestProcessorOfAProcess(t *testing.T) {
	for _, c := range []struct {
		script string
		wants  bool
	}{{"while :; do :; done", true}, {"kill -STOP $$", false}, {"exec sleep 60", false}} {
		cmd := exec.Command("sh", "-c", c.script)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
		p, err := host.OpenPidfd(cmd.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		eventually(t, c.script, func() bool {
			wants, had := p.Processor()
			return wants == c.wants && (had > 20*time.Millisecond) == c.wants
		})
	}
}

func TestUrgentChildStartsOrdinaryWorkloads(t *testing.T) {
	hosttest.RequireRoot(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	in, begin, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	env := []string{roleEnv + "=start", baseEnv + "=" + hosttest.NewCgroup(t)}
	c, err := host.StartSelf(t.Context(), nil, host.ChildOptions{Env: env, In: in, Stderr: w, Session: true, Urgent: true})
	if err := errors.Join(err, w.Close(), in.Close(), begin.Close()); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	said := make([]byte, 1<<10)
	n, err := r.Read(said)
	want := "ours -20 in -20 theirs map[0 in 0:true] <nil>\n"
	if _, missing := os.Stat("/proc/self/autogroup"); missing != nil {
		want = "ours -20 in none theirs map[0 in none:true] <nil>\n"
	}
	if got := string(said[:n]); got != want {
		t.Errorf("got %q, want %q (%v)", got, want, err)
	}
}

func TestRealtimeThreadSleepsToTheInstant(t *testing.T) {
	at := host.BootTime() + 5*time.Millisecond
	host.RealtimeThread(func(error) {
		if err := host.SleepUntil(at); err != nil {
			t.Error(err)
		}
	})
	if now := host.BootTime(); now < at {
		t.Errorf("woke %s early", at-now)
	}
}

// TestCollectorDoesNotStopRealTime: on one processor, with garbage all around.
// A thread that waits for the collector there waits for what it keeps from
// running, and spins for up to a second.
func TestCollectorDoesNotStopRealTime(t *testing.T) {
	hosttest.RequireRoot(t)
	onOneProcessor(t)
	defer debug.SetGCPercent(debug.SetGCPercent(5)) // it has much to do
	done := make(chan struct{})
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() { litter(done) })
	}
	for range 10 {
		host.RealtimeThread(func(denied error) {
			if denied != nil {
				t.Error(denied)
			}
			for range 400 {
				_ = host.SleepUntil(host.BootTime() + 200*time.Microsecond)
			}
			var used unix.Rusage
			err := unix.Getrusage(unix.RUSAGE_THREAD, &used)
			if ran := time.Duration(used.Utime.Nano() + used.Stime.Nano()); err != nil || ran > 250*time.Millisecond {
				t.Errorf("ran for %s to sleep 400 times, %v", ran, err)
			}
		})
	}
	close(done)
	all.Wait()
}

// litter makes garbage until done, in a tenth of a second less than may lie
// about while a real-time thread lives.
func litter(done <-chan struct{}) {
	for heap := make([][]byte, 64); ; {
		for i := range heap {
			heap[i] = make([]byte, 8<<10)
		}
		select {
		case <-done:
			return
		case <-time.After(50 * time.Microsecond):
		}
	}
}

// onOneProcessor binds every thread of the test to one processor, until it ends.
func onOneProcessor(t *testing.T) {
	t.Helper()
	var usual, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &usual); err != nil {
		t.Fatal(err)
	}
	for cpu := 0; one.Count() == 0; cpu++ {
		if usual.IsSet(cpu) {
			one.Set(cpu)
		}
	}
	bind := func(set *unix.CPUSet) {
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range threads {
			tid, err := strconv.Atoi(e.Name())
			if err != nil {
				t.Fatal(err)
			}
			if err := unix.SchedSetaffinity(tid, set); err != nil && !errors.Is(err, unix.ESRCH) {
				t.Fatal(err)
			}
		}
	}
	t.Cleanup(func() { bind(&usual) })
	bind(&one)
}

func TestBootIDNamesABoot(t *testing.T) {
	if id, err := host.BootID(); err != nil || len(id) != 36 {
		t.Errorf("%q, %v", id, err)
	}
}
