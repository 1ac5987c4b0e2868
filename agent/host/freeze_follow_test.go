package host_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"squall/agent/host"
	"squall/agent/host/hosttest"
	pb "squall/proto/squall/v1"
)

// unit is a cgroup that is made anew with each start of its program, as those of
// systemd's units are.
type unit struct {
	t      *testing.T
	cgroup string
	*busy
}

// startUnit starts a unit, in a cgroup of the test.
func startUnit(t *testing.T) *unit {
	t.Helper()
	u := &unit{t: t, cgroup: filepath.Join(hosttest.NewCgroup(t), "web.service")}
	u.start()
	u.wantRunning()
	return u
}

func (u *unit) dir() string {
	u.t.Helper()
	mount, err := host.CgroupMount()
	if err != nil {
		u.t.Fatal(err)
	}
	return filepath.Join(mount, u.cgroup)
}

func (u *unit) start() {
	u.t.Helper()
	if err := os.Mkdir(u.dir(), 0o755); err != nil {
		u.t.Fatal(err)
	}
	u.busy = &busy{t: u.t, count: filepath.Join(u.t.TempDir(), "count")}
	u.pid = startIn(u.t, u.cgroup, "while :; do printf x >>"+u.count+"; /bin/true; done")
}

// kill kills what runs, and removes the cgroup.
func (u *unit) kill() {
	u.t.Helper()
	if err := os.WriteFile(filepath.Join(u.dir(), "cgroup.kill"), []byte("1"), 0); err != nil {
		u.t.Fatal(err)
	}
	waitFor(u.t, "removed", func() bool {
		letDie()
		err := unix.Rmdir(u.dir())
		return err == nil || errors.Is(err, fs.ErrNotExist)
	})
}

// shownAs waits until the evidence of a freeze reads so.
func shownAs(t *testing.T, h *host.Real, holds, fact bool, texts ...string) {
	t.Helper()
	var seen []*pb.Evidence
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		var err error
		if seen, err = h.Evidence(t.Context(), "squall/r/s"); err != nil {
			t.Fatal(err)
		}
		all := fmt.Sprint(seen)
		found := len(seen) > 0 && seen[0].GetHolds() == holds && seen[0].GetFact() == fact
		for _, text := range texts {
			found = found && strings.Contains(all, text)
		}
		if found {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("want %v, shown as %v", texts, seen)
		}
	}
}

// wantNothingFrozen sees that nothing of ours is left of a freeze.
func wantNothingFrozen(t *testing.T, h *host.Real) {
	t.Helper()
	after, err := h.Clean(t.Context(), "squall/r/s", nil)
	if err != nil || len(after) != 1 || !after[0].GetHolds() {
		t.Errorf("after it: %v, %v", after, err)
	}
}

// letDie thaws what the freezer of version 1 holds: it does not die before.
func letDie() {
	frozen, _ := filepath.Glob("/sys/fs/cgroup/freezer/squall-frozen-*/freezer.state")
	for _, file := range frozen {
		_ = os.WriteFile(file, []byte("THAWED"), 0)
	}
}

// A unit is restarted while it is frozen, as by a watchdog that it does not
// answer: what comes is frozen too, by every mechanism, and runs at the end.
func TestFreezeFollowsWhatIsMadeAnew(t *testing.T) {
	hosttest.RequireRoot(t)
	_, names, err := host.Freezers()
	if err != nil {
		t.Fatal(err)
	}
	for n, name := range names {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			u := startUnit(t)
			h := openFreezing(t, u.cgroup)
			host.FreezeBy(h, n)
			if err := h.Do(t.Context(), freezeOp(h, u.cgroup, 0, time.Minute), nil); err != nil {
				t.Fatal(err)
			}
			shownAs(t, h, true, false, "1 of 1 workloads frozen by "+name)
			for times := range 2 {
				u.kill()
				shownAs(t, h, true, true, "no workload is there", "gone now: "+u.cgroup)
				u.start()
				shownAs(t, h, true, false, "1 of 1 workloads frozen by "+name, fmt.Sprintf("%d cgroups made anew were followed", times+1))
				since := u.counted()
				time.Sleep(20 * time.Millisecond)
				if now := u.counted(); now != since {
					t.Errorf("frozen, it counted on from %d to %d", since, now)
				}
			}
			if err := h.Do(t.Context(), thawOp(u.cgroup), nil); err != nil {
				t.Fatal(err)
			}
			u.wantRunning()
			wantNothingFrozen(t, h)
			u.kill()
			u.start()
			u.wantRunning() // nobody follows any more
		})
	}
}

// A unit that is between two restarts at the instant is frozen when it comes.
func TestFreezeWaitsForWhatIsNotThere(t *testing.T) {
	hosttest.Require(t, "freeze")
	u := startUnit(t)
	h := openFreezing(t, u.cgroup)
	for _, when := range []string{"armed", "instant"} {
		op := freezeOp(h, u.cgroup, 200*time.Millisecond, time.Minute)
		armed := func() {}
		if when == "armed" {
			u.kill()
		} else {
			armed = u.kill
		}
		if err := h.Do(t.Context(), op, armed); err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		shownAs(t, h, true, true, "gone now: "+u.cgroup)
		u.start()
		shownAs(t, h, true, false, "1 of 1 workloads frozen")
		if err := h.Do(t.Context(), thawOp(u.cgroup), nil); err != nil {
			t.Fatal(err)
		}
		u.wantRunning()
		wantNothingFrozen(t, h)
	}
}

// What somebody thaws in mid-fault runs, and is told as not held.
func TestFreezeTellsWhatSomebodyThawed(t *testing.T) {
	hosttest.Require(t, "freeze")
	u := startUnit(t)
	h := openFreezing(t, u.cgroup)
	if err := h.Do(t.Context(), freezeOp(h, u.cgroup, 0, time.Minute), nil); err != nil {
		t.Fatal(err)
	}
	shownAs(t, h, true, false, "1 of 1 workloads frozen")
	if err := os.WriteFile(filepath.Join(u.dir(), "cgroup.freeze"), []byte("0"), 0); err != nil {
		t.Fatal(err)
	}
	shownAs(t, h, false, false, "0 of 1 workloads frozen")
	if err := h.Do(t.Context(), thawOp(u.cgroup), nil); err != nil {
		t.Fatal(err)
	}
	wantNothingFrozen(t, h)
}
