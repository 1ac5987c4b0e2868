package host_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"squall/agent/host"
	"squall/agent/host/hosttest"
	pb "squall/proto/squall/v1"
)

// freezeOp freezes a cgroup from now on for a while.
func freezeOp(h host.Host, cgroup string, start, end time.Duration) *pb.Op {
	return &pb.Op{
		Tag: "squall/r/s/freeze", Kind: &pb.Op_Freeze{Freeze: &pb.Freeze{Cgroups: []string{cgroup}}},
		Gate: &pb.Gate{StartBootNanos: int64(h.Boot() + start), EndBootNanos: int64(h.Boot() + end), IgnoreLease: true},
	}
}

func thawOp(cgroup string) *pb.Op {
	return &pb.Op{Tag: "squall/r/s/freeze", Kind: &pb.Op_Detach{Detach: &pb.Detach{Cgroups: []string{cgroup}}}}
}

// openFreezing opens a host with one workload, in a cgroup of the test.
func openFreezing(t *testing.T, cgroup string) *host.Real {
	t.Helper()
	h, err := host.Open(&pb.HostConfig{
		Name: "a", Zone: "z", Workloads: []*pb.Workload{{Name: "web", Cgroup: cgroup}},
	}, host.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

func TestFrozenUntilItIsDetached(t *testing.T) {
	cgroup := hosttest.NewCgroup(t)
	hosttest.Require(t, "freeze")
	h, b := openFreezing(t, cgroup), startBusy(t, cgroup)
	if err := h.Do(t.Context(), freezeOp(h, cgroup, 0, time.Minute), nil); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "shown as frozen", func() bool {
		seen, err := h.Evidence(t.Context(), "squall/r/s")
		return err == nil && len(seen) == 2 && seen[0].GetHolds() && strings.Contains(seen[0].GetText(), "1 of 1 workloads frozen by cgroup.freeze")
	})
	since := b.counted()
	if err := h.Do(t.Context(), thawOp(cgroup), nil); err != nil {
		t.Fatal(err)
	}
	if since != b.counted() && since == 0 {
		t.Error("it never ran")
	}
	b.wantRunning()
	after, err := h.Clean(t.Context(), "squall/r/s", nil)
	if err != nil || len(after) != 1 || !after[0].GetHolds() {
		t.Errorf("after it: %v, %v", after, err)
	}
}

// A cgroup without a process is frozen at once, which shows nothing.
func TestFrozenAndEmptyShowsNothing(t *testing.T) {
	cgroup := hosttest.NewCgroup(t)
	hosttest.Require(t, "freeze")
	h := openFreezing(t, cgroup)
	if err := h.Do(t.Context(), freezeOp(h, cgroup, 0, time.Minute), nil); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "a look at it", func() bool {
		seen, err := h.Evidence(t.Context(), "squall/r/s")
		return err == nil && len(seen) == 2 && seen[0].GetFact() && strings.Contains(seen[0].GetText(), "1 of them without a process")
	})
	if err := h.Do(t.Context(), thawOp(cgroup), nil); err != nil {
		t.Fatal(err)
	}
}

// What somebody else froze before is frozen, and not by us: it is no proof.
func TestFrozenBySomebodyElseShowsNothing(t *testing.T) {
	cgroup := hosttest.NewCgroup(t)
	hosttest.Require(t, "freeze")
	b, h := startBusy(t, cgroup), openFreezing(t, cgroup)
	mount, err := host.CgroupMount()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(mount, cgroup, "cgroup.freeze")
	if err := os.WriteFile(file, []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	if err := h.Do(t.Context(), freezeOp(h, cgroup, 0, time.Minute), nil); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "a look at it", func() bool {
		seen, err := h.Evidence(t.Context(), "squall/r/s")
		return err == nil && len(seen) == 2 && seen[0].GetFact() && strings.Contains(seen[0].GetText(), "1 of them by somebody else")
	})
	if err := h.Do(t.Context(), thawOp(cgroup), nil); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("0"), 0); err != nil {
		t.Fatal(err)
	}
	b.wantRunning()
}

