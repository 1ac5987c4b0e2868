package judge

import (
	"time"

	pb "squall/proto/squall/v1"
)

// Verdict judges a run whose steps have all ended, with everything that led to
// it. Residue is told apart: it changes the exit code, never the verdict.
//
// It is asked once the run's last second is closed, or nobody waits any more:
// what is not there by then is missing.
func (t *Track) Verdict(run *pb.Run, r Readings, now time.Time) (pb.Verdict, []*pb.Finding) {
	switch run.GetEndCause() {
	case pb.EndCause_END_CAUSE_STEADY_STATE:
		_, findings := t.Steady(run, r, now)
		return pb.Verdict_VERDICT_NOT_STARTED, append(findings, t.Premature(run, r, now)...)
	case pb.EndCause_END_CAUSE_NOT_READY:
		return pb.Verdict_VERDICT_ERROR, append(notReady(run), residue(run)...)
	case pb.EndCause_END_CAUSE_HALT, pb.EndCause_END_CAUSE_UNDO:
		return pb.Verdict_VERDICT_HALTED, append(t.notJudged(run), residue(run)...)
	}
	t.see(run, r)
	t.finish(now.UnixNano())
	findings := append(steps(run), t.findings(run, r, now)...)
	findings = append(findings, recovery(run)...)
	if f := ended(run); f != nil {
		return pb.Verdict_VERDICT_ABORTED, append(append(findings, f), residue(run)...)
	}
	return t.earned(run, findings), append(findings, residue(run)...)
}

// findings grade proof, expectations and what must hold after the revert.
func (t *Track) findings(run *pb.Run, r Readings, now time.Time) []*pb.Finding {
	var proofs, expectations []*pb.Finding
	for _, c := range t.checks {
		if f := c.finding(t); c.kind == pb.FindingKind_FINDING_KIND_PROOF {
			proofs = append(proofs, f)
		} else {
			expectations = append(expectations, f)
		}
	}
	_, verified := t.Verify(run, r, now)
	all := append(append(proofs, ownProof(run)...), expectations...)
	return append(append(all, verified...), t.gapFindings(run)...)
}

// earned is the verdict of a run that came to its end. Where the fault was
// shown not to bite, nothing was learnt; a promise that was broken otherwise
// outranks what is not known.
func (t *Track) earned(run *pb.Run, findings []*pb.Finding) pb.Verdict {
	const (
		brokenState, unknown = pb.FindingState_FINDING_STATE_BROKEN, pb.FindingState_FINDING_STATE_UNKNOWN
		proof, expect        = pb.FindingKind_FINDING_KIND_PROOF, pb.FindingKind_FINDING_KIND_EXPECT
		verify, step         = pb.FindingKind_FINDING_KIND_VERIFY, pb.FindingKind_FINDING_KIND_STEP
		back                 = pb.FindingKind_FINDING_KIND_RECOVERY
	)
	switch {
	case found(findings, brokenState, proof):
		return pb.Verdict_VERDICT_INCONCLUSIVE
	case found(findings, brokenState, expect, verify, back):
		return pb.Verdict_VERDICT_FAIL
	case found(findings, brokenState, step), found(findings, unknown, proof, expect, verify, step, back):
		return pb.Verdict_VERDICT_INCONCLUSIVE
	case run.GetAdHoc() && len(t.judge.expect)+len(t.judge.verify) == 0:
		return pb.Verdict_VERDICT_DONE
	}
	return pb.Verdict_VERDICT_PASS
}

func found(findings []*pb.Finding, state pb.FindingState, kinds ...pb.FindingKind) bool {
	for _, f := range findings {
		for _, kind := range kinds {
			if f.GetState() == state && f.GetKind() == kind {
				return true
			}
		}
	}
	return false
}

// ended says which rule ended the run before its time; nil where none did.
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

// notJudged tells of a run that a person ended: what was not seen to its end
// is no failure. What hosts have not undone, or not brought back, is told all the same.
func (t *Track) notJudged(run *pb.Run) []*pb.Finding {
	why := "not judged: " + map[bool]string{true: "halted", false: "undone"}[run.GetEndCause() == pb.EndCause_END_CAUSE_HALT]
	if who := run.GetEndedBy().GetName(); who != "" {
		why += " by " + who
	}
	if run.GetEndDetail() != "" {
		why += ": " + run.GetEndDetail()
	}
	not := func(kind pb.FindingKind, name string) *pb.Finding {
		return &pb.Finding{Kind: kind, Name: name, State: pb.FindingState_FINDING_STATE_NOT_JUDGED, Text: why}
	}
	var findings []*pb.Finding
	for _, f := range steps(run) {
		if f.GetState() != pb.FindingState_FINDING_STATE_UNKNOWN {
			f.State, f.Text = pb.FindingState_FINDING_STATE_NOT_JUDGED, why
		}
		findings = append(findings, f)
	}
	for _, p := range t.judge.experiment.GetProof() {
		findings = append(findings, not(pb.FindingKind_FINDING_KIND_PROOF, p.GetName()))
	}
	for _, e := range t.judge.experiment.GetExpect() {
		findings = append(findings, not(pb.FindingKind_FINDING_KIND_EXPECT, e.GetName()))
	}
	return append(findings, lost(run)...)
}
