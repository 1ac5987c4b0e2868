package report

import (
	"cmp"
	"math"
	"slices"
	"time"

	pb "squall/proto/squall/v1"
	"squall/server/page"
	"squall/server/state"
)

const (
	// usual is how many runs before a median is of, at most, and fewest at least:
	// two runs have no usual.
	usual, fewest = 10, 3
	// leastTime is by how much a time must differ to be told as another one: windows
	// are a second.
	leastTime = float64(time.Second) / 1e9
)

// History is a page of the runs of an experiment, the newest first, each with its
// figures and, where it passed or failed, those that are far from the usual.
// Errors are about the request: Unknown for an experiment that nobody knows.
func History(v *state.View, req *pb.HistoryRequest) (*pb.HistoryResponse, error) {
	all := lines(v)
	if known := distinct(experimentNames(v, all)); !slices.Contains(known, req.GetExperiment()) {
		return nil, newUnknown("experiment", req.GetExperiment(), known)
	}
	all = slices.DeleteFunc(all, func(s *pb.RunSummary) bool { return s.GetExperiment() != req.GetExperiment() })
	list := page.List[*pb.HistoryEntry]{Name: "history/" + req.GetExperiment(), Key: func(e *pb.HistoryEntry) string {
		return newestKey(e.GetRun())
	}}
	open := openRuns(v)
	for i, s := range all {
		figures := figuresOf(v, s)
		entry := &pb.HistoryEntry{Run: told(v, s, open)}
		entry.Run.Figures = figures
		if judged(s.GetVerdict()) {
			entry.Deviations = deviations(figures, before(v, all[:i]))
		}
		list.Entries = append(list.Entries, entry)
	}
	slices.Reverse(list.Entries)
	runs, next, err := list.Cut(req)
	return &pb.HistoryResponse{Runs: runs, NextPageToken: next}, err
}

// figuresOf are those that were kept of a run, or of one that is not sealed yet.
func figuresOf(v *state.View, s *pb.RunSummary) *pb.RunFigures {
	if r := v.Run(s.GetId()); r != nil {
		return Figures(r)
	}
	return v.Archived(s.GetId()).GetSummary().GetFigures()
}

// before are the figures of the runs that a run is held against, the newest
// first: those that were judged to their end.
func before(v *state.View, older []*pb.RunSummary) (list []*pb.RunFigures) {
	for _, s := range slices.Backward(older) {
		if !judged(s.GetVerdict()) {
			continue
		}
		if f := figuresOf(v, s); f != nil {
			list = append(list, f)
		}
		if len(list) == usual {
			break
		}
	}
	return list
}

// deviations are the figures of a run that are far from the median of the runs before.
func deviations(now *pb.RunFigures, older []*pb.RunFigures) (list []*pb.Deviation) {
	add := func(d *pb.Deviation) {
		if d != nil {
			list = append(list, d)
		}
	}
	add(timeDeviation(pb.DeviationKind_DEVIATION_KIND_FAILOVER, now, older, (*pb.RunFigures).GetFailover))
	add(timeDeviation(pb.DeviationKind_DEVIATION_KIND_RECOVERY, now, older, (*pb.RunFigures).GetRecovery))
	for _, e := range now.GetExpect() {
		for _, w := range e.GetWorst() {
			add(worstDeviation(e.GetName(), w, older))
		}
	}
	return list
}

// timeDeviation is nil unless a time is off by a quarter of the median, and by
// more than windows tell apart.
func timeDeviation(kind pb.DeviationKind, now *pb.RunFigures, older []*pb.RunFigures, of func(*pb.RunFigures) *pb.Took) *pb.Deviation {
	if of(now) == nil {
		return nil
	}
	var times []float64
	for _, f := range older {
		if t := of(f); t != nil {
			times = append(times, inSeconds(t))
		}
	}
	seen, middle, ok := inSeconds(of(now)), median(times), len(times) >= fewest
	if off := math.Abs(seen - middle); !ok || !(off > max(leastTime, middle/4)) && !(math.IsInf(seen, 0) != math.IsInf(middle, 0)) {
		return nil
	}
	return &pb.Deviation{Kind: kind, Seen: seen, Median: middle, Worse: seen > middle, Runs: uint32(len(times))}
}

func inSeconds(t *pb.Took) float64 {
	if t.GetNever() {
		return math.Inf(1)
	}
	return time.Duration(t.GetNanos()).Seconds()
}

// worstDeviation is nil unless a worst value is off by a quarter of what lies
// between the median and the limit.
func worstDeviation(expectation string, now *pb.Extreme, older []*pb.RunFigures) *pb.Deviation {
	var values []float64
	for _, f := range older {
		for _, e := range f.GetExpect() {
			for _, w := range e.GetWorst() {
				if e.GetName() == expectation && w.GetValue() == now.GetValue() && w.GetOp() == now.GetOp() {
					values = append(values, w.GetSeen())
				}
			}
		}
	}
	up, ordered := map[string]bool{"<": true, "<=": true, ">": false, ">=": false}[now.GetOp()]
	middle := median(values)
	room := cmp.Or(math.Abs(now.GetLimit()-middle)/4, math.Abs(now.GetLimit())/10)
	if off := math.Abs(now.GetSeen() - middle); !ordered || len(values) < fewest || !(off > room) {
		return nil
	}
	return &pb.Deviation{
		Kind: pb.DeviationKind_DEVIATION_KIND_WORST, Expectation: expectation, Value: now.GetValue(),
		Seen: now.GetSeen(), Median: middle, Worse: up == (now.GetSeen() > middle), Runs: uint32(len(values)),
	}
}

// median is the middle of values, the lower of two; 0 of none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[(len(values)-1)/2]
}
