package sweep

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestFreezeEndsWithItsAgent kills both processes of the agent, which nobody
// starts again: what it had frozen runs, and nothing of it is left.
func TestFreezeEndsWithItsAgent(t *testing.T) {
	freeze := row("process.freeze workload")
	faults[freeze].require(t)
	l := newLane(t)
	before := l.snapshot()
	l.begin(0)
	l.tried()
	if answer, err := l.inject(freeze); err != nil || answer.GetRefused() != nil {
		t.Fatalf("inject: %v, %v", answer, err)
	}
	if !l.frozen() {
		t.Fatal("nothing is frozen")
	}
	l.deserted.Store(true)
	began := time.Now()
	for _, pid := range append(l.pids("supervisor"), l.pids("worker")...) {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	l.await("what was frozen runs", func() bool { return !l.frozen() })
	t.Logf("it ran %s after the kill", time.Since(began).Round(time.Millisecond))
	l.await("every process of the agent has ended", func() bool { return len(l.pids("all")) == 0 })
	l.end()
	if left := diff(before, l.snapshot()); len(left) > 0 {
		t.Errorf("left: %s", strings.Join(left, "\n"))
	}
}

// frozen says that a cgroup of the lane is.
func (l *lane) frozen() bool {
	return slices.ContainsFunc(l.cgroups(), func(line string) bool { return strings.HasSuffix(line, " frozen 1") })
}
