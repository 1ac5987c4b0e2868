package sweep

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"squall/agent/host/hosttest"
	pb "squall/proto/squall/v1"
)

// TestFrozenDiskKeepsNobodyDark: the journal's file system stops answering, for
// real, while a power cut is held. A halt lets go and answers; then worker and
// supervisor are killed, which the kernel does not let die, and who comes next
// lets go beside them. With the disk back, everything is over.
func TestFrozenDiskKeepsNobodyDark(t *testing.T) {
	hosttest.RequireRoot(t)
	hosttest.RequireProgram(t, "mkfs.ext4", "e2fsprogs")
	hosttest.Require(t, "silence")
	hosttest.RequireProgram(t, "nsenter", "util-linux")
	mounts := ownMounts(t)
	l := newLane(t)
	l.mounts = mounts
	mountDisk(t, filepath.Join(l.dir, "state"))
	for _, by := range []string{"halt", "worker", "all"} {
		t.Log("ended by " + by) // no subtest: the mounts are this thread's
		l.frozenDisk(by)
	}
}

func (l *lane) frozenDisk(by string) {
	l.t.Helper()
	before := l.snapshot()
	l.begin(0)
	l.tried()
	if answer, err := l.inject(1); err != nil || answer.GetRefused() != nil {
		l.t.Fatalf("inject: %v, %v", answer, err)
	}
	if got := l.attached(); got == 0 {
		l.t.Fatal("nothing is attached")
	}
	thaw := freeze(l.t, filepath.Join(l.dir, "state"))
	began := time.Now()
	if by == "halt" {
		l.haltOnFrozenDisk()
	} else {
		l.dirtyAndKill(by)
	}
	l.statusOnFrozenDisk()
	l.await("nobody is dark", func() bool { return l.attached() == 0 && l.webRuns() })
	l.t.Logf("let go %s after the freeze", time.Since(began).Round(time.Millisecond))
	thaw()
	l.await("every step is over", l.over)
	l.tried()
	l.end()
	if left := diff(before, l.snapshot()); len(left) > 0 {
		l.t.Errorf("not as before: %v", left)
		l.dump()
	}
}

// haltOnFrozenDisk pulls the lever and wants its answer.
func (l *lane) haltOnFrozenDisk() {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	answer, err := l.client.Halt(ctx, &pb.LocalHaltRequest{Reason: "enough"})
	if err != nil || !answer.GetHalt().GetEngaged() {
		l.t.Errorf("halt: %v, %v", answer, err)
	}
}

// statusOnFrozenDisk asks, each time anew as a person does, until the next worker
// answers: neither the one that hangs nor the disk keeps anybody from being told.
func (l *lane) statusOnFrozenDisk() {
	l.t.Helper()
	began := time.Now()
	l.await("somebody tells how the host stands", func() bool {
		conn, err := grpc.NewClient("unix:"+filepath.Join(l.dir, "sock"), grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			l.t.Fatal(err)
		}
		defer conn.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		_, err = pb.NewLocalServiceClient(conn).Status(ctx, &pb.LocalStatusRequest{})
		return err == nil
	})
	l.t.Logf("status answered %s after the freeze", time.Since(began).Round(time.Millisecond))
}

// dirtyAndKill lets a thread of the worker hang in the kernel at the disk, by a
// fault that the disk can't take, and kills.
func (l *lane) dirtyAndKill(part string) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	_, _ = l.client.Inject(ctx, &pb.LocalInjectRequest{
		Run: "more", ForNanos: int64(time.Minute), Fault: &pb.Fault{Kind: &pb.Fault_DnsFail{DnsFail: &pb.DNSFail{}}},
	})
	for _, pid := range l.pids(part) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// webRuns says that the workload that was killed has been started again.
func (l *lane) webRuns() bool {
	for _, p := range l.living() {
		if p == "process S /bin/sleep 100000" {
			return true
		}
	}
	return false
}

// ownMounts gives the test's thread mounts of its own, which end with it, and
// returns the file of their namespace.
func ownMounts(t *testing.T) string {
	t.Helper()
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("/proc/%d/task/%d/ns/mnt", os.Getpid(), unix.Gettid())
}

// mountDisk mounts a file system of its own on a folder.
func mountDisk(t *testing.T, dir string) {
	t.Helper()
	image := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 64<<20); err != nil {
		t.Fatal(err)
	}
	run(t, "mkfs.ext4", "-q", "-F", image)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	run(t, "mount", "-o", "loop", image, dir)
	t.Cleanup(func() { run(t, "umount", "-l", dir) })
}

// freeze freezes the file system of a folder until thaw is called, a minute has
// passed, or the test ends.
func freeze(t testing.TB, dir string) (thaw func()) {
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

func run(t testing.TB, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, args, err, out)
	}
}
