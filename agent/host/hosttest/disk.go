package hosttest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// OwnMounts gives the test's thread mounts of its own, and returns the file of
// their namespace. They end with the test, however it ends: the thread is never
// unlocked, and ends with the goroutine.
func OwnMounts(t testing.TB) string {
	t.Helper()
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
		t.Fatalf("leave the machine's mounts: %v", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatalf("keep mounts private: %v", err)
	}
	return fmt.Sprintf("/proc/%d/task/%d/ns/mnt", os.Getpid(), unix.Gettid())
}

// MountDisk mounts a file system of its own on a folder, of that many bytes, in
// the mounts of OwnMounts.
func MountDisk(t testing.TB, dir string, size int64) {
	t.Helper()
	image := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, size); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	run(t, "mkfs.ext4", "-q", "-F", image)
	run(t, "mount", "-o", "loop", image, dir)
	t.Cleanup(func() { run(t, "umount", "-l", dir) })
}

// MountMemory mounts a file system in memory on a folder, with room for that many
// bytes, in the mounts of OwnMounts.
func MountMemory(t testing.TB, dir string, size int) {
	t.Helper()
	if err := unix.Mount("squall-test", dir, "tmpfs", 0, fmt.Sprint("size=", size)); err != nil {
		t.Fatalf("mount a small disk: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) }) // else it ends with the thread
}

// FreezeDisk lets a folder's file system answer no more, until thaw is called, or
// the test ends, even by a signal.
func FreezeDisk(t testing.TB, dir string) (thaw func()) {
	t.Helper()
	// It reads until this process closes the pipe, or ends in whatever way.
	guard := exec.Command("sh", "-c", `cat; exec fsfreeze --unfreeze "$0"`, dir)
	here, err := guard.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
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
		_ = here.Close()
		_ = guard.Wait() // with an error, where nothing is frozen any more
	})
	run(t, "fsfreeze", "--freeze", dir)
	return thaw
}

func run(t testing.TB, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}
