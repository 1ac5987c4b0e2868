package state

import (
	"cmp"
	"maps"
	"slices"

	"squall/experiments"
	"squall/proto/hist"
	pb "squall/proto/squall/v1"
)

// Clean says of every host that a run may have touched whether it was shown
// clean. A host that was not heard from is unknown, and not clean.
func Clean(r *pb.Run) []*pb.HostClean {
	byHost := make(map[string]*pb.HostClean)
	for _, s := range r.GetPlan().GetSteps() {
		for _, slot := range s.GetSlots() {
			c := byHost[slot.GetHost()]
			if c == nil {
				c = &pb.HostClean{Host: slot.GetHost(), Clean: true}
				byHost[slot.GetHost()] = c
			}
			judgeClean(c, r, r.GetSteps()[s.GetId()].GetHosts()[slot.GetHost()])
		}
	}
	return slices.SortedFunc(maps.Values(byHost), func(a, b *pb.HostClean) int { return cmp.Compare(a.Host, b.Host) })
}

// judgeClean: before a run fires, no host has anything to revert.
func judgeClean(c *pb.HostClean, r *pb.Run, s *pb.StepStatus) {
	c.Residue = append(c.Residue, s.GetResidue()...)
	if r.GetT0UnixNanos() != 0 && !Ended(s) {
		c.Unknown = true
	}
	c.Clean = len(c.Residue) == 0 && !c.Unknown
}

// Summary is a run in a list.
func Summary(r *pb.Run) *pb.RunSummary {
	s := &pb.RunSummary{
		Id: r.GetId(), Experiment: r.GetPlan().GetExperiment(), State: r.GetState(), Verdict: r.GetVerdict(), By: r.GetBy(),
		AdmittedUnixNanos: r.GetEnteredUnixNanos()[uint32(pb.RunState_RUN_STATE_GATING)],
		T0UnixNanos:       r.GetT0UnixNanos(),
	}
	if s.T0UnixNanos != 0 {
		s.EndsUnixNanos = s.T0UnixNanos + r.GetPlan().GetLengthNanos()
	}
	for _, c := range Clean(r) {
		s.Hosts++
		if !c.GetClean() && (!active(r) || len(c.GetResidue()) > 0) {
			s.Residue++
		}
	}
	return s
}

// Events is a run's story after a log index, oldest first.
func (v *View) Events(run string, after uint64) []*pb.Event {
	events := v.Run(run).GetEvents()
	i, _ := slices.BinarySearchFunc(events, after+1, func(e *pb.Event, index uint64) int {
		return cmp.Compare(e.GetIndex(), index)
	})
	return events[i:]
}

// Status fills in what the state knows of the state of things: what is
// injected, whose it is, when it ends, and what is left over.
func (v *View) Status() *pb.StatusResponse {
	s := &pb.StatusResponse{Index: v.index, Epoch: v.epoch, Halt: v.halt, HostsKnown: uint32(len(v.hosts))}
	for _, h := range v.hosts {
		if h.GetServer() != "" {
			s.HostsConnected++
		}
	}
	for _, r := range v.Runs() {
		s.Runs = append(s.Runs, Summary(r))
		s.Active = append(s.Active, activeSteps(r)...)
	}
	s.Residue = v.Residue()
	return s
}

// Residue are the hosts that some run, under way or done, did not leave clean.
// Of a run under way, only what hosts have reported counts: what they hold is
// meant to be there.
func (v *View) Residue() []*pb.HostClean {
	byHost := make(map[string]*pb.HostClean)
	for _, r := range v.Runs() {
		for _, c := range Clean(r) {
			if c.GetClean() || active(r) && len(c.GetResidue()) == 0 {
				continue
			}
			joinClean(byHost, c)
		}
	}
	return slices.SortedFunc(maps.Values(byHost), func(a, b *pb.HostClean) int { return cmp.Compare(a.Host, b.Host) })
}

func joinClean(byHost map[string]*pb.HostClean, c *pb.HostClean) {
	known := byHost[c.GetHost()]
	if known == nil {
		byHost[c.GetHost()] = c
		return
	}
	known.Unknown = known.GetUnknown() || c.GetUnknown()
	known.Residue = append(known.GetResidue(), c.GetResidue()...)
}

// activeSteps are the steps that hosts hold, those of one state together.
func activeSteps(r *pb.Run) []*pb.ActiveStep {
	var out []*pb.ActiveStep
	for _, p := range r.GetPlan().GetSteps() {
		byState := make(map[pb.StepState]*pb.ActiveStep)
		for _, host := range slices.Sorted(maps.Keys(r.GetSteps()[p.GetId()].GetHosts())) {
			s := r.GetSteps()[p.GetId()].GetHosts()[host]
			if !Ended(s) && active(r) && s.GetState() >= pb.StepState_STEP_STATE_SCHEDULED {
				addActive(byState, r, p, s)
			}
		}
		for _, state := range slices.Sorted(maps.Keys(byState)) {
			out = append(out, byState[state])
		}
	}
	return out
}

