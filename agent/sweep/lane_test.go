package sweep

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"squall/agent/host"
	"squall/agent/host/hosttest"
	pb "squall/proto/squall/v1"
)

// lane is a host of its own: a network namespace, a cgroup, a folder, two
// workloads, and an init that starts the agent again whenever it ends.
type lane struct {
	t      testing.TB
	pair   *hosttest.Pair
	cgroup string
	dir    string
	// mounts is the file of the mount namespace in which the agent runs; empty is the test's.
	mounts string
	conn   *grpc.ClientConn
	client pb.LocalServiceClient

	stop context.CancelFunc
	done sync.WaitGroup
	// deserted: the init starts the agent no more.
	deserted atomic.Bool
	log      *os.File
}

func newLane(t testing.TB) *lane {
	t.Helper()
	l := &lane{t: t, cgroup: hosttest.NewCgroup(t), pair: hosttest.NewPair(t)}
	dir, err := os.MkdirTemp("", "sweep") //nolint:usetesting // short: it holds a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l.dir = dir
	l.mirrored()
	if l.log, err = os.Create(filepath.Join(dir, "log")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.log.Close() })
	if l.conn, err = grpc.NewClient("unix:"+filepath.Join(dir, "sock"), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(quick)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.conn.Close() })
	l.client = pb.NewLocalServiceClient(l.conn)
	l.startWorkloads()
	return l
}

// mirrored gives the lane a folder in memory for locks and the journal's mirror.
func (l *lane) mirrored() {
	l.t.Helper()
	run, err := os.MkdirTemp("/dev/shm", "sweep")
	if err == nil {
		l.t.Cleanup(func() { os.RemoveAll(run) })
		err = os.Symlink(run, filepath.Join(l.dir, "run"))
	}
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l *lane) startWorkloads() {
	l.t.Helper()
	err := l.pair.A.Do(func() error {
		for _, w := range config().GetWorkloads() {
			if err := host.Start(l.t.Context(), l.cgroup, w); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		l.t.Fatal(err)
	}
}

// begin starts the agent under an init; the nth point stops the first worker.
func (l *lane) begin(stopAt int) {
	l.t.Helper()
	for _, old := range []string{"stopped", "stopped.go", "points", "state"} {
		os.RemoveAll(filepath.Join(l.dir, old))
	}
	os.Remove(filepath.Join(l.dir, "run", "mirror"))
	ctx, cancel := context.WithCancel(context.Background())
	l.stop = cancel
	env := append(os.Environ(), laneEnv+"="+l.dir, fmt.Sprintf("%s=%d", stopEnv, stopAt))
	l.done.Go(func() {
		for ctx.Err() == nil && !l.deserted.Load() {
			l.runAgent(ctx, env)
			wait(ctx, 50*time.Millisecond)
		}
	})
	l.await("the agent answers", func() bool { return l.status() != nil })
}

// runAgent is one life of the supervisor.
func (l *lane) runAgent(ctx context.Context, env []string) {
	cmd := exec.Command("/proc/self/exe", "agent", l.dir, l.cgroup)
	if l.mounts != "" {
		self, _ := os.Executable()
		cmd = exec.Command("nsenter", "--mount="+l.mounts, self, "agent", l.dir, l.cgroup)
	}
	cmd.Env, cmd.Stdout, cmd.Stderr = env, l.log, l.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := l.pair.A.Do(cmd.Start); err != nil {
		l.t.Errorf("start agent: %v", err)
		return
	}
	ended := context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(syscall.SIGTERM) })
	defer ended()
	_ = cmd.Wait()
}

// end ends the agent in an orderly way.
func (l *lane) end() {
	l.stop()
	l.done.Wait()
}

// status is what the agent says, or nil while there is none.
func (l *lane) status() *pb.LocalStatusResponse {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	s, err := l.client.Status(ctx, &pb.LocalStatusRequest{})
	if err != nil {
		return nil
	}
	return s
}

// await waits for a condition for a while that is long for a busy machine.
func (l *lane) await(what string, yes func() bool) bool {
	l.t.Helper()
	for until := time.Now().Add(time.Minute); time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
		if yes() {
			return true
		}
	}
	l.t.Errorf("waited in vain until %s; supervisors %v, workers %v, helpers %v, status %v", what,
		l.pids("supervisor"), l.pids("worker"), l.pids("helper"), l.status())
	l.dump()
	return false
}

// dump shows the agent's log.
func (l *lane) dump() {
	text, _ := os.ReadFile(l.log.Name())
	lines := strings.Split(string(text), "\n")
	l.t.Logf("agent's log:\n%s", strings.Join(lines[max(len(lines)-60, 0):], "\n"))
}

// pids finds the processes that play a part now.
func (l *lane) pids(part string) []int {
	var found []int
	for _, p := range processes() {
		if p.lane != l.dir || p.state == "Z" || p.part == "" {
			continue
		}
		if part == "all" || p.part == part {
			found = append(found, p.pid)
		}
	}
	return found
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
