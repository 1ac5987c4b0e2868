package host_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"squall/agent/host"
	"squall/agent/host/hosttest"
	pb "squall/proto/squall/v1"
)

// TestCoarseTimersAreOurOwn holds that every thread's slack is coarse, and that what
// a workload and a ready command are started with is not.
func TestCoarseTimersAreOurOwn(t *testing.T) {
	const coarse, usual = "500000", "50000"
	if err := host.CoarseTimers(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := host.UsualTimers(); err != nil {
			t.Error(err)
		}
	})
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, thread := range threads {
		if got := slackOf(t, thread.Name()); got != coarse {
			t.Errorf("thread %s has a slack of %s ns", thread.Name(), got)
		}
	}
	out := filepath.Join(t.TempDir(), "slack")
	const show = "cat /proc/self/timerslack_ns"
	web := &pb.Workload{Name: "web", Start: []string{"sh", "-c", show + " > " + out}}
	if err := host.Start(t.Context(), hosttest.NewCgroup(t), web); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the workload has a slack of "+usual, func() bool {
		b, err := os.ReadFile(out)
		return err == nil && strings.TrimSpace(string(b)) == usual
	})
	b, err := host.Program{Argv: []string{"sh", "-c", show}}.Output(t.Context())
	if got := strings.TrimSpace(string(b)); err != nil || got != usual {
		t.Errorf("a command has a slack of %s ns: %v", got, err)
	}
}

func slackOf(t *testing.T, thread string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("/proc", thread, "timerslack_ns"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}
