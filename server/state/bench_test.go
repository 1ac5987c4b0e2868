package state

import (
	"fmt"
	"testing"

	pb "squall/proto/squall/v1"
)

// crowd is a registry of n hosts, with runs under way on a few hosts each.
func crowd(tb testing.TB, n, runs int) (m *Machine, next func(*pb.Command) *pb.Outcome) {
	tb.Helper()
	m = New()
	index, now := uint64(0), int64(t0)
	next = func(c *pb.Command) *pb.Outcome {
		index++
		now += 1e6
		c.Id, c.AtUnixNanos = fmt.Sprint("c", index), now
		return m.Apply(index, c)
	}
	for from := 0; from < n; from += 250 {
		u := &pb.UpdateHosts{}
		for i := from; i < min(n, from+250); i++ {
			u.Hosts = append(u.Hosts, &pb.HostUpdate{
				Name: fmt.Sprintf("h-%05d", i), Server: "s1", Session: 1, Host: &pb.Host{
					Name: fmt.Sprintf("h-%05d", i), Zone: fmt.Sprint("zone-", min(i, n-2)/(n-2)), Workloads: []*pb.HostWorkload{{Name: "web"}},
				},
			})
		}
		next(&pb.Command{Kind: &pb.Command_UpdateHosts{UpdateHosts: u}})
	}
	for i := range runs {
		if o := next(admit(fmt.Sprint("run-", i), planOf(0, part(i)...))); o.GetRefused() != nil {
			tb.Fatal(o.GetRefused())
		}
	}
	return m, next
}

// part are the thirty hosts of one run.
func part(run int) []string {
	var names []string
	for i := range 30 {
		names = append(names, fmt.Sprintf("h-%05d", run*30+i))
	}
	return names
}

// admissions lets runs in, one after the other, and out again.
func admissions(b *testing.B, next func(*pb.Command) *pb.Outcome) {
	plan := planOf(0, part(100)...)
	b.ResetTimer()
	for i := range b.N {
		run := fmt.Sprint("x", i)
		if o := next(admit(run, plan)); o.GetRefused() != nil {
			b.Fatal(o.GetRefused())
		}
		next(endRun(run, pb.EndCause_END_CAUSE_UNDO))
		next(finish(run))
	}
}

// BenchmarkAdmission lets a run in, and out again, beside others.
func BenchmarkAdmission(b *testing.B) {
	for _, c := range []struct{ hosts, runs int }{{6000, 1}, {6000, 63}, {60_000, 1}, {60_000, 63}} {
		b.Run(fmt.Sprintf("hosts=%d/runs=%d", c.hosts, c.runs), func(b *testing.B) {
			_, next := crowd(b, c.hosts, c.runs)
			admissions(b, next)
		})
	}
}

// BenchmarkGuardedAdmission lets a run in, and out again, beside others and under
// eight guardrails of the cluster that it keeps.
func BenchmarkGuardedAdmission(b *testing.B) {
	guards := []*pb.Guard{
		{Name: "zones", Rule: &pb.Guard_MaxZones{MaxZones: 2}},
		{Name: "majority", Rule: &pb.Guard_MajorityOf{MajorityOf: "*"}},
		{Name: "fleet", Rule: &pb.Guard_MaxShare{MaxShare: &pb.GuardShare{Of: "fleet", Most: &pb.Share{Ppm: 900_000}}}},
		{Name: "each", Rule: &pb.Guard_MaxShare{MaxShare: &pb.GuardShare{Of: "zone", Most: &pb.Share{Ppm: 900_000}}}},
		{Name: "pace", Rule: &pb.Guard_HostsAMinute{HostsAMinute: 100_000}},
		{Name: "protected", Rule: &pb.Guard_Protect{Protect: &pb.GuardProtect{Match: []string{"role=db"}}}},
		{Name: "hours", Rule: &pb.Guard_Closed{Closed: &pb.GuardClosed{Hours: []string{"2000-01-01"}, Timezone: "UTC", Offsets: []*pb.ZoneOffset{{}}}}},
		{Name: "more", Rule: &pb.Guard_MaxZones{MaxZones: 3}},
	}
	for _, c := range []struct{ hosts, runs int }{{6000, 1}, {6000, 63}, {60_000, 63}} {
		b.Run(fmt.Sprintf("hosts=%d/runs=%d", c.hosts, c.runs), func(b *testing.B) {
			_, next := crowd(b, c.hosts, c.runs)
			for _, g := range guards {
				if o := next(setGuard(g, false)); o.GetRefused() != nil {
					b.Fatal(o.GetRefused())
				}
			}
			admissions(b, next)
		})
	}
}

// BenchmarkReport records the step of one host, of many.
func BenchmarkReport(b *testing.B) {
	for _, hosts := range []int{6000, 60_000} {
		b.Run(fmt.Sprintf("hosts=%d", hosts), func(b *testing.B) {
			_, next := crowd(b, hosts, 63)
			b.ResetTimer()
			for i := range b.N {
				st := status(fmt.Sprint("run-", i%63), part(i % 63)[i/63%30], pb.StepState_STEP_STATE_HELD)
				st.Journal = []*pb.JournalMark{{Seq: uint64(i)}}
				next(steps(st))
			}
		})
	}
}

// TestReportCostsNoMoreWithMoreHosts: what a command costs is no matter of the
// hosts that nobody touches.
func TestReportCostsNoMoreWithMoreHosts(t *testing.T) {
	allocs := func(hosts int) float64 {
		_, next := crowd(t, hosts, 10)
		i := 0
		return testing.AllocsPerRun(100, func() {
			i++
			st := status("run-1", part(1)[i%30], pb.StepState_STEP_STATE_REVERTED)
			st.Journal = []*pb.JournalMark{{Seq: uint64(i)}}
			next(steps(st))
		})
	}
	if few, many := allocs(500), allocs(5000); many > 2*few {
		t.Errorf("%v allocations with 500 hosts, %v with 5,000", few, many)
	}
}
