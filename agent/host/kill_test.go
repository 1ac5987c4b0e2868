package host_test

import (
	"context"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"squall/agent/host"
	"squall/agent/host/hosttest"
	pb "squall/proto/squall/v1"
)

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
		do(t, h, detach("run/step"))
	}
}

// TestKillReadsItsGateAtTheInstant: an agent that was stopped over the end of its
// lease, or over that of its fault, must not kill when it goes on.
func TestKillReadsItsGateAtTheInstant(t *testing.T) {
	h, base := openHost(t, shell("web", "sleep 60"))
	do(t, h, start("web"))
	for name, gate := range map[string]*pb.Gate{
		"the lease is over": {EndBootNanos: math.MaxInt64},
		"the end is over":   {EndBootNanos: 1, IgnoreLease: true},
	} {
		op, now := kill(0, "web"), h.Boot()
		op.Gate = gate
		op.Gate.StartBootNanos = int64(now + 60*time.Millisecond)
		h.Renew("run", now+20*time.Millisecond)
		if err := h.Do(t.Context(), op, nil); err == nil || !strings.Contains(err.Error(), "nothing was done") {
			t.Errorf("%s: %v", name, err)
		}
		if processes(t, base, "web") == 0 {
			t.Fatalf("%s: it was killed all the same", name)
		}
	}
}