// The agent dies, and the next one undoes from its journal: nothing in the
// kernel ends a freeze.
func TestFreezeIsUndoneByTheNextAgent(t *testing.T) {
	cgroup := hosttest.NewCgroup(t)
	hosttest.Require(t, "freeze")
	b, dying := startBusy(t, cgroup), openFreezing(t, cgroup)
	if err := dying.Do(t.Context(), freezeOp(dying, cgroup, 0, time.Minute), nil); err != nil {
		t.Fatal(err)
	}
	next := openFreezing(t, cgroup)
	if left, _ := next.Clean(t.Context(), "squall/r/s", nil); len(left) != 1 || left[0].GetHolds() || !strings.Contains(left[0].GetText(), "frozen by") {
		t.Errorf("what the dead one left is shown as %v", left)
	}
	if err := next.Do(t.Context(), thawOp(cgroup), nil); err != nil {
		t.Fatal(err)
	}
	b.wantRunning()
}

// What the config names no more is looked for where the undo says that it was.
func TestFreezeOfAForgottenWorkloadIsNotClean(t *testing.T) {
	cgroup := hosttest.NewCgroup(t)
	hosttest.Require(t, "freeze")
	b, dying := startBusy(t, cgroup), openFreezing(t, cgroup)
	if err := dying.Do(t.Context(), freezeOp(dying, cgroup, 0, time.Minute), nil); err != nil {
		t.Fatal(err)
	}
	next, err := host.Open(&pb.HostConfig{Name: "a", Zone: "z"}, host.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	undo := thawOp(cgroup)
	left, err := next.Clean(t.Context(), "squall/r/s", []*pb.Op{undo})
	if err != nil || len(left) != 1 || left[0].GetHolds() || !strings.Contains(left[0].GetText(), "frozen by") {
		t.Errorf("what the dead one left is shown as %v, %v", left, err)
	}
	if err := next.Do(t.Context(), undo, nil); err != nil {
		t.Fatal(err)
	}
	if left, err := next.Clean(t.Context(), "squall/r/s", []*pb.Op{undo}); err != nil || len(left) != 1 || !left[0].GetHolds() {
		t.Errorf("after the undo: %v, %v", left, err)
	}
	b.wantRunning()
}

// A sweep thaws what no step holds, and leaves alone what one does.
func TestSweepThawsWhatNoStepHolds(t *testing.T) {
	cgroup := hosttest.NewCgroup(t)
	hosttest.Require(t, "freeze")
	b, h := startBusy(t, cgroup), openFreezing(t, cgroup)
	if err := h.Do(t.Context(), freezeOp(h, cgroup, 0, time.Minute), nil); err != nil {
		t.Fatal(err)
	}
	next := openFreezing(t, cgroup)
	for _, c := range []struct {
		held   []string
		frozen bool
	}{{[]string{"squall/r/s"}, true}, {nil, false}} {
		if left, err := next.Leftovers(t.Context(), c.held); err != nil || len(left) > 0 {
			t.Fatalf("left %v, %v", left, err)
		}
		after, err := next.Clean(t.Context(), "squall/r/s", nil)
		if err != nil || after[0].GetHolds() == c.frozen {
			t.Errorf("held %v: %v, %v", c.held, after, err)
		}
	}
	b.wantRunning()
}

// A freeze whose end has passed, or that is called off, touches nothing.
func TestFreezeActsInsideItsGateOnly(t *testing.T) {
	cgroup := hosttest.NewCgroup(t)
	hosttest.Require(t, "freeze")
	b, h := startBusy(t, cgroup), openFreezing(t, cgroup)
	if err := h.Do(t.Context(), freezeOp(h, cgroup, -2*time.Second, -time.Second), nil); err == nil {
		t.Error("it froze after its end")
	}
	b.wantRunning()
	ctx, cancel := context.WithCancelCause(t.Context())
	called := errors.New("called off")
	if err := h.Do(ctx, freezeOp(h, cgroup, time.Hour, 2*time.Hour), func() { cancel(called) }); err == nil {
		t.Error("it was not called off")
	}
	b.wantRunning()
}
