package report

import (
	"maps"
	"slices"
	"time"

	"squall/experiments"
	"squall/experiments/judge"
	pb "squall/proto/squall/v1"
	"squall/server/state"
)

// Run is everything about a run, nil when it is not known.
func Run(v *state.View, run string) *pb.RunReport {
	if r := v.Run(run); r != nil {
		return Of(v, r)
	}
	return nil
}

// Of is everything about a run of the state or, where it is done, of an archive.
func Of(v *state.View, r *pb.Run) *pb.RunReport {
	out := &pb.RunReport{
		Summary: Summary(v, r), Title: r.GetExperiment().GetTitle(), Hypothesis: r.GetExperiment().GetHypothesis(),
		Seed: r.GetPlan().GetSeed(), Findings: r.GetFindings(), Events: r.GetEvents(), Plan: r.GetPlan(),
		Source: r.GetSource(), EndCause: r.GetEndCause(), EndDetail: r.GetEndDetail(),
		Phases: phaseReports(r), Probes: probeReports(v, r),
		Residue: left(hosts(v, r)),
	}
	out.Summary.Figures = Figures(r)
	for _, p := range r.GetPlan().GetSteps() {
		out.Steps = append(out.Steps, stepReport(v, r, p))
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

func stepReport(v *state.View, r *pb.Run, p *pb.PlannedStep) *pb.StepReport {
	out := &pb.StepReport{Id: p.GetId(), Phase: p.GetPhase(), Fault: experiments.FaultName(p.GetFault())}
	out.Standing = make(map[string]pb.Standing, len(p.GetSlots()))
	for _, slot := range p.GetSlots() {
		out.Standing[slot.GetHost()] = standing(v, r, p.GetId(), slot)
	}
	var skew, late []int64
	hosts := r.GetSteps()[p.GetId()].GetHosts()
	for _, host := range slices.Sorted(maps.Keys(hosts)) {
		s := hosts[host]
		out.Hosts = append(out.Hosts, s)
		if s.GetEngine() != "" && !slices.Contains(out.Engines, s.GetEngine()) {
			out.Engines = append(out.Engines, s.GetEngine())
		}
		if arming := armedLate(s); arming != nil {
			out.ArmedLate = append(out.ArmedLate, arming)
		} else {
			skew = append(skew, startSkew(s)...)
		}
		late = append(late, endSkew(r, p, s)...)
	}
	slices.Sort(out.Engines)
	out.Skew, out.Late = spread(skew), spread(late)
	return out
}

// ahead is how long before its start a host has to be armed, so that how far it
// is off tells of its clock and its processors and not of the way to it.
const ahead = 50 * time.Millisecond

// armedLate tells of a host that armed later than that; nil for one that did
// not, or never armed.
func armedLate(s *pb.StepStatus) *pb.LateArming {
	for _, m := range s.GetJournal() {
		left := m.GetPlannedUnixNanos() - m.GetActualUnixNanos()
		if m.GetState() == pb.StepState_STEP_STATE_ARMED && left < int64(ahead) {
			return &pb.LateArming{Host: s.GetHost(), AheadNanos: left}
		}
	}
	return nil
}

// startSkew is how far from its plan a step began: where processes die or are
// frozen, when the last of them was.
func startSkew(s *pb.StepStatus) []int64 {
	skew := off(s, pb.StepState_STEP_STATE_HELD, 0)
	if len(skew) > 0 {
		skew[0] = max(skew[0], judge.ActedLate(s))
	}
	return skew
}

// endSkew is how far from its plan a step ended.
func endSkew(r *pb.Run, p *pb.PlannedStep, s *pb.StepStatus) []int64 {
	token := r.GetSteps()[p.GetId()].GetTokenUnixNanos()[s.GetHost()]
	return off(s, pb.StepState_STEP_STATE_REVERTED, max(token, -token))
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
