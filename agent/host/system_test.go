package host_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

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
	env := []string{roleEnv + "=start", baseEnv + "=" + hosttest.NewCgroup(t)}
	c, err := host.StartSelf(t.Context(), nil, host.ChildOptions{Env: env, Stderr: w, Urgent: true})
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	said := make([]byte, 1<<10)
	n, err := r.Read(said)
	const want = "ours -20 theirs map[0:true] <nil>\n"
	if got := string(said[:n]); got != want {
		t.Errorf("got %q, want %q (%v)", got, want, err)
	}
}

func TestRealtimeThreadSleepsToTheInstant(t *testing.T) {
	at := host.BootTime() + 5*time.Millisecond
	host.RealtimeThread(host.OnTime, func(error) {
		if err := host.SleepUntil(at); err != nil {
			t.Error(err)
		}
	})
	if now := host.BootTime(); now < at {
		t.Errorf("woke %s early", at-now)
	}
}

func TestBootIDNamesABoot(t *testing.T) {
	if id, err := host.BootID(); err != nil || len(id) != 36 {
		t.Errorf("%q, %v", id, err)
	}
}
