package host_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"squall/agent/helper"
	"squall/agent/host"
	"squall/agent/host/hosttest"
	pb "squall/proto/squall/v1"
)

// roleEnv lets the test binary play a workload.
const (
	roleEnv = "SQUALL_TEST_ROLE"
	baseEnv = "SQUALL_TEST_BASE"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "helper" {
		os.Exit(helper.Main(os.Args[2:], os.Stdin, os.Stdout, os.Stderr))
	}
	switch os.Getenv(roleEnv) {
	case "listen":
		listen()
	case "sleep":
		time.Sleep(time.Minute)
	case "silence":
		holdSilence()
	case "undeclared":
		fmt.Println(killUndeclared(os.Getenv(baseEnv)))
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
		err = h.Do(context.Background(), silence(h))
	}
	fmt.Println("attached:", err)
	time.Sleep(time.Minute)
}

func silence(h *host.Real) *pb.Op {
	now := h.Boot()
	h.Renew(now + time.Minute)
	return &pb.Op{Kind: &pb.Op_Silence{Silence: &pb.Silence{
		Tag:  "squall/run/step/silence",
		Gate: &pb.Gate{StartBootNanos: int64(now), EndBootNanos: int64(now + time.Minute)},
	}}}
}

// killUndeclared is pid 1 of a pid namespace: it kills what no workload claims
// there, and tells who is left.
func killUndeclared(base string) error {
	err := errors.Join(
		unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
		unix.Mount("proc", "/proc", "proc", 0, ""),
	)
	if self, _ := os.Readlink("/proc/self"); err != nil || self != "1" || os.Getpid() != 1 {
		return fmt.Errorf("not alone: %v, pid %s", err, self)
	}
	h, err := host.Open(&pb.HostConfig{
		AllowUndeclaredKill: true, Workloads: []*pb.Workload{shell("web", "sleep 60"), shell("db", "sleep 60")},
	}, host.Options{Base: base})
	if err != nil {
		return err
	}
	stray := exec.Command("sleep", "60")
	if err := errors.Join(h.Do(context.Background(), start("web", "db")), stray.Start()); err != nil {
		return err
	}
	op := kill(0, "web")
	op.GetKillWorkloads().Undeclared = true
	if err := h.Do(context.Background(), op); err != nil {
		return err
	}
	err = stray.Wait()
	found, _ := h.Facts(context.Background())
	return fmt.Errorf("stray %w, web %d, db %d, undeclared %v", err,
		found.GetWorkloads()[0].GetProcesses(), found.GetWorkloads()[1].GetProcesses(), found.GetUndeclared())
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
	return &pb.Op{Kind: &pb.Op_KillWorkloads{KillWorkloads: &pb.KillWorkloads{
		Tag: "run/step/kill", Workload: names, AtBootNanos: int64(at),
	}}}
}