func addActive(byState map[pb.StepState]*pb.ActiveStep, r *pb.Run, p *pb.PlannedStep, s *pb.StepStatus) {
	a := byState[s.GetState()]
	if a == nil {
		a = &pb.ActiveStep{
			Run: r.GetId(), Step: p.GetId(), Fault: experiments.FaultName(p.GetFault()), State: s.GetState(),
			EndsUnixNanos: r.GetT0UnixNanos() + p.GetEndNanos(),
		}
		byState[s.GetState()] = a
	}
	a.Hosts = append(a.Hosts, s.GetHost())
}

// Report is everything about a run, nil when it is not known.
func (v *View) Report(run string) *pb.RunReport {
	rec := v.runs[run]
	if rec == nil {
		return nil
	}
	r := rec.run
	out := &pb.RunReport{
		Summary: Summary(r), Title: r.GetExperiment().GetTitle(), Hypothesis: r.GetExperiment().GetHypothesis(),
		Seed: r.GetPlan().GetSeed(), Findings: r.GetFindings(), Events: r.GetEvents(), Plan: r.GetPlan(),
		Source: r.GetSource(), EndCause: r.GetEndCause(), EndDetail: r.GetEndDetail(),
		Phases: phaseReports(r), Probes: probeReports(rec),
	}
	for _, c := range Clean(r) {
		if !c.GetClean() {
			out.Residue = append(out.Residue, c)
		}
	}
	for _, p := range r.GetPlan().GetSteps() {
		out.Steps = append(out.Steps, stepReport(r, p))
	}
	return out
}

// phaseReports: a phase that had not begun when the run ended has no instants.
func phaseReports(r *pb.Run) []*pb.PhaseReport {
	var out []*pb.PhaseReport
	ended := r.GetEnteredUnixNanos()[uint32(pb.RunState_RUN_STATE_REVERTING)]
	for i, p := range r.GetPlan().GetPhases() {
		rep := &pb.PhaseReport{Planned: p}
		if i < int(r.GetPhasesBegun()) {
			rep.StartUnixNanos = r.GetT0UnixNanos() + p.GetStartNanos()
			rep.EndUnixNanos = r.GetT0UnixNanos() + p.GetEndNanos()
			if ended != 0 {
				rep.EndUnixNanos = max(rep.StartUnixNanos, min(rep.EndUnixNanos, ended))
			}
		}
		out = append(out, rep)
	}
	return out
}

func stepReport(r *pb.Run, p *pb.PlannedStep) *pb.StepReport {
	out := &pb.StepReport{Id: p.GetId(), Phase: p.GetPhase(), Fault: experiments.FaultName(p.GetFault())}
	var skew, late []int64
	hosts := r.GetSteps()[p.GetId()].GetHosts()
	for _, host := range slices.Sorted(maps.Keys(hosts)) {
		s := hosts[host]
		out.Hosts = append(out.Hosts, s)
		if s.GetEngine() != "" && !slices.Contains(out.Engines, s.GetEngine()) {
			out.Engines = append(out.Engines, s.GetEngine())
		}
		token := max(r.GetSteps()[p.GetId()].GetTokenUnixNanos()[host], -r.GetSteps()[p.GetId()].GetTokenUnixNanos()[host])
		skew = append(skew, startSkew(s)...)
		late = append(late, off(s, pb.StepState_STEP_STATE_REVERTED, token)...)
	}
	slices.Sort(out.Engines)
	out.Skew, out.Late = spread(skew), spread(late)
	return out
}

// startSkew is how far from its plan a step began: where processes die, when
// the last of them was killed.
func startSkew(s *pb.StepStatus) []int64 {
	skew := off(s, pb.StepState_STEP_STATE_HELD, 0)
	for _, e := range s.GetEvidence() {
		if e.GetName() == "last_kill_nanos" && len(skew) > 0 {
			skew[0] = max(skew[0], int64(e.GetValue()))
		}
	}
	return skew
}

// off is how far from its plan a mark of the journal was. A host that had to
// wait for a boot token is late only from the token's grant on.
func off(s *pb.StepStatus, state pb.StepState, token int64) []int64 {
	for _, m := range s.GetJournal() {
		if m.GetState() == state && m.GetPlannedUnixNanos() != 0 {
			return []int64{m.GetActualUnixNanos() - max(m.GetPlannedUnixNanos(), token)}
		}
	}
	return nil
}

func spread(v []int64) *pb.Spread {
	if len(v) == 0 {
		return nil
	}
	slices.Sort(v)
	at := func(percent int) int64 { return v[min(len(v)-1, len(v)*percent/100)] }
	return &pb.Spread{Count: uint32(len(v)), Min: v[0], P50: at(50), P99: at(99), Max: v[len(v)-1]}
}

// probeReports sum up each probe over all zones.
func probeReports(rec *record) []*pb.ProbeReport {
	totals := rec.run.GetTotals()
	if len(totals) == 0 {
		totals = rec.windows.totals()
	}
	var out []*pb.ProbeReport
	for _, p := range rec.run.GetPlan().GetProbes() {
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
			sum.Total, sum.Gaps = join(sum.GetTotal(), t.GetTotal()), sum.GetGaps()+t.GetGaps()
			if worse(t.GetWorst(), sum.GetWorst()) {
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

func millis(w *pb.Window, q float64) float64 {
	nanos, _ := hist.Quantile(w.GetLatency(), q)
	return float64(nanos) / 1e6
}
