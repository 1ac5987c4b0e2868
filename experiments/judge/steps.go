package judge

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"squall/experiments/fault"
	pb "squall/proto/squall/v1"
)

// steps judges each step on each of its hosts: was the fault held from its
// start to its end, and was it undone?
func steps(run *pb.Run) []*pb.Finding {
	var findings []*pb.Finding
	for _, step := range run.GetPlan().GetSteps() {
		good := 0
		for _, slot := range step.GetSlots() {
			state, text := heldOn(run, slot, run.GetSteps()[step.GetId()].GetHosts()[slot.GetHost()])
			if state == pb.FindingState_FINDING_STATE_HOLDS {
				good++
				continue
			}
			findings = append(findings, stepFinding(step, state, slot.GetHost(), text))
		}
		if good == len(step.GetSlots()) {
			text := fmt.Sprintf("held to its end on %d of %d hosts", good, good)
			findings = append(findings, stepFinding(step, pb.FindingState_FINDING_STATE_HOLDS, "", text))
		}
	}
	return findings
}

// notReady names the hosts that refused, or else who was missing. What the
// others let go of again was never meant to be held.
func notReady(run *pb.Run) []*pb.Finding {
	findings := slices.DeleteFunc(steps(run), func(f *pb.Finding) bool {
		return run.GetSteps()[f.GetName()].GetHosts()[f.GetHost()].GetState() != pb.StepState_STEP_STATE_REFUSED
	})
	if len(findings) > 0 {
		return findings
	}
	return []*pb.Finding{{
		Kind: pb.FindingKind_FINDING_KIND_STEP, Name: "ready", State: pb.FindingState_FINDING_STATE_BROKEN, Text: run.GetEndDetail(),
		AtUnixNanos: run.GetEnteredUnixNanos()[uint32(pb.RunState_RUN_STATE_REVERTING)],
	}}
}

func stepFinding(step *pb.PlannedStep, state pb.FindingState, host, text string) *pb.Finding {
	return &pb.Finding{
		Kind: pb.FindingKind_FINDING_KIND_STEP, Name: step.GetId(), State: state,
		Text: text, Phase: step.GetPhase(), Host: host,
	}
}

// heldOn judges a step on one host.
func heldOn(run *pb.Run, slot *pb.HostSlot, s *pb.StepStatus) (pb.FindingState, string) {
	const broken, unknown = pb.FindingState_FINDING_STATE_BROKEN, pb.FindingState_FINDING_STATE_UNKNOWN
	switch {
	case s == nil:
		return unknown, "nothing was heard of it"
	case s.GetState() == pb.StepState_STEP_STATE_REFUSED:
		return broken, "refused: " + s.GetRefused().GetMessage()
	case s.GetState() != pb.StepState_STEP_STATE_REVERTED:
		return unknown, "not known to be reverted"
	}
	start, end := run.GetT0UnixNanos()+slot.GetStartNanos(), run.GetT0UnixNanos()+slot.GetEndNanos()
	began, left := markAt(s, pb.StepState_STEP_STATE_HELD), let(s)
	if began != 0 {
		began += ActedLate(s)
	}
	tolerance := max(heldSlack, (end-start)/50)
	switch {
	case began == 0:
		return unknown, "the host does not say when it began"
	case began > start+tolerance && !run.GetAdHoc(): // which begins as soon as each host can
		return broken, fmt.Sprintf("began %s late", tenths(began-start))
	case began < start-tolerance:
		return broken, fmt.Sprintf("began %s early", tenths(start-began))
	case left == 0 && s.GetCause() == pb.RevertCause_REVERT_CAUSE_END, left >= end-tolerance:
		return pb.FindingState_FINDING_STATE_HOLDS, ""
	case left == 0:
		return broken, "reverted before its end: " + causes[s.GetCause()]
	}
	return broken, fmt.Sprintf("reverted %s before its end: %s", tenths(end-left), causes[s.GetCause()])
}

// ActedLate is how long after its instant, in nanoseconds, a host killed or froze
// the last that it was to; 0 where it does not say.
func ActedLate(s *pb.StepStatus) (late int64) {
	for _, e := range s.GetEvidence() {
		if name := e.GetName(); name == "last_kill_nanos" || name == "last_freeze_nanos" {
			late = max(late, int64(e.GetValue()))
		}
	}
	return late
}

// heldSlack is how far a step's start and end may be off in any case; of a
// long one it is a fiftieth.
const heldSlack = int64(250 * time.Millisecond)

// markAt is when a host came to a state of a step, in cluster time; 0 where it does not say.
func markAt(s *pb.StepStatus, state pb.StepState) int64 {
	for _, mark := range s.GetJournal() {
		if mark.GetState() == state {
			return mark.GetActualUnixNanos()
		}
	}
	return 0
}

// recovery lists the workloads that did not come back, and the hosts that have
// not said whether theirs did.
func recovery(run *pb.Run) []*pb.Finding {
	findings := lost(run)
	for _, step := range run.GetPlan().GetSteps() {
		for _, slot := range step.GetSlots() {
			if Unready(step, run.GetSteps()[step.GetId()].GetHosts()[slot.GetHost()]) {
				f := stepFinding(step, pb.FindingState_FINDING_STATE_UNKNOWN, slot.GetHost(), "its workloads are not known to be ready again")
				f.Kind = pb.FindingKind_FINDING_KIND_RECOVERY
				findings = append(findings, f)
			}
		}
	}
	return findings
}

