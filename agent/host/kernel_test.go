package host_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"squall/agent/helper"
	"squall/agent/host"
	"squall/agent/host/bpf"
	"squall/agent/host/hosttest"
	pb "squall/proto/squall/v1"
)

const (
	roleEnv = "SQUALL_TEST_ROLE"
	baseEnv = "SQUALL_TEST_BASE"
	// mechanismEnv numbers the freezer to use.
	mechanismEnv = "SQUALL_TEST_MECHANISM"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "helper" {
		os.Exit(helper.Main(os.Args[2:], os.Stdin, os.Stdout, os.Stderr))
	}
	switch os.Getenv(roleEnv) {
	case "listen":
		listen()
	case "listen on 8099":
		_, err := net.Listen("tcp", ":8099")
		fmt.Println(err)
		time.Sleep(time.Minute)
	case "sleep":
		time.Sleep(time.Minute)
	case "silence":
		holdSilence()
	case "freeze":
		holdFreeze(os.Getenv(baseEnv), os.Getenv(mechanismEnv))
	case "orphaned silence":
		holdOrphan()
	case "undeclared":
		fmt.Println(killUndeclared(os.Getenv(baseEnv)))
	case "start":
		startSleeper(os.Getenv(baseEnv))
	case "doctor":
		for _, a := range host.Doctor(context.Background()) {
			fmt.Println(a.GetName(), a.GetState(), a.GetDetail())
		}
	default:
		os.Exit(m.Run())
	}
}

// listen waits on a TCP and a UDP port and prints them.
func listen() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		os.Exit(1)
	}
	u, err := net.ListenPacket("udp6", "[::1]:0")
	if err != nil {
		os.Exit(1)
	}
	fmt.Println(l.Addr().(*net.TCPAddr).Port, u.LocalAddr().(*net.UDPAddr).Port)
	time.Sleep(time.Minute)
}

// holdSilence holds a silence until it is killed.
func holdSilence() {
	h, err := host.Open(&pb.HostConfig{}, host.Options{})
	if err == nil {
		err = h.Do(context.Background(), silence(h), nil)
	}
	fmt.Println("attached:", err)
	time.Sleep(time.Minute)
}

// holdOrphan holds a silence of which no agent knows until it is killed.
func holdOrphan() {
	loader, err := bpf.Open()
	if err == nil {
		_, err = loader.Silence(&pb.Gate{EndBootNanos: int64(loader.Boot() + time.Minute), IgnoreLease: true}, &pb.Silence{}, nil)
	}
	fmt.Println("attached:", err)
	time.Sleep(time.Minute)
}

func silence(h *host.Real) *pb.Op {
	now := h.Boot()
	h.Renew("squall", now+time.Minute)
	return &pb.Op{
		Tag:  "squall/run/step/silence",
		Gate: &pb.Gate{StartBootNanos: int64(now), EndBootNanos: int64(now + time.Minute)},
		Kind: &pb.Op_Silence{Silence: &pb.Silence{}},
	}
}

// killUndeclared is pid 1 of a pid namespace: it kills what no workload claims
// there, and tells who is left.
func killUndeclared(base string) error {
	err := errors.Join(
		unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
		unix.Mount("proc", "/proc", "proc", 0, ""),
	)
	if self, _ := os.Readlink("/proc/self"); err != nil || self != "1" || os.Getpid() != 1 {
		return fmt.Errorf("not alone: pid %s: %w", self, err)
	}
	h, err := host.Open(&pb.HostConfig{
		// What db starts all the time is claimed from birth: it ends where one is killed.
		AllowUndeclaredKill: true, Workloads: []*pb.Workload{shell("web", "sleep 60"), shell("db", "while sleep 0; do :; done")},
	}, host.Options{Base: base})
	if err != nil {
		return err
	}
	stray := exec.Command("sleep", "60")
	if err := errors.Join(h.Do(context.Background(), start("web", "db"), nil), stray.Start()); err != nil {
		return err
	}
	op := kill(0, "web")
	op.GetKillWorkloads().Undeclared = true
	if err := h.Do(context.Background(), op, nil); err != nil {
		return err
	}
	err = stray.Wait()
	found, _ := h.Facts(context.Background(), host.Undeclared)
	return fmt.Errorf("stray %w, web %d, db %d, undeclared %v", err,
		found.GetWorkloads()[0].GetProcesses(), found.GetWorkloads()[1].GetProcesses(), found.GetUndeclared())
}

// startSleeper starts a workload and prints its nice value, and ours, each with
// that of its session. It waits for the end of its input: until then whoever
// started this process may still be giving it its priority.
func startSleeper(base string) {
	_, _ = io.Copy(io.Discard, os.Stdin)
	sleeper := shell("web", "sleep 60")
	w, err := host.OpenWorkloads(base, "")
	if err != nil {
		fmt.Println(err)
		return
	}
	err = w.Start(context.Background(), sleeper)
	ours, _ := unix.Getpriority(unix.PRIO_PROCESS, 0)
	theirs := map[string]bool{} // the shell's, and what it starts
	pids, _ := w.Processes(context.Background(), sleeper)
	for _, pid := range pids {
		n, _ := unix.Getpriority(unix.PRIO_PROCESS, pid)
		theirs[fmt.Sprintf("%d in %s", 20-n, sessionNice(pid))] = true
	}
	fmt.Println("ours", 20-ours, "in", sessionNice(os.Getpid()), "theirs", theirs, err)
}

// sessionNice is the nice value of the autogroup that a process is in, or that
// there is none.
func sessionNice(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/autogroup", pid))
	if errors.Is(err, os.ErrNotExist) {
		return "none"
	}
	_, nice, _ := strings.Cut(strings.TrimSpace(string(b)), " nice ")
	return nice
}

// openHost opens a host whose workloads live in a cgroup of the test.
func openHost(t testing.TB, workloads ...*pb.Workload) (h *host.Real, base string) {
	t.Helper()
	base = hosttest.NewCgroup(t)
	h, err := host.Open(&pb.HostConfig{Name: "h", Zone: "z", Workloads: workloads}, host.Options{Base: base, Logs: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Errorf("close host: %v", err)
		}
	})
	return h, base
}

func shell(name, script string) *pb.Workload {
	return &pb.Workload{Name: name, Start: []string{"sh", "-c", script}}
}

func start(names ...string) *pb.Op {
	return &pb.Op{Kind: &pb.Op_StartWorkloads{StartWorkloads: &pb.StartWorkloads{Workload: names}}}
}

func kill(at time.Duration, names ...string) *pb.Op {
	return &pb.Op{
		Tag:  "run/step/kill",
		Gate: &pb.Gate{StartBootNanos: int64(at), EndBootNanos: math.MaxInt64, IgnoreLease: true},
		Kind: &pb.Op_KillWorkloads{KillWorkloads: &pb.KillWorkloads{Workload: names}},
	}
}

func do(t testing.TB, h host.Host, op *pb.Op) {
	t.Helper()
	if err := h.Do(t.Context(), op, nil); err != nil {
		t.Fatal(err)
	}
}

// processes counts the live processes of a workload under base.
func processes(t testing.TB, base, name string) uint32 {
	t.Helper()
	w, err := host.OpenWorkloads(base, "")
	if err != nil {
		t.Fatal(err)
	}
	pids, err := w.Processes(t.Context(), &pb.Workload{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return uint32(len(pids))
}

// eventually waits for what other processes do.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("it never came true that %s", what)
}
