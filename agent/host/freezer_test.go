package host_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"squall/agent/host"
	"squall/agent/host/hosttest"
)

// eachFreezer tries a test with every mechanism of this host, in a cgroup of its own.
func eachFreezer(t *testing.T, test func(t *testing.T, f host.Freezer, cgroup string)) {
	t.Helper()
	hosttest.RequireRoot(t)
	all, names, err := host.Freezers()
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range all {
		t.Run(strings.ReplaceAll(names[i], " ", "_"), func(t *testing.T) { test(t, f, hosttest.NewCgroup(t)) })
	}
}

// busy is a program in a cgroup that forks for ever and counts by the bytes of a file.
type busy struct {
	t     *testing.T
	pid   int
	count string
}

func startBusy(t *testing.T, cgroup string) *busy {
	t.Helper()
	b := &busy{t: t, count: filepath.Join(t.TempDir(), "count")}
	b.pid = startIn(t, cgroup, "while :; do /bin/true; printf x >>"+b.count+"; done")
	b.wantRunning()
	return b
}

// startIn starts a shell in a cgroup, and ends it with the test.
func startIn(t *testing.T, cgroup, script string) int {
	t.Helper()
	mount, err := host.CgroupMount()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", "-c", "echo $$ >"+filepath.Join(mount, cgroup, "cgroup.procs")+"; "+script)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd.Process.Pid
}

func (b *busy) counted() int64 {
	return size(b.count)
}

// wantRunning waits until it has counted on.
func (b *busy) wantRunning() {
	b.t.Helper()
	since := b.counted()
	for deadline := time.Now().Add(time.Minute); b.counted() <= since; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			b.t.Fatal("it does not run")
		}
	}
}

// wantFrozen waits until the mechanism says so, and sees that nothing counts on.
func (b *busy) wantFrozen(f host.Freezer, cgroup string) {
	b.t.Helper()
	waitFor(b.t, "frozen", func() bool {
		is, err := f.Frozen(cgroup)
		return err == nil && is
	})
	since := b.counted()
	time.Sleep(20 * time.Millisecond)
	if now := b.counted(); now != since {
		b.t.Errorf("frozen, it counted on from %d to %d", since, now)
	}
}

func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not %s", what)
		}
	}
}

func TestFreezeStopsEveryProcessAndThawsIt(t *testing.T) {
	eachFreezer(t, func(t *testing.T, f host.Freezer, cgroup string) {
		b := startBusy(t, cgroup)
		for range 2 { // a second time is no mistake
			if err := f.Freeze(cgroup, "squall/r/s"); err != nil {
				t.Fatal(err)
			}
		}
		b.wantFrozen(f, cgroup)
		if err := f.Thaw(cgroup, "squall/other/s"); err != nil {
			t.Fatal(err)
		}
		b.wantFrozen(f, cgroup)
		for range 2 {
			if err := f.Thaw(cgroup, "squall/r/s"); err != nil {
				t.Fatal(err)
			}
		}
		b.wantRunning()
		wantUnmarked(t, f, cgroup)
	})
}

// wantUnmarked sees that nothing of ours is left for a cgroup.
func wantUnmarked(t *testing.T, f host.Freezer, cgroup string) {
	t.Helper()
	if tag, err := f.Tag(cgroup); err != nil || tag != "" {
		t.Errorf("still held frozen under %q, %v", tag, err)
	}
	if folder := f.Folder(cgroup); folder != "" {
		if _, err := os.Stat(folder); err == nil {
			t.Errorf("left: %s", folder)
		}
	}
}

// What somebody else had stopped stays so, frozen and thawed.
func TestFreezeLeavesTheStoppedStopped(t *testing.T) {
	eachFreezer(t, func(t *testing.T, f host.Freezer, cgroup string) {
		b := startBusy(t, cgroup)
		stopped := startIn(t, cgroup, "kill -STOP $$; while :; do sleep 1; done")
		waitFor(t, "stopped by itself", func() bool { return host.Stopped(stopped) })
		if err := f.Freeze(cgroup, "squall/r/s"); err != nil {
			t.Fatal(err)
		}
		b.wantFrozen(f, cgroup)
		if err := f.Thaw(cgroup, "squall/r/s"); err != nil {
			t.Fatal(err)
		}
		b.wantRunning()
		if !host.Stopped(stopped) {
			t.Error("what somebody else had stopped runs")
		}
	})
}