func do(t testing.TB, h host.Host, op *pb.Op) {
	t.Helper()
	if err := h.Do(t.Context(), op); err != nil {
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
	for range 1000 {
		if ok() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("it never came true that %s", what)
}

func TestRestartAfterKill(t *testing.T) {
	h, base := openHost(t, shell("web", "sleep 60"))
	for range 3 {
		do(t, h, start("web"))
		time.Sleep(20 * time.Millisecond)
		if n := processes(t, base, "web"); n == 0 {
			t.Fatal("the workload died at birth")
		}
		do(t, h, kill(0, "web"))
		if n := processes(t, base, "web"); n != 0 {
			t.Fatalf("%d processes live after the kill", n)
		}
	}
}

func TestStartLeavesRunningWorkloadAlone(t *testing.T) {
	h, base := openHost(t, shell("web", "sleep 60"))
	do(t, h, start("web"))
	do(t, h, start("web"))
	time.Sleep(20 * time.Millisecond)
	if n := processes(t, base, "web"); n < 1 || n > 2 { // sh may or may not exec its last command
		t.Errorf("%d processes", n)
	}
}

func TestForkChainsDieAtOneWrite(t *testing.T) {
	// Each process forks its successor and ends: no list of pids is ever right.
	h, base := openHost(t, shell("bomb", "r() { (r) & }; r; r; r; r; r; wait"))
	do(t, h, start("bomb"))
	time.Sleep(100 * time.Millisecond)
	do(t, h, kill(0, "bomb"))
	time.Sleep(20 * time.Millisecond)
	if n := processes(t, base, "bomb"); n != 0 {
		t.Errorf("%d processes live", n)
	}
}

func TestKillComesAtItsInstant(t *testing.T) {
	h, base := openHost(t, shell("web", "sleep 60"))
	do(t, h, start("web"))
	at := h.Boot() + 80*time.Millisecond
	early := make(chan uint32, 1)
	time.AfterFunc(40*time.Millisecond, func() { early <- processes(t, base, "web") })
	do(t, h, kill(at, "web"))
	if h.Boot() < at {
		t.Error("the kill returned before its instant")
	}
	if n := <-early; n == 0 {
		t.Error("the workload was dead before the instant")
	}
	found, err := h.Evidence(t.Context(), "run/step", false)
	if err != nil || len(found) != 1 || found[0].GetName() != "killed" {
		t.Fatalf("evidence %v, %v", found, err)
	}
	t.Log(found[0].GetText())
}

func TestKillIsCalledOff(t *testing.T) {
	h, base := openHost(t, shell("web", "sleep 60"))
	do(t, h, start("web"))
	t.Run("by its context", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if h.Do(ctx, kill(h.Boot()+time.Hour, "web")) == nil {
			t.Error("no error")
		}
	})
	t.Run("by a detach of its tag", func(t *testing.T) {
		time.AfterFunc(20*time.Millisecond, func() { _ = h.Do(context.Background(), detach("run/step")) })
		if h.Do(t.Context(), kill(h.Boot()+time.Hour, "web")) == nil {
			t.Error("no error")
		}
	})
	if n := processes(t, base, "web"); n == 0 {
		t.Error("it was killed all the same")
	}
}

func detach(tag string) *pb.Op {
	return &pb.Op{Kind: &pb.Op_Detach{Detach: &pb.Detach{Tag: tag}}}
}

func TestNeverKillsTheAgentOrTheRoot(t *testing.T) {
	own := ownCgroup(t)
	h, _ := openHost(t, &pb.Workload{Name: "root", Cgroup: "/"}, &pb.Workload{Name: "self", Cgroup: own})
	for _, name := range []string{"root", "self"} {
		if err := h.Do(t.Context(), kill(0, name)); err == nil {
			t.Fatalf("killed %s", name)
		}
	}
}

func ownCgroup(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if path, ok := strings.CutPrefix(line, "0::"); ok {
			return strings.TrimSpace(path)
		}
	}
	return "/"
}

func TestUndeclaredKillSparesWhatIsClaimed(t *testing.T) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), roleEnv+"=undeclared", baseEnv+"="+hosttest.NewCgroup(t))
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	got := strings.TrimSpace(string(out))
	if got != "stray signal: killed, web 0, db 1, undeclared []" && got != "stray signal: killed, web 0, db 2, undeclared []" {
		t.Errorf("got %q", got)
	}
}

func TestUndeclaredKillNeedsTheHostsWord(t *testing.T) {
	h, _ := openHost(t)
	op := kill(0)
	op.GetKillWorkloads().Undeclared = true
	if err := h.Do(t.Context(), op); err == nil {
		t.Error("no error")
	}
}

