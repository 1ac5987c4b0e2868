// Package report reads the state for people: what is injected, how each run
// stands, and what it has come to. The command line, pages and files all show
// these messages, so that one thing has one word and one number everywhere.
//
// Everything here is pure, and decides nothing.
package report

import (
	"cmp"
	"slices"

	pb "squall/proto/squall/v1"
	"squall/server/state"
)

// standing is how a step of a run stands on a host. A host that is not heard
// from, or not since its deadline, is unknown: never reverted, never held.
func standing(v *state.View, r *pb.Run, step string, slot *pb.HostSlot) pb.Standing {
	s := r.GetSteps()[step].GetHosts()[slot.GetHost()]
	switch {
	case len(s.GetResidue()) > 0 && state.Ended(s):
		return pb.Standing_STANDING_RESIDUE
	case s.GetState() == pb.StepState_STEP_STATE_REVERTED:
		return pb.Standing_STANDING_REVERTED
	case r.GetT0UnixNanos() == 0 || state.Ended(s):
		return pb.Standing_STANDING_UNTOUCHED
	case r.GetState() == pb.RunState_RUN_STATE_DONE, v.Host(slot.GetHost()).GetServer() == "",
		r.GetT0UnixNanos()+slot.GetDeadlineNanos() <= v.Now().UnixNano():
		return pb.Standing_STANDING_UNKNOWN
	case s.GetState() >= pb.StepState_STEP_STATE_ARMED:
		return pb.Standing_STANDING_HELD
	}
	return pb.Standing_STANDING_UNTOUCHED
}

// hosts are all hosts of a run, by name: each as the worst of its steps stands.
func hosts(v *state.View, r *pb.Run) []*pb.HostClean {
	var all joined
	for _, step := range r.GetPlan().GetSteps() {
		for _, slot := range step.GetSlots() {
			s := standing(v, r, step.GetId(), slot)
			all.add(slot.GetHost(), s, r.GetSteps()[step.GetId()].GetHosts()[slot.GetHost()].GetResidue())
		}
	}
	return all.sorted()
}

// joined gathers hosts: the worst that is said of one counts.
type joined struct{ byHost map[string]*pb.HostClean }

func (j *joined) add(host string, s pb.Standing, residue []string) {
	if j.byHost == nil {
		j.byHost = make(map[string]*pb.HostClean)
	}
	c := j.byHost[host]
	if c == nil {
		c = &pb.HostClean{Host: host}
		j.byHost[host] = c
	}
	if rank(s) > rank(c.GetStanding()) {
		c.Standing = s
	}
	c.Unknown = c.GetUnknown() || s == pb.Standing_STANDING_UNKNOWN
	c.Residue = append(c.GetResidue(), residue...)
	c.Clean = rank(c.GetStanding()) <= rank(pb.Standing_STANDING_REVERTED)
}

// rank orders standings, the worst last.
func rank(s pb.Standing) int {
	return slices.Index([]pb.Standing{
		pb.Standing_STANDING_UNSPECIFIED, pb.Standing_STANDING_UNTOUCHED, pb.Standing_STANDING_REVERTED,
		pb.Standing_STANDING_HELD, pb.Standing_STANDING_UNKNOWN, pb.Standing_STANDING_RESIDUE,
	}, s)
}

func (j *joined) sorted() []*pb.HostClean {
	list := make([]*pb.HostClean, 0, len(j.byHost))
	for _, c := range j.byHost {
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b *pb.HostClean) int { return cmp.Compare(a.GetHost(), b.GetHost()) })
	return list
}

// left are the hosts that are unknown or have residue: what a run is answerable for.
func left(all []*pb.HostClean) []*pb.HostClean {
	return slices.DeleteFunc(slices.Clone(all), func(c *pb.HostClean) bool {
		return rank(c.GetStanding()) < rank(pb.Standing_STANDING_UNKNOWN)
	})
}

// Residue are the hosts that are not clean: those that runs under way have lost
// sight of, and those that no clean report has come from, whatever became of
// the run. What hosts hold as planned is no residue.
func Residue(v *state.View) []*pb.HostClean {
	var all joined
	for _, h := range v.Hosts() {
		for _, o := range h.GetOpen() {
			s := pb.Standing_STANDING_RESIDUE
			if len(o.GetResidue()) == 0 {
				s = pb.Standing_STANDING_UNKNOWN
			}
			all.add(h.GetHost().GetName(), s, o.GetResidue())
		}
	}
	for _, r := range v.Active() {
		for _, c := range left(hosts(v, r)) {
			if c.GetUnknown() {
				all.add(c.GetHost(), pb.Standing_STANDING_UNKNOWN, nil)
			}
		}
	}
	return all.sorted()
}
