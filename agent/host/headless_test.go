package host_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"squall/agent/host"
)

// headlessFile names, for this binary, a file by whose bytes it counts from then
// on, without its first thread.
const headlessFile = "SQUALL_TEST_HEADLESS"

func init() {
	path := os.Getenv(headlessFile)
	if path == "" {
		return
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		panic(err)
	}
	go func() {
		for range time.Tick(time.Millisecond) {
			_, _ = f.WriteString("x")
		}
	}()
	time.Sleep(10 * time.Millisecond)                 // the other threads are there
	_, _, _ = unix.RawSyscall(unix.SYS_EXIT, 0, 0, 0) // this thread alone
}

// startHeadless starts a process in a cgroup whose first thread has ended, as C
// programs may: the kernel calls it a zombie, and its other threads run.
func startHeadless(t *testing.T, cgroup string) *busy {
	t.Helper()
	b := &busy{t: t, count: filepath.Join(t.TempDir(), "count")}
	b.pid = startIn(t, cgroup, fmt.Sprintf("GOMAXPROCS=4 GOGC=off %s=%s exec %s -test.run=^$", headlessFile, b.count, os.Args[0]))
	waitFor(t, "headless", func() bool {
		stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", b.pid))
		return strings.Contains(string(stat), ") Z ")
	})
	b.wantRunning()
	return b
}

func TestFreezeStopsAProcessWithoutItsFirstThread(t *testing.T) {
	eachFreezer(t, func(t *testing.T, f host.Freezer, cgroup string) {
		b := startHeadless(t, cgroup)
		if is, err := f.Frozen(cgroup); is && err == nil {
			t.Error("it runs, and counts as frozen")
		}
		defer func() { _ = f.Thaw(cgroup, "squall/r/s") }() // the freezer of version 1 keeps even the killed
		if err := f.Freeze(cgroup, "squall/r/s"); err != nil {
			t.Error(err)
			return
		}
		b.wantFrozen(f, cgroup)
		if err := f.Thaw(cgroup, "squall/r/s"); err != nil {
			t.Fatal(err)
		}
		b.wantRunning()
	})
}
