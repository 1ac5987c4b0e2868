package e2e

import (
	"strings"
	"testing"
	"time"

	"squall/agent/host/hosttest"
	"squall/agent/host/hosttest/late"
	pb "squall/proto/squall/v1"
)

// play runs a scenario in a lab of its own: it must pass, and leave nothing.
func play(t *testing.T, scenario string) result {
	t.Helper()
	hosttest.RequireRoot(t)
	long(t)
	return untilInTime(t, func() (result, string) {
		r := newDesk(t).squall(t, "lab", "run", scenario)
		switch {
		case r.code != 0:
			return r, "its exit code is not 0"
		case !strings.HasPrefix(r.stdout, "PASS") || !r.says("RESIDUE  0") || !r.says("nothing is left"):
			return r, "it did not pass without residue"
		}
		return r, ""
	})
}

func TestAZoneGoesDarkAndTheShopServes(t *testing.T) {
	began := time.Now()
	play(t, "zone-loss").check(t, 0, "the zone is dark", "start skew", "reverted late by")
	t.Logf("up, run, report and down took %v", time.Since(began).Round(time.Second))
}

func TestNamesVanishInOneZoneAlone(t *testing.T) {
	t.Parallel()
	play(t, "dns-blackhole").check(t, 0, "names really fail", "only names are broken")
}

func TestASlowLinkSlowsOneZoneAlone(t *testing.T) {
	t.Parallel()
	play(t, "slow-zone-link").check(t, 0, "the link is slow", "other links are as they were")
}

// maxLate is how long after its planned end a revert may come on a machine that is
// in time itself. One that others use adds what it is late by: 85 ms were seen.
const maxLate = 20 * time.Millisecond

func TestTheControlPlaneSurvivesItsOwnZone(t *testing.T) {
	long(t)
	r := newRegion(t)
	untilInTime(t, func() (result, string) {
		r.whole(t)
		leader := r.leader(t)
		dark, lit := around(leader)
		machine := late.Begin(t)
		out := r.squall(t, "run", "own-zone-loss", "--aim", "dark="+dark, "--aim", "lit="+lit)
		if out.code != 0 {
			return out, "the verdict is not pass"
		}
		report, _ := r.report(t, runOf(out))
		if !oneOf(report, leader) {
			t.Fatalf("the leader %s was not among the hosts without power: %v", leader, out)
		}
		return out, badMarks(t, report, maxLate+2*machine.Worst())
	})
}

// around names the zone of a server, and the other two.
func around(server string) (zone, others string) {
	last := strings.TrimPrefix(server, "server-")
	var rest []string
	for _, z := range []string{"a", "b", "c"} {
		if z != last {
			rest = append(rest, "zone-"+z)
		}
	}
	return "zone-" + last, strings.Join(rest, ",")
}

// runOf is the run that a report is about.
func runOf(r result) string {
	_, rest, _ := strings.Cut(r.stdout, "run ")
	run, _, _ := strings.Cut(rest, " ")
	return run
}

func oneOf(report *pb.RunReport, host string) bool {
	for _, step := range report.GetSteps() {
		for _, h := range step.GetHosts() {
			if h.GetHost() == host {
				return true
			}
		}
	}
	return false
}

// badMarks reads the hosts' journals as the report carries them: each step was
// armed and held once, and reverted at most so long after its planned end.
func badMarks(t *testing.T, report *pb.RunReport, most time.Duration) string {
	t.Helper()
	var bad []string
	for _, step := range report.GetSteps() {
		for _, h := range step.GetHosts() {
			times := map[pb.StepState]int{}
			for _, m := range h.GetJournal() {
				times[m.GetState()]++
				after := time.Duration(m.GetActualUnixNanos() - m.GetPlannedUnixNanos())
				if m.GetState() == pb.StepState_STEP_STATE_REVERTED {
					t.Logf("%s: reverted %v after its planned end, of %v", h.GetHost(), after, most)
					if m.GetPlannedUnixNanos() == 0 || after > most {
						bad = append(bad, h.GetHost()+" reverted late, or unplanned")
					}
				}
			}
			for _, once := range []pb.StepState{pb.StepState_STEP_STATE_ARMED, pb.StepState_STEP_STATE_REVERTED} {
				if times[once] != 1 {
					t.Errorf("%s: its journal has %v %d times: %v", h.GetHost(), once, times[once], h.GetJournal())
				}
			}
		}
	}
	return strings.Join(bad, "; ")
}
