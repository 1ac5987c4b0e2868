package server

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"squall/agent/host/hosttest"
)

// TestFrozenDiskStopsTheLeader: the file system of the leader's log stops
// answering, for real. The others go on; it ends by itself and says why; with
// its disk back it is one of them again.
func TestFrozenDiskStopsTheLeader(t *testing.T) {
	hosttest.RequireRoot(t)
	hosttest.RequireProgram(t, "mkfs.ext4", "e2fsprogs")
	// The mounts are this thread's alone, and so end with the test, however it
	// ends. The thread ends with the goroutine, for it is never unlocked.
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	p := startProcesses(t, func(dir string) { mountDisk(t, dir) })
	p.settle()
	frozen := p.leader()
	thaw := freeze(t, p.data(frozen))
	began := time.Now()
	p.commitWithout(frozen)
	t.Logf("frozen to next commit: %s", time.Since(began).Round(time.Millisecond))
	if p.leader() == frozen {
		t.Errorf("%s leads without a disk", frozen)
	}
	saysWhy := func() bool {
		log, err := os.ReadFile(filepath.Join(p.dir, frozen+".log"))
		return err == nil && strings.Contains(string(log), "no answer in")
	}
	for end := time.Now().Add(20 * time.Second); !saysWhy(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("its log does not say that the disk doesn't answer")
		}
	}
	thaw() // a thread inside a frozen file system can't even be killed
	if err := p.running[frozen].Wait(); err == nil {
		t.Error("the server without a disk ended as if nothing had been")
	}
	p.start(frozen)
	p.settle()
}

// mountDisk mounts a file system of its own on a folder.
func mountDisk(t *testing.T, dir string) {
	t.Helper()
	image := dir + ".img"
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 512<<20); err != nil {
		t.Fatal(err)
	}
	run(t, "mkfs.ext4", "-q", "-F", image)
	run(t, "mount", "-o", "loop", image, dir)
	t.Cleanup(func() { run(t, "umount", "-l", dir) })
}

// freeze freezes the file system of a folder until thaw is called, a minute has
// passed, or the test ends.
func freeze(t *testing.T, dir string) (thaw func()) {
	t.Helper()
	guard := exec.Command("sh", "-c", `sleep 60; fsfreeze --unfreeze "$0"`, dir)
	if err := guard.Start(); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	const fithaw = 0xc0045878 // _IOWR('X', 120, int) of linux/fs.h
	thaw = func() { _ = unix.IoctlSetInt(int(f.Fd()), fithaw, 0) }
	t.Cleanup(func() {
		thaw()
		_ = f.Close()
		_ = guard.Process.Kill()
		_ = guard.Wait()
	})
	run(t, "fsfreeze", "--freeze", dir)
	return thaw
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}
