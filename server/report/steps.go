package report

import (
	"iter"

	pb "squall/proto/squall/v1"
	"squall/server/state"
)

// HostStep is a step of a run on one of its hosts.
type HostStep struct {
	Step *pb.PlannedStep
	Slot *pb.HostSlot
	// Status is what the host said of it last, nil where it said nothing.
	Status   *pb.StepStatus
	Standing pb.Standing
	// Skew is how far from its plan it began, nanoseconds, nil where that is not
	// known or says nothing, as of a host that armed late; Late how far it ended.
	Skew, Late []int64
}

// Overdue tells whether a step may still be held although its deadline has passed;
// now is cluster time in Unix nanoseconds.
func (h HostStep) Overdue(r *pb.Run, now int64) bool {
	return r.GetT0UnixNanos() != 0 && !state.Ended(h.Status) && r.GetT0UnixNanos()+h.Slot.GetDeadlineNanos() <= now
}

// Steps are all steps of a run on all their hosts.
func Steps(v *state.View, r *pb.Run) iter.Seq[HostStep] {
	return func(yield func(HostStep) bool) {
		for _, p := range r.GetPlan().GetSteps() {
			for _, slot := range p.GetSlots() {
				if !yield(hostStep(v, r, p, slot)) {
					return
				}
			}
		}
	}
}

func hostStep(v *state.View, r *pb.Run, p *pb.PlannedStep, slot *pb.HostSlot) HostStep {
	s := r.GetSteps()[p.GetId()].GetHosts()[slot.GetHost()]
	h := HostStep{Step: p, Slot: slot, Status: s, Standing: standing(v, r, p.GetId(), slot), Late: endSkew(r, p, s)}
	if armedLate(s) == nil {
		h.Skew = startSkew(s)
	}
	return h
}
