package judge

import (
	"time"

	pb "squall/proto/squall/v1"
)

// Verdict judges a run whose steps have all ended, with everything that led to
// it. Residue is told apart: it changes the exit code, never the verdict.
//
// It is asked once the windows of the run's last second are in: what is not
// there by then is missing.
func (j *Judge) Verdict(run *pb.Run, r Readings, now time.Time) (pb.Verdict, []*pb.Finding) {
	if run.GetEndCause() == pb.EndCause_END_CAUSE_STEADY_STATE {
		_, findings := j.Steady(run.GetPlan(), r, now)
		return pb.Verdict_VERDICT_NOT_STARTED, findings
	}
	if run.GetEndCause() == pb.EndCause_END_CAUSE_NOT_READY {
		return pb.Verdict_VERDICT_ERROR, append(notReady(run), residue(run)...)
	}
	findings := append(steps(run), j.checks(run, r, now)...)
	if f := ended(run); f != nil {
		findings = append(findings, f)
	}
	findings = append(findings, residue(run)...)
	if v, ok := cut[run.GetEndCause()]; ok {
		return v, findings
	}
	return earned(findings), findings
}

// cut gives the verdict of runs that began and did not come to their own end.
var cut = map[pb.EndCause]pb.Verdict{
	pb.EndCause_END_CAUSE_ABORT_RULE: pb.Verdict_VERDICT_ABORTED,
	pb.EndCause_END_CAUSE_RUNTIME:    pb.Verdict_VERDICT_ABORTED,
	pb.EndCause_END_CAUSE_HALT:       pb.Verdict_VERDICT_HALTED,
	pb.EndCause_END_CAUSE_UNDO:       pb.Verdict_VERDICT_HALTED,
}

// checks grades proof, expectations and what must hold after the revert.
func (j *Judge) checks(run *pb.Run, r Readings, now time.Time) []*pb.Finding {
	g := newGrader(run, r, now)
	var findings []*pb.Finding
	for i, p := range j.experiment.GetProof() {
		f := g.during(j.proof[i], p.GetOver(), p.GetDuring())
		f.Kind, f.Name = pb.FindingKind_FINDING_KIND_PROOF, p.GetName()
		findings = append(findings, f)
	}
	if len(j.experiment.GetProof()) == 0 {
		findings = append(findings, ownProof(run)...)
	}
	for i, e := range j.experiment.GetExpect() {
		f := g.expect(j.expect[i], e)
		f.Kind, f.Name = pb.FindingKind_FINDING_KIND_EXPECT, e.GetName()
		findings = append(findings, f)
	}
	_, verified := j.Verify(run, r, now)
	return append(findings, verified...)
}

func (g *grader) expect(x *expression, e *pb.Expectation) *pb.Finding {
	if e.GetAfter() != "" {
		return g.within(x, e)
	}
	return g.during(x, e.GetOver(), e.GetDuring())
}

// earned is the verdict of a run that came to its end. Where the fault was
// shown not to bite, nothing was learnt; a promise that was broken otherwise
// outranks what is not known.
func earned(findings []*pb.Finding) pb.Verdict {
	if has(findings, pb.FindingState_FINDING_STATE_BROKEN, pb.FindingKind_FINDING_KIND_PROOF) {
		return pb.Verdict_VERDICT_INCONCLUSIVE
	}
	if has(findings, pb.FindingState_FINDING_STATE_BROKEN, pb.FindingKind_FINDING_KIND_EXPECT, pb.FindingKind_FINDING_KIND_VERIFY) {
		return pb.Verdict_VERDICT_FAIL
	}
	if has(findings, pb.FindingState_FINDING_STATE_BROKEN, pb.FindingKind_FINDING_KIND_STEP) ||
		has(findings, pb.FindingState_FINDING_STATE_UNKNOWN, pb.FindingKind_FINDING_KIND_PROOF,
			pb.FindingKind_FINDING_KIND_EXPECT, pb.FindingKind_FINDING_KIND_VERIFY, pb.FindingKind_FINDING_KIND_STEP) {
		return pb.Verdict_VERDICT_INCONCLUSIVE
	}
	return pb.Verdict_VERDICT_PASS
}

func has(findings []*pb.Finding, state pb.FindingState, kinds ...pb.FindingKind) bool {
	for _, f := range findings {
		for _, kind := range kinds {
			if f.GetState() == state && f.GetKind() == kind {
				return true
			}
		}
	}
	return false
}

// ended says which rule ended the run before its time.
func ended(run *pb.Run) *pb.Finding {
	switch run.GetEndCause() {
	case pb.EndCause_END_CAUSE_ABORT_RULE, pb.EndCause_END_CAUSE_RUNTIME:
		return &pb.Finding{
			Kind: pb.FindingKind_FINDING_KIND_ABORT, Name: run.GetEndDetail(), State: pb.FindingState_FINDING_STATE_BROKEN,
			AtUnixNanos: run.GetEnteredUnixNanos()[uint32(pb.RunState_RUN_STATE_REVERTING)],
		}
	}
	return nil
}
