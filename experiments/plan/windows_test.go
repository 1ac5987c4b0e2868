package plan_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"squall/experiments/plan"
	pb "squall/proto/squall/v1"
)

// longRun measures with so many probes from three zones for a day.
func longRun(probes int, every time.Duration) *pb.Plan {
	p := &pb.Plan{DeadlineNanos: int64(24 * time.Hour)}
	for i := range 3 {
		p.Hosts = append(p.Hosts, &pb.PlannedHost{Name: fmt.Sprint("h", i), Zone: fmt.Sprint("zone-", i)}, &pb.PlannedHost{Name: fmt.Sprint("g", i), Zone: fmt.Sprint("zone-", i)})
	}
	for i := range probes {
		p.Probes = append(p.Probes, &pb.PlannedProbe{
			Name: fmt.Sprint("p", i), Hosts: []string{"g0", "g1", "g2", "h0", "h1", "h2"}, Control: i == 0,
			Probe: &pb.Probe{Every: &pb.Span{Nanos: int64(every)}},
		})
	}
	return p
}

func TestWindowsAreCountedByZoneAndPace(t *testing.T) {
	for _, c := range []struct {
		probes int
		every  time.Duration
		want   int64
	}{
		{1, time.Second, 4 * (86_400 + 600 + 1)},
		{2, time.Second, 7 * (86_400 + 600 + 1)},
		{1, 100 * time.Millisecond, 4 * (86_400 + 600 + 1)},
		{1, 10 * time.Second, 4 * (8_700 + 1)},
	} {
		if got := plan.Windows(longRun(c.probes, c.every)); got != c.want {
			t.Errorf("%d probes every %s: %d windows, not %d", c.probes, c.every, got, c.want)
		}
	}
}

// TestRunsUnderWayKeepNoMoreWindowsThanServersHold lets in a few long runs that
// measure much, and refuses the next with the numbers; those that are done are gone.
func TestRunsUnderWayKeepNoMoreWindowsThanServersHold(t *testing.T) {
	long := longRun(10, time.Second) // 30 series and the servers'
	refused := func(done bool, active int) string {
		var w plan.World
		for i := range active {
			w.Active = append(w.Active, plan.Active{Run: fmt.Sprint("r", i), Plan: long, Done: done})
		}
		for _, p := range plan.Admissible(long, &pb.Experiment{Version: 1, Name: "long"}, w) {
			if strings.Contains(p.GetMessage(), "windows") && p.GetRefusal() == pb.Refusal_REFUSAL_GUARDRAIL {
				return p.GetMessage()
			}
		}
		return ""
	}
	if got := refused(false, 3); got != "" {
		t.Errorf("the fourth is refused: %s", got)
	}
	if got := refused(false, 4); !strings.Contains(got, "2697031 windows, and those of the runs under way to 10788124; servers keep 12000000") {
		t.Errorf("the fifth is told %q", got)
	}
	if got := refused(true, 64); got != "" {
		t.Errorf("after 64 that are done: %s", got)
	}
}
