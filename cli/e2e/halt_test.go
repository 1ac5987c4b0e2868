package e2e

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"squall/proto/pki"
	pb "squall/proto/squall/v1"
)

// TestHaltRevertsFromAnyServer goes down a ladder in one lab: all servers, the
// leader just killed, and no quorum.
func TestHaltRevertsFromAnyServer(t *testing.T) {
	r := newRegion(t)
	servers := []string{"server-a", "server-b", "server-c"}
	for _, server := range servers {
		t.Run("asked at "+server, func(t *testing.T) {
			run := r.inject(t, "dns.fail", "--zone", "zone-b", "--for", "2m")
			out := r.squall(t, "halt", "--reason", "enough", "--bundle", r.onlyDoor(t, server))
			out.check(t, 0, "halted")
			r.checkHalted(t, run)
			r.must(t, 4, []string{"the halt lever is engaged", "enough", "squall resume"}, "inject", "dns.fail", "--zone", "zone-a", "--for", "5s")
			r.must(t, 0, []string{"resumed"}, "resume")
			if _, code := r.done(t, run); code != 12 {
				t.Errorf("the run's exit code is %d, want 12", code)
			}
		})
	}
	t.Run("with the leader just killed", func(t *testing.T) {
		run := r.inject(t, "dns.fail", "--zone", "zone-b", "--for", "2m")
		leader := r.leader(t)
		signal(t, syscall.SIGKILL, r.server(t, leader))
		r.must(t, 0, []string{"halted"}, "halt", "--reason", "headless")
		r.checkHalted(t, run)
		r.must(t, 4, []string{"the halt lever is engaged", "headless"}, "inject", "dns.fail", "--zone", "zone-a", "--for", "5s")
		within(t, 30*time.Second, "the lever is let go of", func() bool { return r.squall(t, "resume").code == 0 })
		r.done(t, run)
	})
	t.Run("without a quorum", func(t *testing.T) { r.haltAlone(t) })
}

// haltAlone stops the leader of the two servers that are left.
func (r *region) haltAlone(t *testing.T) {
	t.Helper()
	r.leader(t)
	run := r.inject(t, "dns.fail", "--zone", "zone-b", "--for", "2m")
	pause(t, r.server(t, r.leader(t)))
	out := r.squall(t, "halt", "--reason", "alone")
	switch {
	case !out.says("not committed: no quorum"):
		t.Fatalf("it does not say that it is not committed: %v", out)
	case out.code == 20 && !out.says("not heard from"), out.code != 20 && out.code != 5:
		t.Fatalf("exit code %d, want 5, or 20 with the hosts that were not heard from: %v", out.code, out)
	}
	for _, host := range []string{"web-b1", "db-b1"} {
		within(t, 30*time.Second, host+" has reverted", func() bool {
			return r.step(t, host, run).GetState() == pb.StepState_STEP_STATE_REVERTED
		})
		// Who was out of reach of the one server that is left ends at his lease, and is named.
		cause := r.step(t, host, run).GetCause()
		atLease := cause == pb.RevertCause_REVERT_CAUSE_LEASE && strings.Contains(out.stderr, host)
		if !halted(cause) && !atLease {
			t.Errorf("%s reverted for %v: %v", host, cause, out)
		}
		r.lookupsWork(t, host)
	}
	r.must(t, 4, []string{"the halt lever is engaged", "alone"}, "inject", "dns.fail", "--zone", "zone-a", "--for", "5s")
}

// onlyDoor is a person's bundle that knows one server alone.
func (r *region) onlyDoor(t *testing.T, server string) string {
	t.Helper()
	bundle, err := pki.Load(filepath.Join(r.folder, "pki", "operator"))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range bundle.Servers {
		if s.ID != server {
			continue
		}
		dir := filepath.Join(t.TempDir(), server)
		if err := bundle.WithServers([]pki.Server{s}).Write(dir); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	t.Fatalf("the bundle knows no %s: %v", server, bundle.Servers)
	return ""
}

// checkHalted asks the hosts themselves: reverted, and for no other reason.
func (r *region) checkHalted(t *testing.T, run string) {
	t.Helper()
	for _, host := range []string{"web-b1", "db-b1"} {
		within(t, 30*time.Second, host+" has reverted", func() bool {
			s := r.step(t, host, run)
			return s == nil || s.GetState() == pb.StepState_STEP_STATE_REVERTED
		})
		if s := r.step(t, host, run); s != nil && !halted(s.GetCause()) {
			t.Errorf("%s reverted for %v", host, s.GetCause())
		}
		r.lookupsWork(t, host)
	}
}

// halted says that the lever ended a step, whichever way the host heard of it.
func halted(cause pb.RevertCause) bool {
	return strings.Contains("HALT ORDER", strings.TrimPrefix(cause.String(), "REVERT_CAUSE_"))
}
