package report

import (
	"google.golang.org/protobuf/proto"

	"squall/proto/hist"
	pb "squall/proto/squall/v1"
	"squall/server/state"
)

// probeReports sum up each probe over all zones.
func probeReports(v *state.View, r *pb.Run) []*pb.ProbeReport {
	totals := r.GetTotals()
	if len(totals) == 0 { // it is under way
		totals = v.Readings(r.GetId()).Totals()
	}
	var out []*pb.ProbeReport
	for _, p := range r.GetPlan().GetProbes() {
		if rep := probeReport(p.GetName(), totals); rep != nil {
			out = append(out, rep)
		}
	}
	return out
}

func probeReport(name string, totals []*pb.ProbeTotal) *pb.ProbeReport {
	var sum *pb.ProbeTotal
	for _, t := range totals {
		switch {
		case t.GetTotal().GetProbe() != name:
		case sum == nil:
			sum = &pb.ProbeTotal{Total: t.GetTotal(), Worst: t.GetWorst(), Gaps: t.GetGaps()}
		default:
			sum.Total, sum.Gaps = hist.Join(sum.GetTotal(), t.GetTotal()), sum.GetGaps()+t.GetGaps()
			if state.Worse(t.GetWorst(), sum.GetWorst()) {
				sum.Worst = t.GetWorst()
			}
		}
	}
	if sum == nil {
		return nil
	}
	return &pb.ProbeReport{
		Name: name, Count: sum.GetTotal().GetCount(), Success: share(sum.GetTotal()),
		P50Millis: millis(sum.GetTotal(), 0.50), P95Millis: millis(sum.GetTotal(), 0.95), P99Millis: millis(sum.GetTotal(), 0.99),
		WorstSecond: sum.GetWorst().GetSecond(), WorstSuccess: share(sum.GetWorst()), Gaps: sum.GetGaps(),
	}
}

func share(w *pb.Window) float64 {
	if w.GetCount() == 0 {
		return 0
	}
	return float64(w.GetSuccess()) / float64(w.GetCount())
}

// millis is a quantile of how long good attempts took; nil where none was good.
func millis(w *pb.Window, q float64) *float64 {
	nanos, ok := hist.Quantile(w.GetLatency(), q)
	if !ok {
		return nil
	}
	return proto.Float64(float64(nanos) / 1e6)
}
