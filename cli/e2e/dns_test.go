package e2e

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	pb "squall/proto/squall/v1"
)

// resolverTime is what a resolver of the lab waits for one answer.
const resolverTime = time.Second

// TestLookupsOfOneZoneHang and end with whoever held the fault: the same lab
// shows what applications see, and what a crash of the agent leaves.
func TestLookupsOfOneZoneHang(t *testing.T) {
	r := newRegion(t)
	run := r.inject(t, "dns.fail", "--zone", "zone-b", "--for", "20s")
	t.Run("until the resolver's own timeout", func(t *testing.T) { r.lookupsHang(t) })
	t.Run("and no application sees an error of its own kernel", func(t *testing.T) {
		for _, host := range []string{"web-b1", "db-b1"} {
			r.on(t, host, selfArgs("send", "10.77.2.12")...).check(t, answered)
		}
	})
	t.Run("and another zone notices nothing", func(t *testing.T) {
		r.lookupsWork(t, "web-a1")
	})
	t.Run("until agent and supervisor die together", func(t *testing.T) {
		pids := r.agent(t, "web-b1")
		if len(pids) != 2 {
			t.Fatalf("the agent has the processes %v, want supervisor and worker", pids)
		}
		held := r.attached(t, "web-b1")
		if len(held) == 0 {
			t.Fatal("nothing is attached while the fault is held")
		}
		signal(t, syscall.SIGKILL, pids...)
		within(t, 10*time.Second, "both are dead", func() bool {
			return !slices.ContainsFunc(r.agent(t, "web-b1"), func(pid int) bool { return slices.Contains(pids, pid) })
		})
		r.lookupsWork(t, "web-b1")
		// The new agent tries its mechanisms, so only what was held counts.
		for _, line := range r.attached(t, "web-b1") {
			if slices.Contains(held, line) {
				t.Errorf("left in the host's kernel: %s", line)
			}
		}
		within(t, 20*time.Second, "nothing at all is attached", func() bool { return len(r.attached(t, "web-b1")) == 0 })
	})
	t.Run("and the step is not injected again", func(t *testing.T) { r.onceOnly(t, run) })
}

// attached are the programs on a host's interfaces, and what else is there
// that no host has by itself.
func (r *region) attached(t *testing.T, host string) (found []string) {
	t.Helper()
	out := r.on(t, host, selfArgs("attached")...)
	out.check(t, 0, "link veth eth0")
	for line := range strings.Lines(out.stdout) {
		switch line {
		case "link device lo\n", "link veth eth0\n", "qdisc lo noqueue\n", "qdisc eth0 noqueue\n":
		default:
			found = append(found, line)
		}
	}
	return found
}

// lookupsHang shows it through glibc and through Go's own resolver, on every
// host of the zone at once.
func (r *region) lookupsHang(t *testing.T) {
	t.Helper()
	var asked []*command
	began := time.Now()
	for _, host := range []string{"web-b1", "db-b1"} {
		for _, argv := range lookups() {
			asked = append(asked, r.start(t, append([]string{"lab", "exec", host, "--"}, argv...)...))
		}
	}
	for _, c := range asked {
		out := c.end(t)
		out.check(t, timedOut)
		if took := time.Since(began); took < resolverTime {
			t.Errorf("it gave up after %v, before its timeout: %v", took, out)
		}
	}
}

// lookups are the commands that look a name up.
func lookups() [][]string {
	return [][]string{{"/usr/bin/getent", "hosts", "shop.test"}, selfArgs("lookup", "shop.test")}
}

func (r *region) lookupsWork(t *testing.T, host string) {
	t.Helper()
	for _, argv := range lookups() {
		out := r.on(t, host, argv...)
		out.check(t, answered, "10.77.")
		if out.took >= resolverTime {
			t.Logf("a query was lost on the way, or the machine is busy: %v", out)
		}
	}
}

// onceOnly shows that a host which lost its agent in mid-step reports that,
// and stays free of the fault while the run goes on elsewhere.
func (r *region) onceOnly(t *testing.T, run string) {
	t.Helper()
	within(t, time.Minute, "the agent is back and the servers know", func() bool {
		return r.stepOf(t, run, "web-b1").GetState() == pb.StepState_STEP_STATE_REVERTED && len(r.agent(t, "web-b1")) == 2
	})
	local := r.local(t, "web-b1")
	if len(local.GetResidue()) > 0 {
		t.Errorf("the new agent finds %v", local.GetResidue())
	}
	r.lookupsWork(t, "web-b1")
	report, code := r.done(t, run)
	if code != 13 {
		t.Errorf("the run's exit code is %d, want 13: the fault was lost early", code)
	}
	for _, h := range report.GetSteps()[0].GetHosts() {
		want := pb.RevertCause_REVERT_CAUSE_END
		if h.GetHost() == "web-b1" {
			want = pb.RevertCause_REVERT_CAUSE_CRASH
		}
		if h.GetCause() != want {
			t.Errorf("%s reverted for %v, want %v", h.GetHost(), h.GetCause(), want)
		}
		if n := strings.Count(marks(h), "ARMED"); n != 1 {
			t.Errorf("%s was armed %d times: %s", h.GetHost(), n, marks(h))
		}
	}
}

// stepOf is a run's step on a host, as the servers know it.
func (r *region) stepOf(t *testing.T, run, host string) *pb.StepStatus {
	t.Helper()
	report, _ := r.report(t, run)
	for _, step := range report.GetSteps() {
		for _, h := range step.GetHosts() {
			if h.GetHost() == host {
				return h
			}
		}
	}
	return nil
}

// marks are the states of a step's journal, in order.
func marks(s *pb.StepStatus) string {
	var names []string
	for _, m := range s.GetJournal() {
		names = append(names, strings.TrimPrefix(m.GetState().String(), "STEP_STATE_"))
	}
	return strings.Join(names, " ")
}
