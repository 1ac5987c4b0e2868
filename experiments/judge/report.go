package judge

import (
	"strings"
	"time"

	"squall/proto/hist"
	pb "squall/proto/squall/v1"
)

// Probes sums up what each probe of the plan measured from one instant to
// another. Counts of hosts alive are left out.
func (j *Judge) Probes(run *pb.Run, r Readings, from, to time.Time) []*pb.ProbeReport {
	v := newView(run.GetPlan(), r, from.Unix())
	var reports []*pb.ProbeReport
	for _, p := range run.GetPlan().GetProbes() {
		if !strings.Contains(p.GetName(), "/") {
			reports = append(reports, v.report(v.probes[p.GetName()], from.Unix(), to.Unix()))
		}
	}
	return reports
}

func (v *view) report(s *source, from, to int64) *pb.ProbeReport {
	report := &pb.ProbeReport{Name: s.name, WorstSuccess: 1}
	all, latency := []*pb.Window{}, &pb.Histogram{}
	for second := from; second < to; second++ {
		m := &moment{view: v, end: second + 1}
		if m.age(s) > s.limit() {
			report.Gaps++
		}
		windows := m.second(s, second)
		all = append(all, windows...)
		if share, err := success(windows); err == nil && share.(float64) < report.WorstSuccess {
			report.WorstSecond, report.WorstSuccess = second, share.(float64)
		}
	}
	for _, w := range all {
		report.Count += w.GetCount()
		// What is malformed was refused at the door; it adds nothing here.
		_ = hist.Merge(latency, w.GetLatency())
	}
	if share, err := success(all); err == nil {
		report.Success = share.(float64)
	}
	report.P50Millis, report.P95Millis, report.P99Millis = millis(latency, 0.50), millis(latency, 0.95), millis(latency, 0.99)
	return report
}

func (m *moment) second(s *source, second int64) []*pb.Window {
	var all []*pb.Window
	for _, z := range s.zones {
		all = append(all, m.between(s, z, second, second+1)...)
	}
	return all
}

func millis(h *pb.Histogram, q float64) float64 {
	n, _ := hist.Quantile(h, q)
	return float64(n) / 1e6
}
