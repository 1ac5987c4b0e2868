package e2e

import (
	"testing"
	"time"
)

// undo runs `squall agent undo` where the host's agent keeps what it keeps.
func (a *alone) undo(t *testing.T, flags ...string) (r result) {
	t.Helper()
	err := a.net.A.Do(func() error {
		r = a.squall(t, append([]string{"agent", "undo", "--state", "state", "--cgroup", a.cgroup}, flags...)...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestAHostIsUndoneWithoutAnAgent: what a dead agent left is undone by a command
// of its own, which leaves a living agent alone.
func TestAHostIsUndoneWithoutAnAgent(t *testing.T) {
	a := newAlone(t)
	a.undo(t).check(t, 0) // nothing has ever been done here
	a.begin(t, "")
	a.local(t, "inject", "power.off", "--local", "--workload", "web", "--for", "5m", "--detach").check(t, 0)
	a.local(t, "inject", "dns.fail", "--local", "--for", "5m", "--detach").check(t, 0)
	within(t, 10*time.Second, "the workload is dead", func() bool { return !a.webLives(t) })
	a.undo(t, "--config", "host.yaml").check(t, 4, "an agent runs here", "squall undo --local --all")
	a.stop(t)
	a.undo(t, "--config", "no-such.yaml").check(t, 20, "no-such.yaml")
	a.undo(t, "--config", "host.yaml").check(t, 0)
	within(t, 10*time.Second, "the workload is back", func() bool { return a.webLives(t) })
	a.begin(t, "")
	if r := a.local(t, "status", "--local"); r.code != 0 || r.says("held") {
		t.Errorf("something is held again, or left: %v", r)
	}
	a.stop(t)
}
