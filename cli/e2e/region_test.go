package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"squall/agent/host/hosttest"
	pb "squall/proto/squall/v1"
)

// region is a lab of the shop that is up.
type region struct {
	*desk
	folder string
}

// newRegion brings the lab up; it goes down with the test.
func newRegion(t *testing.T) *region {
	t.Helper()
	hosttest.RequireRoot(t)
	d := newDesk(t)
	t.Cleanup(func() { d.must(t, 0, nil, "lab", "down") })
	d.must(t, 0, []string{"is up"}, "lab", "up")
	r := &region{desk: d, folder: filepath.Join(d.dir, "squall-lab-lab")}
	if len(traces(t, d.dir)) < 20 {
		t.Error("hardly a trace of the lab is found: what is left of it would not be, either")
	}
	return r
}

// on runs a command on a host.
func (r *region) on(t *testing.T, host string, argv ...string) result {
	t.Helper()
	return r.squall(t, append([]string{"lab", "exec", host, "--"}, argv...)...)
}

// agent finds the agent of a host: its supervisor and its worker.
func (r *region) agent(t *testing.T, host string) (pids []int) {
	t.Helper()
	for _, p := range processes(t) {
		if p.plays("agent", "agent-worker") && p.names(filepath.Join(r.folder, "hosts", host, "host.yaml")) {
			pids = append(pids, p.pid)
		}
	}
	return pids
}

// server finds the process of a host's server; 0 is none.
func (r *region) server(t *testing.T, host string) int {
	t.Helper()
	for _, p := range processes(t) {
		if p.plays("server") && p.names(filepath.Join(r.folder, "pki", "server-"+host)) {
			return p.pid
		}
	}
	return 0
}

// router is a process in the network namespace through which all hosts are reached.
func (r *region) router(t *testing.T) int {
	t.Helper()
	for _, p := range processes(t) {
		if p.plays("lab-region") && p.names(r.folder) {
			return p.pid
		}
	}
	t.Fatal("the lab has no router")
	return 0
}

// status is what the servers say, or nil when none answers.
func (r *region) status(t *testing.T) *pb.Status {
	t.Helper()
	st := &pb.Status{}
	if r.read(t, st, "status").code != 0 {
		return nil
	}
	return st
}

// leader waits until the servers have one, and names its host.
func (r *region) leader(t *testing.T) (name string) {
	t.Helper()
	within(t, time.Minute, "there is a leader", func() bool {
		name = ""
		if out := r.squall(t, "status", "-o", "json"); out.code == 0 {
			name = r.status(t).GetLeader()
		}
		return name != ""
	})
	return name
}

// whole waits until every server answers, there is a leader, and all hosts are
// connected.
func (r *region) whole(t *testing.T) {
	t.Helper()
	var out result
	defer func() {
		if t.Failed() {
			t.Logf("the region is %v", out)
		}
	}()
	within(t, time.Minute, "the region is whole", func() bool {
		out = r.squall(t, "status")
		return out.code == 0 && out.says("(leader)") && !out.says("unreachable") && out.says("10 of 10 connected")
	})
}

// local is what a host's own agent says; it asks no server.
func (r *region) local(t *testing.T, host string) *pb.LocalStatusResponse {
	t.Helper()
	st := &pb.LocalStatusResponse{}
	within(t, 30*time.Second, "the agent of "+host+" answers", func() bool {
		out := r.squall(t, "status", "--local", "--socket", filepath.Join(r.folder, "hosts", host, "agent.sock"), "-o", "json")
		return out.code == 0 && decode(out.stdout, st) == nil
	})
	return st
}

// step is a run's step as the host's own agent knows it, or nil.
func (r *region) step(t *testing.T, host, run string) *pb.StepStatus {
	t.Helper()
	for _, s := range r.local(t, host).GetSteps() {
		if s.GetRun() == run {
			return s
		}
	}
	return nil
}

// inject holds an ad hoc fault and returns its run when it is active.
func (r *region) inject(t *testing.T, words ...string) (run string) {
	t.Helper()
	out := r.squall(t, slices.Concat([]string{"inject"}, words, []string{"--detach"})...)
	if out.code != 0 {
		t.Fatalf("not injected: %v", out)
	}
	_, rest, _ := strings.Cut(out.stdout, "active ")
	run, _, _ = strings.Cut(rest, " ")
	return run
}

// report is everything about a run, whatever its exit code.
func (r *region) report(t *testing.T, run string) (*pb.RunReport, int) {
	t.Helper()
	report := &pb.RunReport{}
	out := r.read(t, report, "report", run)
	return report, out.code
}

// done waits for a run's end and gives its report and exit code.
func (r *region) done(t *testing.T, run string) (report *pb.RunReport, code int) {
	t.Helper()
	within(t, 2*time.Minute, run+" is done", func() bool {
		report, code = r.report(t, run)
		return report.GetSummary().GetState() == pb.RunState_RUN_STATE_DONE
	})
	return report, code
}

// write puts a file on the desk.
func (d *desk) write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(d.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// pause stops processes until the test's end, or until they are let go before.
func pause(t *testing.T, pids ...int) (letGo func()) {
	t.Helper()
	letGo = func() {
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGCONT)
		}
	}
	t.Cleanup(letGo)
	signal(t, syscall.SIGSTOP, pids...)
	return letGo
}
