package host_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"squall/agent/host/hosttest"
	"squall/agent/host/hosttest/late"
	pb "squall/proto/squall/v1"
)

// fakeSystemctl lets every call of systemctl run a script, with the unit in $unit.
func fakeSystemctl(t *testing.T, script string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "systemctl"), []byte("#!/bin/sh\nunit=$4\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

// TestUnitThatIsNotToldIsUnresolved, by itself: facts of the others stand, and
// no kill of it succeeds.
func TestUnitThatIsNotToldIsUnresolved(t *testing.T) {
	for name, c := range map[string]struct{ script, why string }{
		"it fails":           {"echo 'Failed to connect to bus' >&2; exit 1", "Failed to connect to bus"},
		"it hangs":           {"sleep 60", "no answer"},
		"it says nothing":    {"exit 0", "not as loaded"},
		"it is not known":    {"echo LoadState=not-found; echo Id=$unit", "not-found"},
		"no slice, no group": {"echo LoadState=loaded; echo Id=$unit; echo ControlGroup=; echo Slice=", "neither its cgroup nor its slice"},
		"odd output":         {"echo ControlGroup=/../..", "no path below the root"},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			fakeSystemctl(t, c.script)
			h, base := openHost(t, &pb.Workload{Name: "unit", Unit: "web.service"}, shell("web", "sleep 60"))
			do(t, h, start("web"))
			watch, began := late.Begin(t), time.Now()
			facts, err := h.Facts(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took > 8*time.Second+10*watch.Worst() {
				t.Errorf("the facts took %s", took)
			}
			unit, web := facts.GetWorkloads()[0], facts.GetWorkloads()[1]
			if !strings.Contains(unit.GetUnresolved(), c.why) || unit.GetCgroup() != "" || unit.GetProcesses() != 0 {
				t.Errorf("the unit is %v, want it unresolved by %q", unit, c.why)
			}
			if web.GetUnresolved() != "" || web.GetProcesses() == 0 {
				t.Errorf("the other workload is %v", web)
			}
			if name == "it hangs" {
				return // each question takes its time
			}
			if err := h.Do(t.Context(), kill(0, "unit"), nil); err == nil || !strings.Contains(err.Error(), c.why) {
				t.Errorf("the kill: %v", err)
			}
			running, err := h.Running(t.Context())
			if err == nil || running["unit"] || !running["web"] {
				t.Errorf("running: %v, %v", running, err)
			}
			if running, err := h.Running(t.Context(), "web"); err != nil || !running["web"] {
				t.Errorf("running, of the other alone: %v, %v", running, err)
			}
			if processes(t, base, "web") == 0 {
				t.Error("the other was killed")
			}
		})
	}
}

// TestUnitBetweenRestartsRuns: it has no cgroup at the moment, and whoever undoes
// a fault has to start it.
func TestUnitBetweenRestartsRuns(t *testing.T) {
	hosttest.RequireRoot(t)
	for state, want := range map[string]bool{"activating": true, "inactive": false} {
		fakeSystemctl(t, "echo LoadState=loaded; echo Id=$unit; echo ControlGroup=; echo Slice=squall-test-none.slice; echo ActiveState="+state)
		t.Run(state, func(t *testing.T) {
			h, _ := openHost(t, &pb.Workload{Name: "unit", Unit: "web.service"})
			facts, err := h.Facts(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			const cgroup = "squall.slice/squall-test.slice/squall-test-none.slice/web.service"
			unit := facts.GetWorkloads()[0]
			if unit.GetRuns() != want || !unit.GetAbsent() || unit.GetCgroup() != cgroup {
				t.Errorf("it is %v", unit)
			}
		})
	}
}

// TestGoneIsNoKill: nothing died where there was no cgroup.
func TestGoneIsNoKill(t *testing.T) {
	h, _ := openHost(t, shell("web", "exec sleep 60"), shell("never", "sleep 60"))
	do(t, h, start("web"))
	do(t, h, kill(0, "web", "never"))
	found, err := h.Evidence(t.Context(), "run/step")
	if err != nil || len(found) == 0 {
		t.Fatal(found, err)
	}
	if e := found[0]; e.GetHolds() || !strings.HasPrefix(e.GetText(), "1 workloads killed") || !strings.Contains(e.GetText(), "never gone") {
		t.Errorf("evidence %v", e)
	}
}

// TestNobodyCountsWhatNeverRan: a host is alive when what has run there runs.
func TestNobodyCountsWhatNeverRan(t *testing.T) {
	h, _ := openHost(t, shell("web", "exec sleep 60"), shell("never", "sleep 60"))
	running := func() map[string]bool {
		r, err := h.Running(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := running(); len(r) != 2 || r["web"] || r["never"] {
		t.Errorf("before anything has run: %v", r)
	}
	do(t, h, start("web"))
	if r := running(); len(r) != 1 || !r["web"] {
		t.Errorf("with web: %v", r)
	}
	do(t, h, kill(0, "web"))
	if r, _ := h.Running(t.Context(), "never"); r["never"] {
		t.Errorf("the one that never ran: %v", r)
	}
	if r := running(); len(r) != 1 || r["web"] {
		t.Errorf("web is dead: %v", r)
	}
}
