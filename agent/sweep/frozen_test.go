package sweep

import (
	"context"
	"path/filepath"
	"syscall"
	"testing"
	"time"

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
	mounts := hosttest.OwnMounts(t)
	l := newLane(t)
	l.mounts = mounts
	hosttest.MountDisk(t, filepath.Join(l.dir, "state"), 64<<20)
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
	if answer, err := l.inject(row("power.off workload")); err != nil || answer.GetRefused() != nil {
		l.t.Fatalf("inject: %v, %v", answer, err)
	}
	if got := l.attached(); got == 0 {
		l.t.Fatal("nothing is attached")
	}
	thaw := hosttest.FreezeDisk(l.t, filepath.Join(l.dir, "state"))
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
		if p == "process alive /bin/sleep 100000" {
			return true
		}
	}
	return false
}
