package hosttest

import (
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"squall/agent/host"
	"squall/agent/host/hosttest/lack"
	pb "squall/proto/squall/v1"
)

// RequireRoot skips a test that needs root, loudly. Where CI=true it fails:
// a gate that skips is no gate.
func RequireRoot(t testing.TB) {
	t.Helper()
	lack.OfRoot(t)
}

// RequireProgram skips a test that needs a program which a Debian package
// brings, and fails it where CI=true.
func RequireProgram(t testing.TB, program, pkg string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		lack.Of(t, fmt.Sprintf("%s is not installed; apt-get install %s", program, pkg))
	}
}

// Require skips a test whose mechanism doesn't work here, as doctor found by
// trying, and fails it where CI=true.
func Require(t testing.TB, ability string) {
	t.Helper()
	a := host.Try(t.Context(), ability)
	if a.GetState() == pb.AbilityState_ABILITY_STATE_MISSING {
		lack.Of(t, fmt.Sprintf("%s is missing: %s", ability, a.GetDetail()))
	}
}

// NewCgroup makes a cgroup for a test and returns its path relative to the v2
// mount. At the test's end everything in it is killed, and it is removed.
func NewCgroup(t testing.TB) string {
	t.Helper()
	RequireRoot(t)
	mount, err := host.CgroupMount()
	if err != nil {
		lack.Of(t, err.Error())
	}
	name := fmt.Sprintf("squall-test-%d-%s", os.Getpid(), strings.ReplaceAll(t.Name(), "/", "-"))
	dir := filepath.Join(mount, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeCgroup(t, dir) })
	return path.Base(dir)
}

// dying is how long the killed may take to be gone: each has to be given a
// processor for that, and a busy machine has none to give for a while.
const dying = 20 * time.Second

// removeCgroup kills what lives in a cgroup and removes it with those below.
func removeCgroup(t testing.TB, dir string) {
	t.Helper()
	for end := time.Now().Add(dying); ; time.Sleep(2 * time.Millisecond) {
		_ = os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0)
		err := removeTree(dir)
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Errorf("remove test cgroup: %v", err)
			return
		}
	}
}

func removeTree(dir string) error {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.IsDir() {
			if err := removeTree(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	if err := unix.Rmdir(dir); err != unix.ENOENT {
		return err
	}
	return nil
}

// onThread runs f on an OS thread of its own, which ends with it. An f that ends
// its goroutine, as t.Fatal does, ends the caller's too: nobody waits for it.
func onThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread may be in another namespace
		done <- f()
	}()
	err, returned := <-done
	if !returned {
		runtime.Goexit()
	}
	return err
}