func TestRespawnIsCaught(t *testing.T) {
	hosttest.Require(t, "hold.exec")
	for name, script := range map[string]string{
		"that executes a program":   "$enter; exec sleep 60",
		"that only forks":           "$enter; while :; do read x < /dev/null; done",
		"whose cgroup is made anew": "rmdir $cgroup && mkdir $cgroup; $enter; exec sleep 60",
	} {
		t.Run(name, func(t *testing.T) {
			h, base := openHost(t, shell("web", "sleep 60"))
			do(t, h, start("web"))
			cgroup := filepath.Join(base, host.WorkloadsFolder, "web")
			stop := respawner(t, cgroup, script)
			now := h.Boot()
			h.Renew(now + time.Minute)
			do(t, h, &pb.Op{Kind: &pb.Op_HoldDown{HoldDown: &pb.HoldDown{
				Tag: "run/step/hold", Cgroups: []string{cgroup},
				Gate: &pb.Gate{StartBootNanos: int64(now), EndBootNanos: int64(now + time.Minute)},
			}}})
			do(t, h, kill(0, "web"))
			time.Sleep(300 * time.Millisecond)
			stop()
			eventually(t, "nothing lives", func() bool { return processes(t, base, "web") == 0 })
			found, err := h.Evidence(t.Context(), "run/step", false)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range found {
				t.Log(e.GetName(), e.GetHolds(), e.GetText())
				if e.GetName() == "respawns" && e.GetValue() == 0 {
					t.Error("no respawn was caught")
				}
			}
			do(t, h, detach("run/step"))
			do(t, h, start("web"))
			time.Sleep(30 * time.Millisecond)
			if processes(t, base, "web") == 0 {
				t.Error("the workload can't run after the hold")
			}
		})
	}
}

// respawner is a manager that starts a program in the cgroup again and again.
func respawner(t *testing.T, cgroup, script string) (stop func()) {
	t.Helper()
	mount, err := host.CgroupMount()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(mount, cgroup)
	script = strings.NewReplacer("$enter", "echo $$ > "+dir+"/cgroup.procs", "$cgroup", dir).Replace(script)
	cmd := exec.Command("sh", "-c", "while :; do sh -c '"+script+"'; sleep 0.01; done")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Stderr = nil
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := false
	stop = func() {
		if !done {
			done = true
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			_ = cmd.Wait()
		}
	}
	t.Cleanup(stop)
	return stop
}

func TestFactsNameWorkloadsAndTheirPorts(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	base := hosttest.NewCgroup(t)
	logs := t.TempDir()
	config := &pb.HostConfig{Name: "h", Zone: "z", Workloads: []*pb.Workload{
		{Name: "web", Start: []string{self}, Env: map[string]string{roleEnv: "listen"}},
		{Name: "orphan", Cgroup: base + "/none", Protect: true},
	}}
	h, err := host.Open(config, host.Options{Base: base, Logs: logs})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	do(t, h, start("web"))
	var want []uint32
	eventually(t, "the workload listens", func() bool {
		b, _ := os.ReadFile(filepath.Join(logs, "web.log"))
		var tcp, udp uint32
		n, _ := fmt.Sscan(string(b), &tcp, &udp)
		want = []uint32{tcp, udp}
		return n == 2
	})
	facts, err := h.Facts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(want)
	web, orphan := facts.GetWorkloads()[0], facts.GetWorkloads()[1]
	if !slices.Equal(web.GetPorts(), want) || web.GetProcesses() != 1 || !web.GetCanStart() {
		t.Errorf("web is %v, want ports %v", web, want)
	}
	if orphan.GetCanStart() || orphan.GetProcesses() != 0 || !orphan.GetProtect() {
		t.Errorf("orphan is %v", orphan)
	}
	if facts.GetBootId() == "" || len(facts.GetAbilities()) != len(host.Abilities()) {
		t.Errorf("facts %v", facts)
	}
}