// A process in vfork can't stop before the one that it started runs a program
// or ends: it is as good as stopped, and is let run again with the others.
func TestFreezeReachesWhoWaitsInVfork(t *testing.T) {
	eachFreezer(t, func(t *testing.T, f host.Freezer, cgroup string) {
		b := startBusy(t, cgroup)
		child, parent := filepath.Join(t.TempDir(), "child"), filepath.Join(t.TempDir(), "parent")
		script := fmt.Sprintf(`$| = 1; sub count { open F, ">>", $_[0]; print F "x"; close F; select undef, undef, undef, 0.01 }
			if (syscall(%d, %d, 0, 0, 0, 0) == 0) { count("%s") until -e "%s.end"; exit 0 } count("%s") while 1`,
			unix.SYS_CLONE, unix.CLONE_VFORK|int(unix.SIGCHLD), child, child, parent)
		startIn(t, cgroup, "exec perl -e '"+script+"'")
		waitFor(t, "the child runs", func() bool { return size(child) > 0 })
		if err := f.Freeze(cgroup, "squall/r/s"); err != nil {
			t.Fatal(err)
		}
		b.wantFrozen(f, cgroup)
		if err := f.Thaw(cgroup, "squall/r/s"); err != nil {
			t.Fatal(err)
		}
		b.wantRunning()
		if err := os.WriteFile(child+".end", nil, 0o600); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "the parent runs", func() bool { return size(parent) > 0 })
	})
}

func size(file string) int64 {
	info, err := os.Stat(file)
	if err != nil {
		return 0
	}
	return info.Size()
}

// A mark that can't be read is no missing mark: nothing is told as undone.
func TestThawOfWhatCantBeReadIsNoSuccess(t *testing.T) {
	all, names, err := host.Freezers()
	if err != nil {
		t.Fatal(err)
	}
	dir := "cgroup.procs/below" // a file is no folder
	for i, f := range all {
		if names[i] == "the freezer of cgroup v1" {
			continue // its folders are named by digests
		}
		if err := f.Thaw(dir, "squall/r/s"); err == nil {
			t.Errorf("%s: thawed, it says", names[i])
		}
		if tag, err := f.Tag(dir); err == nil {
			t.Errorf("%s: nobody holds it, it says (%q)", names[i], tag)
		}
	}
}

// A cgroup that somebody else froze is left frozen, and is not ours.
func TestFreezeLeavesTheFrozenFrozen(t *testing.T) {
	hosttest.RequireRoot(t)
	all, names, err := host.Freezers()
	if err != nil || names[0] != "cgroup.freeze" {
		t.Fatalf("%v, %v", names, err)
	}
	f, cgroup := all[0], hosttest.NewCgroup(t)
	b := startBusy(t, cgroup)
	mount, err := host.CgroupMount()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(mount, cgroup, "cgroup.freeze")
	if err := os.WriteFile(file, []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	b.wantFrozen(f, cgroup)
	if err := f.Freeze(cgroup, "squall/r/s"); err != nil {
		t.Fatal(err)
	}
	if err := f.Thaw(cgroup, "squall/r/s"); err != nil {
		t.Fatal(err)
	}
	b.wantFrozen(f, cgroup)
	wantUnmarked(t, f, cgroup)
	if err := os.WriteFile(file, []byte("0"), 0); err != nil {
		t.Fatal(err)
	}
	b.wantRunning()
}

// Two steps can't hold one cgroup: the second is refused, and its undo takes nothing away.
func TestFreezeIsRefusedToASecondStep(t *testing.T) {
	eachFreezer(t, func(t *testing.T, f host.Freezer, cgroup string) {
		b := startBusy(t, cgroup)
		if err := f.Freeze(cgroup, "squall/r/s"); err != nil {
			t.Fatal(err)
		}
		if err := f.Freeze(cgroup, "squall/r/t"); err == nil {
			t.Error("a second step froze it too")
		}
		if err := f.Thaw(cgroup, "squall/r/t"); err != nil {
			t.Fatal(err)
		}
		b.wantFrozen(f, cgroup)
		if err := f.Thaw(cgroup, "squall/r/s"); err != nil {
			t.Fatal(err)
		}
		b.wantRunning()
	})
}

// A guard and an agent may thaw at one time: neither is in the other's way.
func TestThawByTwoAtOnce(t *testing.T) {
	eachFreezer(t, func(t *testing.T, f host.Freezer, cgroup string) {
		b := startBusy(t, cgroup)
		for range 20 {
			if err := f.Freeze(cgroup, "squall/r/s"); err != nil {
				t.Fatal(err)
			}
			var both sync.WaitGroup
			for range 2 {
				both.Go(func() {
					if err := f.Thaw(cgroup, "squall/r/s"); err != nil {
						t.Error(err)
					}
				})
			}
			both.Wait()
			wantUnmarked(t, f, cgroup)
		}
		b.wantRunning()
	})
}

// A workload that has ended meanwhile leaves nothing to undo.
func TestThawAfterTheWorkloadHasEnded(t *testing.T) {
	eachFreezer(t, func(t *testing.T, f host.Freezer, cgroup string) {
		b := startBusy(t, cgroup)
		if err := f.Freeze(cgroup, "squall/r/s"); err != nil {
			t.Fatal(err)
		}
		if err := unix.Kill(b.pid, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if err := f.Thaw(cgroup, "squall/r/s"); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "dead", func() bool { return !strings.HasPrefix(host.Started(b.pid), strconv.Itoa(b.pid)) || dead(b.pid) })
		if err := f.Thaw(cgroup+"/gone", "squall/r/s"); err != nil {
			t.Errorf("thaw of no cgroup: %v", err)
		}
		wantUnmarked(t, f, cgroup)
	})
}

func dead(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err != nil || strings.Contains(string(b), ") Z ")
}
