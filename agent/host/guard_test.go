package host_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"squall/agent/host"
	"squall/agent/host/hosttest"
	"squall/agent/host/hosttest/lack"
	pb "squall/proto/squall/v1"
)

// holdFreeze freezes the cgroup in its environment, by the mechanism that stands
// there, until it is killed: the role of another process. It renews a lease of
// 500 ms.
func holdFreeze(cgroup, mechanism string) {
	h, err := host.Open(&pb.HostConfig{Name: "a", Zone: "z"}, host.Options{})
	if err == nil {
		n, _ := strconv.Atoi(mechanism)
		host.FreezeBy(h, n)
		h.Renew("squall/r/s", h.Boot()+500*time.Millisecond)
		op := freezeOp(h, cgroup, 0, time.Hour)
		op.Gate.IgnoreLease = false
		err = h.Do(context.Background(), op, nil)
	}
	if err != nil {
		println(err.Error())
		os.Exit(1)
	}
	os.Stdout.WriteString("frozen\n")
	for range time.Tick(100 * time.Millisecond) {
		h.Renew("squall/r/s", h.Boot()+500*time.Millisecond)
	}
}

// startHolder starts a process that freezes a cgroup, and returns when it has.
func startHolder(t *testing.T, cgroup string, mechanism int) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), roleEnv+"=freeze", baseEnv+"="+cgroup, mechanismEnv+"="+strconv.Itoa(mechanism))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	said := make([]byte, 64)
	if n, err := out.Read(said); err != nil || string(said[:n]) != "frozen\n" {
		t.Fatalf("the holder says %q, %v", said[:n], err)
	}
	return cmd
}

// guardOf finds the guard that a process has started.
func guardOf(t *testing.T, parent int) (pid int) {
	t.Helper()
	b, err := os.ReadFile("/proc/" + strconv.Itoa(parent) + "/task/" + strconv.Itoa(parent) + "/children")
	if err != nil {
		lack.Of(t, "the kernel lists no children of processes")
	}
	tasks, _ := os.ReadDir("/proc/" + strconv.Itoa(parent) + "/task")
	for _, task := range tasks {
		more, _ := os.ReadFile("/proc/" + strconv.Itoa(parent) + "/task/" + task.Name() + "/children")
		b = append(append(b, ' '), more...)
	}
	for _, child := range strings.Fields(string(b)) {
		line, _ := os.ReadFile("/proc/" + child + "/cmdline")
		if strings.Contains(string(line), host.GuardRole) {
			pid, _ = strconv.Atoi(child)
		}
	}
	if pid == 0 {
		t.Fatalf("process %d has no guard", parent)
	}
	return pid
}

// Whoever froze is killed, and nobody starts another: what was frozen runs again,
// by every mechanism, and its guard is no more.
func TestFreezeEndsWithWhoFroze(t *testing.T) {
	eachFreezer(t, func(t *testing.T, f host.Freezer, cgroup string) {
		b := startBusy(t, cgroup)
		t.Cleanup(func() { _ = f.Thaw(cgroup, "squall/r/s/freeze") }) // where the guard has not: it could not be killed
		holder := startHolder(t, cgroup, mechanismOf(t, f))
		guard := guardOf(t, holder.Process.Pid)
		b.wantFrozen(f, cgroup)
		began := time.Now()
		if err := holder.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		b.wantRunning()
		t.Logf("it ran %s after the kill", time.Since(began).Round(time.Millisecond))
		waitFor(t, "the end of the guard", func() bool { return dead(guard) })
		wantUnmarked(t, f, cgroup)
	})
}

func mechanismOf(t *testing.T, f host.Freezer) int {
	t.Helper()
	all, _, err := host.Freezers()
	if err != nil {
		t.Fatal(err)
	}
	for i := range all {
		if all[i] == f {
			return i
		}
	}
	t.Fatal("no such mechanism")
	return 0
}

// Whoever froze hangs: the freeze ends when its lease has run out.
func TestFreezeEndsWithItsLease(t *testing.T) {
	cgroup := hosttest.NewCgroup(t)
	hosttest.Require(t, "freeze")
	all, _, err := host.Freezers()
	if err != nil {
		t.Fatal(err)
	}
	b := startBusy(t, cgroup)
	holder := startHolder(t, cgroup, 0)
	guard := guardOf(t, holder.Process.Pid)
	b.wantFrozen(all[0], cgroup)
	time.Sleep(time.Second) // its lease is renewed, and the guard hears of that
	b.wantFrozen(all[0], cgroup)
	if err := holder.Process.Signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	b.wantRunning()
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("it ran %s after the stop, under a lease of half a second", took)
	}
	waitFor(t, "the end of the guard", func() bool { return dead(guard) })
	wantUnmarked(t, all[0], cgroup)
}

// The guard is killed: with nobody left to thaw, the freeze ends, and that is told.
func TestFreezeEndsWithItsGuard(t *testing.T) {
	cgroup := hosttest.NewCgroup(t)
	hosttest.Require(t, "freeze")
	b, h := startBusy(t, cgroup), openFreezing(t, cgroup)
	if err := h.Do(t.Context(), freezeOp(h, cgroup, 0, time.Minute), nil); err != nil {
		t.Fatal(err)
	}
	guards := host.Guards(h)
	if len(guards) != 1 {
		t.Fatalf("guards: %v", guards)
	}
	if err := unix.Kill(guards[0], unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case death := <-h.Died():
		if death.Tag != "squall/r/s/freeze" {
			t.Errorf("%s has died", death.Tag)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("nobody tells of its death")
	}
	b.wantRunning()
	if err := h.Do(t.Context(), thawOp(cgroup), nil); err != nil {
		t.Fatal(err)
	}
	wantNothingFrozen(t, h)
}

// However a freeze ends, its guard ends with it, and that is no death.
func TestGuardEndsWithItsFreeze(t *testing.T) {
	cgroup := hosttest.NewCgroup(t)
	hosttest.Require(t, "freeze")
	h := openFreezing(t, cgroup)
	ctx, cancel := context.WithCancel(t.Context())
	var guards []int
	if err := h.Do(ctx, freezeOp(h, cgroup, time.Hour, 2*time.Hour), func() { guards = host.Guards(h); cancel() }); err == nil {
		t.Error("it was not called off")
	}
	if err := h.Do(t.Context(), freezeOp(h, cgroup, 0, time.Minute), nil); err != nil {
		t.Fatal(err)
	}
	guards = append(guards, host.Guards(h)...)
	if err := h.Do(t.Context(), thawOp(cgroup), nil); err != nil {
		t.Fatal(err)
	}
	if len(guards) != 2 {
		t.Fatalf("guards: %v", guards)
	}
	for _, pid := range guards {
		if err := unix.Kill(pid, 0); !errors.Is(err, unix.ESRCH) {
			t.Errorf("guard %d is there: %v", pid, err)
		}
	}
	select {
	case death := <-h.Died():
		t.Errorf("%s has died", death.Tag)
	default:
	}
}