// TestStartReadsItsGate: a start that comes too late starts nothing.
func TestStartReadsItsGate(t *testing.T) {
	h, base := openHost(t, shell("web", "sleep 60"))
	op := start("web")
	op.Gate = &pb.Gate{EndBootNanos: int64(h.Boot()), IgnoreLease: true}
	if err := h.Do(t.Context(), op, nil); err == nil || processes(t, base, "web") != 0 {
		t.Errorf("%v, and %d processes", err, processes(t, base, "web"))
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

// TestFactsTellWhatRan: what our own fault keeps down ran before it, and who
// ends last has to start it; what was down by itself stays so.
func TestFactsTellWhatRan(t *testing.T) {
	hosttest.RequireRoot(t)
	h, _ := openHost(t, shell("web", "sleep 60"), shell("idle", "sleep 60"))
	runs := func() (web, idle bool) {
		f, err := h.Facts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return f.GetWorkloads()[0].GetRuns(), f.GetWorkloads()[1].GetRuns()
	}
	do(t, h, start("web"))
	if web, idle := runs(); !web || idle {
		t.Errorf("before: web runs %t, idle %t", web, idle)
	}
	f, err := h.Facts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	do(t, h, &pb.Op{
		Tag: "run/step/hold", Gate: kill(0).GetGate(),
		Kind: &pb.Op_HoldDown{HoldDown: &pb.HoldDown{Cgroups: []string{f.GetWorkloads()[0].GetCgroup()}}},
	})
	do(t, h, kill(0, "web"))
	if web, idle := runs(); !web || idle {
		t.Errorf("while web is kept down: web runs %t, idle %t", web, idle)
	}
	do(t, h, detach("run/step"))
	if web, _ := runs(); web {
		t.Error("web runs after the fault, and nobody has started it")
	}
}

// TestTheDeadShowNothing: that nothing lives is no sign of a fault where nothing
// lived before it.
func TestTheDeadShowNothing(t *testing.T) {
	hosttest.Require(t, "hold.exec")
	for name, runs := range map[string]bool{"dead": false, "alive": true} {
		t.Run(name, func(t *testing.T) {
			// It runs once it is started: a shell would be caught on its way to its program.
			h, base := openHost(t, &pb.Workload{Name: "web", Start: []string{"sleep", "60"}})
			if runs {
				do(t, h, start("web"))
			}
			now := h.Boot()
			gate := &pb.Gate{StartBootNanos: int64(now), EndBootNanos: int64(now + time.Minute), IgnoreLease: true}
			do(t, h, &pb.Op{Tag: "run/step/hold", Gate: gate, Kind: &pb.Op_HoldDown{HoldDown: &pb.HoldDown{
				Cgroups: []string{filepath.Join(base, host.WorkloadsFolder, "web")},
			}}})
			op := kill(0, "web")
			op.Tag = "run/step/kill"
			do(t, h, op)
			found, err := h.Evidence(t.Context(), "run/step")
			if err != nil {
				t.Fatal(err)
			}
			shown := map[string]bool{}
			for _, e := range found {
				shown[e.GetName()] = e.GetHolds() && !e.GetFact()
			}
			if shown["alive"] != runs || shown["killed"] != runs {
				t.Errorf("shown: %v by %v", shown, found)
			}
		})
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
	for ahead := 80 * time.Millisecond; !killedAt(t, h, base, ahead); ahead *= 2 {
		t.Logf("the machine is busy: nobody looked within %s before the instant", ahead)
		do(t, h, detach("run/step"))
	}
	found, err := h.Evidence(t.Context(), "run/step")
	if err != nil || len(found) != 2 || found[0].GetName() != "killed" {
		t.Fatalf("evidence %v, %v", found, err)
	}
	t.Log(found[0].GetText())
}

// killedAt kills some time ahead, and tells whether the workload was looked at
// before that, as on a machine that is not too busy.
func killedAt(t *testing.T, h *host.Real, base string, ahead time.Duration) (looked bool) {
	t.Helper()
	do(t, h, start("web"))
	at := h.Boot() + ahead
	var early uint32
	var looks sync.WaitGroup
	looks.Go(func() {
		time.Sleep(ahead / 2)
		early = processes(t, base, "web")
		looked = h.Boot() < at
	})
	do(t, h, kill(at, "web"))
	if h.Boot() < at {
		t.Error("the kill returned before its instant")
	}
	looks.Wait()
	if looked && early == 0 {
		t.Error("the workload was dead before the instant")
	}
	return looked || ahead > time.Minute
}

func TestKillIsCalledOff(t *testing.T) {
	h, base := openHost(t, shell("web", "sleep 60"))
	do(t, h, start("web"))
	t.Run("by its context", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if h.Do(ctx, kill(h.Boot()+time.Hour, "web"), nil) == nil {
			t.Error("no error")
		}
	})
	t.Run("by a detach of its tag", func(t *testing.T) {
		time.AfterFunc(20*time.Millisecond, func() { _ = h.Do(context.Background(), detach("run/step"), nil) })
		if h.Do(t.Context(), kill(h.Boot()+time.Hour, "web"), nil) == nil {
			t.Error("no error")
		}
	})
	if n := processes(t, base, "web"); n == 0 {
		t.Error("it was killed all the same")
	}
}

func detach(tag string) *pb.Op {
	return &pb.Op{Kind: &pb.Op_Detach{Detach: &pb.Detach{}}, Tag: tag}
}

func TestNeverKillsTheAgentOrTheRoot(t *testing.T) {
	own := ownCgroup(t)
	h, _ := openHost(t, &pb.Workload{Name: "root", Cgroup: "/"}, &pb.Workload{Name: "self", Cgroup: own})
	for _, name := range []string{"root", "self"} {
		if err := h.Do(t.Context(), kill(0, name), nil); err == nil {
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
	if err := h.Do(t.Context(), op, nil); err == nil {
		t.Error("no error")
	}
}

// TestKillFollowsACgroupThatIsMadeAnew between arming and the instant, as by the
// restart of a unit.
func TestKillFollowsACgroupThatIsMadeAnew(t *testing.T) {
	h, base := openHost(t, shell("web", "exec sleep 60"))
	mount, err := host.CgroupMount()
	if err != nil {
		t.Fatal(err)
	}
	cgroup := filepath.Join(mount, base, host.WorkloadsFolder, "web")
	for ahead := 400 * time.Millisecond; !killedAnew(t, h, cgroup, ahead); ahead *= 2 {
		t.Logf("the machine is busy: it took more than %s to restart it", ahead)
		do(t, h, kill(0, "web"))
		do(t, h, detach("run/step"))
	}
	if n := processes(t, base, "web"); n != 0 {
		t.Errorf("%d processes of the new one live", n)
	}
	found, err := h.Evidence(t.Context(), "run/step")
	if err != nil || len(found) == 0 || !strings.Contains(found[0].GetText(), "made anew") {
		t.Errorf("evidence %v, %v", found, err)
	}
}

// killedAnew kills some time ahead a workload that is restarted meanwhile, and
// tells whether the restart was over by then, as on a machine that is not too busy.
func killedAnew(t *testing.T, h *host.Real, cgroup string, ahead time.Duration) (inTime bool) {
	t.Helper()
	do(t, h, start("web"))
	at := h.Boot() + ahead
	restarted := make(chan error, 1)
	armed := func() {
		// The old one ends, and another one is born in a new cgroup.
		const restart = `for pid in $(cat $1/cgroup.procs); do kill -9 $pid; done
until rmdir $1; do :; done; mkdir $1; sh -c 'echo $$ >$0/cgroup.procs; exec sleep 60' $1 &
for i in $(seq 500); do read pid <$1/cgroup.procs && break; sleep 0.01; done`
		go func() {
			err := exec.Command("sh", "-c", restart, "sh", cgroup).Run()
			inTime = h.Boot() < at
			restarted <- err
		}()
	}
	killed := h.Do(t.Context(), kill(at, "web"), armed)
	if err := <-restarted; err != nil {
		t.Fatal(err)
	}
	if inTime && killed != nil {
		t.Error(killed)
	}
	return inTime || ahead > time.Minute
}