func TestSilenceIsSeenAndLeavesNothing(t *testing.T) {
	hosttest.Require(t, "silence")
	pair := hosttest.NewPair(t)
	base := hosttest.NewCgroup(t)
	err := pair.A.Do(func() error {
		if err := netlink.RouteAdd(&netlink.Route{Gw: pair.B4.AsSlice()}); err != nil {
			return err
		}
		h, err := host.Open(&pb.HostConfig{Name: "h", Zone: "z"}, host.Options{Base: base})
		if err != nil {
			return err
		}
		defer h.Close()
		op := silence(h)
		do(t, h, op)
		do(t, h, op)
		found, err := h.Evidence(t.Context(), "squall/run/step", false)
		if err != nil {
			return err
		}
		for _, e := range found {
			t.Log(e.GetName(), e.GetHolds(), e.GetText())
			if !e.GetHolds() {
				t.Errorf("%s doesn't hold", e.GetName())
			}
		}
		if left, err := h.Leftovers(t.Context(), []string{"squall/run/step"}); err != nil || len(left) > 0 {
			t.Errorf("what is held is called left over: %v, %v", left, err)
		}
		do(t, h, detach("squall/run/step/silence"))
		do(t, h, detach("squall/run/step/silence"))
		found, err = h.Evidence(t.Context(), "squall/run/step", true)
		if len(found) != 1 || !found[0].GetHolds() {
			t.Errorf("not clean: %v", found)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestWhatNobodyOfOursHoldsIsFoundAndRemoved(t *testing.T) {
	hosttest.Require(t, "silence")
	pair := hosttest.NewPair(t)
	base := hosttest.NewCgroup(t)
	err := pair.A.Do(func() error {
		holder := exec.Command("/proc/self/exe")
		holder.Env = append(os.Environ(), roleEnv+"=silence")
		out, err := holder.StdoutPipe()
		if err != nil {
			return err
		}
		if err := holder.Start(); err != nil {
			return err
		}
		defer holder.Wait()         //nolint:errcheck // killed
		defer holder.Process.Kill() //nolint:errcheck // it lives
		if said, _ := bufio.NewReader(out).ReadString('\n'); said != "attached: <nil>\n" {
			t.Fatalf("the holder said %q", said)
		}
		h, err := host.Open(&pb.HostConfig{}, host.Options{Base: base})
		if err != nil {
			return err
		}
		defer h.Close()
		found, err := h.Evidence(t.Context(), "squall/run/step", true)
		if err != nil || len(found) == 0 || found[0].GetHolds() {
			t.Errorf("a silence of another process was not seen: %v, %v", found, err)
		}
		if left, err := h.Leftovers(t.Context(), nil); err != nil || len(left) > 0 {
			t.Errorf("left %v, %v", left, err)
		}
		found, err = h.Evidence(t.Context(), "squall/run/step", true)
		if len(found) != 1 || !found[0].GetHolds() {
			t.Errorf("not clean: %v", found)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestDoctorAsRoot(t *testing.T) {
	hosttest.RequireRoot(t)
	for _, a := range host.Doctor(t.Context()) {
		t.Log(a.GetName(), a.GetState(), a.GetDetail())
		if a.GetState() == pb.AbilityState_ABILITY_STATE_MISSING {
			t.Errorf("%s is missing: %s", a.GetName(), a.GetDetail())
		}
	}
}

func TestDoctorWithoutRootSaysWhatStillWorks(t *testing.T) {
	hosttest.RequireRoot(t)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), roleEnv+"=doctor")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{"root ABILITY_STATE_MISSING not root", "still work", "bpf ABILITY_STATE_MISSING"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
}

func TestUnsupportedIsNamed(t *testing.T) {
	h := hosttest.NewFake(&pb.HostConfig{})
	h.SetFacts(func(f *pb.Facts) { f.Abilities = nil })
	err := h.Do(t.Context(), &pb.Op{Kind: &pb.Op_Silence{Silence: &pb.Silence{Tag: "t"}}})
	if !errors.Is(err, host.ErrUnsupported) || !strings.Contains(err.Error(), "silence") {
		t.Errorf("got %v", err)
	}
}
