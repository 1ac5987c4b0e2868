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
}

// Late tells whether a step may still be held although its deadline has passed;
// now is cluster time in Unix nanoseconds.
func (h HostStep) Late(r *pb.Run, now int64) bool {
	return r.GetT0UnixNanos() != 0 && !state.Ended(h.Status) && r.GetT0UnixNanos()+h.Slot.GetDeadlineNanos() <= now
}

// Steps are all steps of a run on all their hosts.
func Steps(v *state.View, r *pb.Run) iter.Seq[HostStep] {
	return func(yield func(HostStep) bool) {
		for _, p := range r.GetPlan().GetSteps() {
			for _, slot := range p.GetSlots() {
				h := HostStep{
					Step: p, Slot: slot, Status: r.GetSteps()[p.GetId()].GetHosts()[slot.GetHost()],
					Standing: standing(v, r, p.GetId(), slot),
				}
				if !yield(h) {
					return
				}
			}
		}
	}
}
