package state

import pb "squall/proto/squall/v1"

// maxWaited is how many hosts a step may have for their reports to wait for one
// another. Those of a larger step fill commands by themselves.
const maxWaited = 64

// Early tells whether nothing can follow from a report yet, because another host
// has not come as far with the same step: whoever waits for the step waits for
// that one. on says which hosts are asked about, and said how far one has come by
// what it said, as far as the caller has heard more than this view knows.
//
// A refusal is never early, nor residue, nor what a host that wants to boot says.
// In a run from a file, who has armed is to be known before the start.
func (v *View) Early(s *pb.StepStatus, on func(host string) bool, said func(host string) pb.StepState) bool {
	r := v.Run(s.GetRun())
	step := stepOf(r, s.GetStep())
	if !patient(r, step, s) {
		return false
	}
	if s.GetState() == pb.StepState_STEP_STATE_ARMED {
		return true // its next word is that it holds
	}
	hosts := r.GetSteps()[s.GetStep()].GetHosts()
	for _, slot := range step.GetSlots() {
		host := slot.GetHost()
		if host == s.GetHost() || !on(host) || Ended(hosts[host]) {
			continue
		}
		if max(hosts[host].GetState(), said(host)) < s.GetState() {
			return true
		}
	}
	return false
}

func patient(r *pb.Run, step *pb.PlannedStep, s *pb.StepStatus) bool {
	if len(step.GetSlots()) > maxWaited || step.GetBootTokens() > 0 || len(s.GetResidue()) > 0 {
		return false
	}
	switch s.GetState() {
	case pb.StepState_STEP_STATE_READY, pb.StepState_STEP_STATE_HELD, pb.StepState_STEP_STATE_REVERTED:
		return true
	case pb.StepState_STEP_STATE_ARMED:
		return r.GetAdHoc()
	}
	return false
}
