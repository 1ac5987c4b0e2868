package report

import (
	"maps"
	"slices"

	"squall/experiments"
	pb "squall/proto/squall/v1"
	"squall/server/state"
)

// Status is what the state knows of the state of things: what is injected,
// whose it is, when it ends, and what is left over.
func Status(v *state.View) *pb.Status {
	s := &pb.Status{Index: v.Index(), Epoch: v.Epoch(), Halt: v.Halt(), HostsKnown: uint32(len(v.Hosts()))}
	for _, h := range v.Hosts() {
		if h.GetServer() != "" {
			s.HostsConnected++
		}
	}
	for _, r := range v.Runs() {
		s.Runs = append(s.Runs, Summary(v, r))
		s.Active = append(s.Active, activeSteps(v, r)...)
	}
	s.Residue, s.Barred = Residue(v), Barred(v)
	return s
}

// Summary is a run in a list.
func Summary(v *state.View, r *pb.Run) *pb.RunSummary {
	s := &pb.RunSummary{
		Id: r.GetId(), Experiment: r.GetPlan().GetExperiment(), State: r.GetState(), Verdict: r.GetVerdict(), By: r.GetBy(),
		AdmittedUnixNanos: r.GetEnteredUnixNanos()[uint32(pb.RunState_RUN_STATE_GATING)],
		T0UnixNanos:       r.GetT0UnixNanos(), AdmittedIndex: r.GetAdmittedIndex(),
		DoneUnixNanos: r.GetEnteredUnixNanos()[uint32(pb.RunState_RUN_STATE_DONE)],
		Slot:          r.GetSlot(), AdHoc: r.GetAdHoc(), Zones: zonesOf(r), EndCause: r.GetEndCause(),
		DueNanos: r.GetExperiment().GetDue().GetNanos(),
	}
	if s.T0UnixNanos != 0 {
		s.EndsUnixNanos = s.T0UnixNanos + r.GetPlan().GetLengthNanos()
	}
	all := hosts(v, r)
	s.Hosts, s.Residue = uint32(len(all)), uint32(len(left(all)))
	for _, c := range all {
		if c.GetStanding() == pb.Standing_STANDING_HELD {
			s.Held++
		}
	}
	return s
}

// activeSteps are the steps that hosts hold or may hold, those of one state and
// standing together.
func activeSteps(v *state.View, r *pb.Run) []*pb.ActiveStep {
	if r.GetState() == pb.RunState_RUN_STATE_DONE {
		return nil
	}
	var out []*pb.ActiveStep
	for _, p := range r.GetPlan().GetSteps() {
		groups := make(map[[2]int32]*pb.ActiveStep)
		for _, slot := range p.GetSlots() {
			s := r.GetSteps()[p.GetId()].GetHosts()[slot.GetHost()]
			if !state.Ended(s) && s.GetState() >= pb.StepState_STEP_STATE_SCHEDULED {
				addActive(groups, r, p, s, standing(v, r, p.GetId(), slot))
			}
		}
		for _, k := range slices.SortedFunc(maps.Keys(groups), func(a, b [2]int32) int { return slices.Compare(a[:], b[:]) }) {
			slices.Sort(groups[k].Hosts)
			out = append(out, groups[k])
		}
	}
	return out
}

func addActive(groups map[[2]int32]*pb.ActiveStep, r *pb.Run, p *pb.PlannedStep, s *pb.StepStatus, stands pb.Standing) {
	k := [2]int32{int32(s.GetState()), int32(stands)}
	if groups[k] == nil {
		groups[k] = &pb.ActiveStep{
			Run: r.GetId(), Step: p.GetId(), Fault: experiments.FaultName(p.GetFault()), State: s.GetState(),
			EndsUnixNanos: r.GetT0UnixNanos() + p.GetEndNanos(), Standing: stands,
		}
	}
	groups[k].Hosts = append(groups[k].Hosts, s.GetHost())
}
