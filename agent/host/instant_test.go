package host_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"squall/agent/host"
	"squall/agent/host/hosttest"
	pb "squall/proto/squall/v1"
)

// descriptors counts what an instant keeps open of this process: timers, their
// call-offs, and files and folders of cgroups.
func descriptors(t *testing.T, cgroup string) (n int) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		at, _ := os.Readlink("/proc/self/fd/" + e.Name())
		if strings.Contains(at, "[timerfd]") || strings.Contains(at, cgroup) {
			n++
		}
	}
	return n
}

// What is called off while it is made lets go of what it has opened: nobody will
// wait for its instant.
func TestCalledOffWhileItIsMadeKeepsNothingOpen(t *testing.T) {
	hosttest.RequireRoot(t)
	cgroup := hosttest.NewCgroup(t)
	h := openFreezing(t, cgroup)
	for name, op := range map[string]*pb.Op{
		"freeze": freezeOp(h, cgroup, time.Hour, 2*time.Hour),
		"kill": {
			Tag: "squall/r/s/kill", Kind: &pb.Op_KillWorkloads{KillWorkloads: &pb.KillWorkloads{Workload: []string{"web"}}},
			Gate: freezeOp(h, cgroup, time.Hour, 2*time.Hour).GetGate(),
		},
	} {
		before := descriptors(t, cgroup)
		if err := host.BuildCalledOff(h, op); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: it was not called off: %v", name, err)
		}
		if after := descriptors(t, cgroup); after != before {
			t.Errorf("%s: %d descriptors of its own are open, and %d before", name, after, before)
		}
	}
}

// A mechanism that takes its time, and sleeps, has no real-time thread: Go's
// scheduler would wait for it for ever.
func TestSlowFreezersAreNotRealTime(t *testing.T) {
	hosttest.RequireRoot(t)
	cgroup := hosttest.NewCgroup(t)
	h := openFreezing(t, cgroup)
	policy := -1
	host.OnFreeze(h, func(string) {
		p, _, _ := unix.RawSyscall(unix.SYS_SCHED_GETSCHEDULER, 0, 0, 0)
		policy = int(p)
	})
	if err := h.Do(t.Context(), freezeOp(h, cgroup, 0, time.Minute), nil); err != nil {
		t.Fatal(err)
	}
	if policy != unix.SCHED_NORMAL {
		t.Errorf("it froze under scheduling policy %d", policy)
	}
}
