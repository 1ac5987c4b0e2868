package state

import (
	"fmt"
	"testing"
	"time"

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

// BenchmarkAdmission lets a run in, and out again, beside others.
func BenchmarkAdmission(b *testing.B) {
	for _, c := range []struct{ hosts, runs int }{{6000, 1}, {6000, 63}, {60_000, 1}, {60_000, 63}} {
		b.Run(fmt.Sprintf("hosts=%d/runs=%d", c.hosts, c.runs), func(b *testing.B) {
			_, next := crowd(b, c.hosts, c.runs)
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

// TestAdmissionIsNotSlowedByTheCrowd: what one run costs is no matter of how
// many others are under way, or of how many hosts there are that nobody touches.
func TestAdmissionIsNotSlowedByTheCrowd(t *testing.T) {
	least := func(hosts, runs int) time.Duration {
		_, next := crowd(t, hosts, runs)
		next(admit("warm", planOf(0, part(101)...)))
		best := time.Hour
		for i := range 20 {
			c := admit(fmt.Sprint("x", i), planOf(0, part(102+i)...))
			begin := time.Now()
			if o := next(c); o.GetRefused() != nil {
				t.Skip(o.GetRefused()) // there are no more than 64 runs
			}
			best = min(best, time.Since(begin))
			next(endRun(fmt.Sprint("x", i), pb.EndCause_END_CAUSE_UNDO))
			next(finish(fmt.Sprint("x", i)))
		}
		return best
	}
	alone, crowded := least(6000, 1), least(6000, 60)
	t.Logf("alone %s, beside sixty %s", alone, crowded)
	if crowded > 20*alone+5*time.Millisecond {
		t.Errorf("admitted alone in %s, beside sixty runs in %s", alone, crowded)
	}
}
