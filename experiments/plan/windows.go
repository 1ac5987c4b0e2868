package plan

import (
	"fmt"
	"time"

	pb "squall/proto/squall/v1"
)

const (
	// MostWindows is how many windows all runs under way may come to, as planned. A
	// server keeps those of a run until it is done, at 150 to 200 bytes each.
	MostWindows = 12_000_000
	// beside is for how much longer than its last deadline a run is taken to
	// measure: at its gate, and while it recovers.
	beside = 10 * time.Minute
)

// measured refuses a run whose windows are too many beside those of the others.
func measured(p *pb.Plan, w World) []refusal {
	mine, others := Windows(p), int64(0)
	for _, a := range w.Active {
		if !a.Done {
			others += Windows(a.Plan)
		}
	}
	if mine+others <= MostWindows {
		return nil
	}
	return []refusal{{
		pb.Refusal_REFUSAL_GUARDRAIL, "",
		fmt.Sprintf("the run's probes come to %d windows, and those of the runs under way to %d; servers keep %d", mine, others, MostWindows),
		"measure less often, or from fewer zones, make the run shorter, or wait for another to end",
	}}
}

// Windows is how many windows the probes of a plan come to: one for each zone that
// a probe runs in, whenever it is due, and each second at most.
func Windows(p *pb.Plan) (all int64) {
	zones := make(map[string]string, len(p.GetHosts()))
	for _, h := range p.GetHosts() {
		zones[h.GetName()] = h.GetZone()
	}
	seconds := (p.GetDeadlineNanos() + int64(beside)) / int64(time.Second)
	for _, probe := range p.GetProbes() {
		every := max(probe.GetProbe().GetEvery().GetNanos()/int64(time.Second), 1)
		all += series(probe, zones) * (seconds/every + 1)
	}
	return all
}

// series is from how many zones a probe has windows; the servers are one.
func series(probe *pb.PlannedProbe, zones map[string]string) int64 {
	seen := make(map[string]bool)
	for _, h := range probe.GetHosts() {
		seen[zones[h]] = true
	}
	n := int64(len(seen))
	if probe.GetControl() {
		n++
	}
	return n
}
