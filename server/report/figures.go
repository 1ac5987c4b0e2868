package report

import (
	"slices"

	pb "squall/proto/squall/v1"
	"squall/server/state"
)

const (
	// mostExpect is how many expectations a run's figures have, mostWorst how many
	// values of each, and mostName how long its name is there, in bytes.
	mostExpect, mostWorst, mostName = 32, 4, 100
)

// Sealed is the line that is kept of a run when it is sealed: its summary, and
// the figures that later runs are held against.
func Sealed(v *state.View, r *pb.Run) *pb.RunSummary {
	s := Summary(v, r)
	s.Figures = Figures(r)
	return s
}

// Figures are what a run measured; nil of one that did not come to its end. Times
// are told of what was judged: that nothing failed may be that nothing was heard.
func Figures(r *pb.Run) *pb.RunFigures {
	const expect, verify = pb.FindingKind_FINDING_KIND_EXPECT, pb.FindingKind_FINDING_KIND_VERIFY
	if !judged(r.GetVerdict()) && r.GetVerdict() != pb.Verdict_VERDICT_INCONCLUSIVE {
		return nil
	}
	f := &pb.RunFigures{}
	if judged(r.GetVerdict()) && allJudged(r.GetFindings(), expect) {
		f.Failover = failover(r)
	}
	if judged(r.GetVerdict()) && allJudged(r.GetFindings(), verify) {
		f.Recovery = longest(r.GetFindings(), verify)
	}
	for _, found := range r.GetFindings() {
		if found.GetKind() == expect && len(f.Expect) < mostExpect {
			worst := found.GetWorst()
			f.Expect = append(f.Expect, &pb.ExpectFigure{
				Name: cut(found.GetName(), mostName), State: found.GetState(), Worst: worst[:min(mostWorst, len(worst))],
			})
		}
	}
	return f
}

// judged tells of a run that its end is known, and that something was learnt.
func judged(v pb.Verdict) bool {
	return v == pb.Verdict_VERDICT_PASS || v == pb.Verdict_VERDICT_FAIL
}

// allJudged tells that no finding of a kind lacks what it is to be judged by.
func allJudged(findings []*pb.Finding, kind pb.FindingKind) bool {
	return !slices.ContainsFunc(findings, func(f *pb.Finding) bool {
		unjudged := f.GetState() == pb.FindingState_FINDING_STATE_UNKNOWN || f.GetState() == pb.FindingState_FINDING_STATE_NOT_JUDGED
		return f.GetKind() == kind && unjudged
	})
}

// cut is the beginning of a text, without half a letter.
func cut(text string, bytes int) string {
	for i := range text {
		if i > bytes {
			return text[:i] + "…"
		}
	}
	return text
}

// longest is the longest of how long findings of a kind took; nil where none says.
func longest(findings []*pb.Finding, kind pb.FindingKind) (most *pb.Took) {
	for _, f := range findings {
		if t := f.GetTook(); f.GetKind() == kind && t != nil && (most == nil || longer(t, most)) {
			most = t
		}
	}
	return most
}

func longer(a, b *pb.Took) bool {
	if a.GetNever() || b.GetNever() {
		return a.GetNever()
	}
	return a.GetNanos() > b.GetNanos()
}

// failover is how long it took until what is expected within a time held for
// good; where nothing is, the longest gap while faults were held of a probe that
// an expectation names.
func failover(r *pb.Run) *pb.Took {
	if t := longest(r.GetFindings(), pb.FindingKind_FINDING_KIND_EXPECT); t != nil {
		return t
	}
	probes := expectedProbes(r)
	if len(probes) == 0 {
		return nil
	}
	most := &pb.Took{}
	for _, f := range r.GetFindings() {
		if f.GetKind() == pb.FindingKind_FINDING_KIND_GAP && slices.Contains(probes, f.GetName()) && faultIn(r.GetPlan(), f.GetPhase()) {
			most.Nanos = max(most.GetNanos(), f.GetGap().GetLongestNanos())
		}
	}
	return most
}

// expectedProbes are the probes that expectations name.
func expectedProbes(r *pb.Run) (names []string) {
	for _, f := range r.GetFindings() {
		for _, b := range f.GetBasis() {
			if f.GetKind() == pb.FindingKind_FINDING_KIND_EXPECT && isProbe(r.GetPlan(), b.GetProbe()) {
				names = append(names, b.GetProbe())
			}
		}
	}
	return names
}

// isProbe tells a probe of the file from a count of hosts.
func isProbe(p *pb.Plan, name string) bool {
	return slices.ContainsFunc(p.GetProbes(), func(probe *pb.PlannedProbe) bool {
		return probe.GetName() == name && probe.GetProbe() != nil
	})
}

// faultIn tells whether a fault is held at some time of a phase.
func faultIn(p *pb.Plan, phase string) bool {
	for _, ph := range p.GetPhases() {
		if ph.GetName() == phase {
			return slices.ContainsFunc(p.GetSteps(), func(s *pb.PlannedStep) bool {
				return s.GetStartNanos() < ph.GetEndNanos() && s.GetEndNanos() > ph.GetStartNanos()
			})
		}
	}
	return false
}