// Unready tells whether a host has let go of a step, and still owes the word
// whether what it started is ready again.
func Unready(step *pb.PlannedStep, s *pb.StepStatus) bool {
	back := fault.WayBack(step.GetFault())
	return back != nil && back.GetStart() != pb.BackStart_BACK_START_NONE &&
		s.GetState() == pb.StepState_STEP_STATE_REVERTED && !s.GetReadyAgain() && len(s.GetRecoveryFailures()) == 0
}

// lost lists the workloads that did not come back.
func lost(run *pb.Run) []*pb.Finding {
	var findings []*pb.Finding
	for _, step := range run.GetPlan().GetSteps() {
		for _, slot := range step.GetSlots() {
			for _, lost := range run.GetSteps()[step.GetId()].GetHosts()[slot.GetHost()].GetRecoveryFailures() {
				findings = append(findings, lostWorkload(step, slot.GetHost(), lost))
			}
		}
	}
	return findings
}

func lostWorkload(step *pb.PlannedStep, host string, lost *pb.RecoveryFailure) *pb.Finding {
	text := lost.GetWorkload() + " did not come back: " + lost.GetWhy()
	if n := len(lost.GetLog()); n > 0 {
		text += "; it logged last: " + lost.GetLog()[n-1]
	}
	f := stepFinding(step, pb.FindingState_FINDING_STATE_BROKEN, host, text)
	f.Kind, f.AtUnixNanos = pb.FindingKind_FINDING_KIND_RECOVERY, lost.GetAtUnixNanos()
	return f
}

var causes = map[pb.RevertCause]string{
	pb.RevertCause_REVERT_CAUSE_UNSPECIFIED: "the host does not say why",
	pb.RevertCause_REVERT_CAUSE_END:         "its own end",
	pb.RevertCause_REVERT_CAUSE_ORDER:       "the run ended",
	pb.RevertCause_REVERT_CAUSE_HALT:        "a halt",
	pb.RevertCause_REVERT_CAUSE_LEASE:       "the lease ran out",
	pb.RevertCause_REVERT_CAUSE_CRASH:       "the agent died",
	pb.RevertCause_REVERT_CAUSE_DEADLINE:    "the deadline",
	pb.RevertCause_REVERT_CAUSE_REBOOT:      "the host was restarted",
	pb.RevertCause_REVERT_CAUSE_LOCAL:       "undone on the host",
}

// let is when a host let go of a step, in cluster time; 0 where it does not say.
func let(s *pb.StepStatus) int64 {
	for _, mark := range s.GetJournal() {
		if mark.GetState() == pb.StepState_STEP_STATE_RETURNING || mark.GetState() == pb.StepState_STEP_STATE_REVERTED {
			return mark.GetActualUnixNanos()
		}
	}
	return 0
}

// ownProof is what the faults' own probes of their effect showed.
func ownProof(run *pb.Run) []*pb.Finding {
	var findings []*pb.Finding
	for _, step := range run.GetPlan().GetSteps() {
		f := &pb.Finding{
			Kind: pb.FindingKind_FINDING_KIND_PROOF, Name: step.GetId(), Phase: step.GetPhase(),
			State: pb.FindingState_FINDING_STATE_HOLDS, Text: "the fault's own probe on every host",
		}
		for _, slot := range step.GetSlots() {
			status := run.GetSteps()[step.GetId()].GetHosts()[slot.GetHost()]
			if state, text := Bit(status); state != pb.FindingState_FINDING_STATE_HOLDS {
				f.State, f.Text, f.Host = state, text, slot.GetHost()
				break
			}
		}
		findings = append(findings, f)
	}
	return findings
}

// Bit tells whether the evidence of a host shows that the fault bit there, and
// else what speaks against it. Facts show nothing either way.
func Bit(s *pb.StepStatus) (pb.FindingState, string) {
	shown := false
	for _, e := range s.GetEvidence() {
		if e.GetAfter() || e.GetFact() {
			continue
		}
		if !e.GetHolds() {
			return pb.FindingState_FINDING_STATE_BROKEN, e.GetName() + ": " + strings.TrimPrefix(e.GetText(), e.GetName()+": ")
		}
		shown = true
	}
	if !shown {
		return pb.FindingState_FINDING_STATE_UNKNOWN, "no evidence of the effect"
	}
	return pb.FindingState_FINDING_STATE_HOLDS, ""
}

// residue lists what hosts could not show clean.
func residue(run *pb.Run) []*pb.Finding {
	var findings []*pb.Finding
	for _, step := range run.GetPlan().GetSteps() {
		hosts := run.GetSteps()[step.GetId()].GetHosts()
		for _, slot := range step.GetSlots() {
			for _, item := range hosts[slot.GetHost()].GetResidue() {
				findings = append(findings, &pb.Finding{
					Kind: pb.FindingKind_FINDING_KIND_RESIDUE, Name: step.GetId(), State: pb.FindingState_FINDING_STATE_BROKEN,
					Text: item, Host: slot.GetHost(),
				})
			}
		}
	}
	return slices.Clip(findings)
}
