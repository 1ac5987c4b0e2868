package state

import (
	"cmp"
	"maps"
	"slices"

	pb "squall/proto/squall/v1"
)

// Clean says of every host that a run may have touched whether it was shown
// clean. A host that was not heard from is unknown, and not clean.
func Clean(r *pb.Run) []*pb.HostClean {
	byHost := make(map[string]*pb.HostClean)
	for _, s := range r.GetPlan().GetSteps() {
		for _, slot := range s.GetSlots() {
			c := byHost[slot.GetHost()]
			if c == nil {
				c = &pb.HostClean{Host: slot.GetHost(), Clean: true}
				byHost[slot.GetHost()] = c
			}
			judgeClean(c, r, r.GetSteps()[s.GetId()].GetHosts()[slot.GetHost()])
		}
	}
	return slices.SortedFunc(maps.Values(byHost), func(a, b *pb.HostClean) int { return cmp.Compare(a.Host, b.Host) })
}

// judgeClean: before a run fires, no host has anything to revert.
func judgeClean(c *pb.HostClean, r *pb.Run, s *pb.StepStatus) {
	c.Residue = append(c.Residue, s.GetResidue()...)
	if r.GetT0UnixNanos() != 0 && !Ended(s) {
		c.Unknown = true
	}
	c.Clean = len(c.Residue) == 0 && !c.Unknown
	switch {
	case len(c.Residue) > 0:
		c.Standing = pb.Standing_STANDING_RESIDUE
	case c.Unknown:
		c.Standing = pb.Standing_STANDING_UNKNOWN
	default:
		c.Standing = pb.Standing_STANDING_REVERTED
	}
}

// Events is a run's story after a log index, oldest first.
func (v *View) Events(run string, after uint64) []*pb.Event {
	events := v.Run(run).GetEvents()
	i, _ := slices.BinarySearchFunc(events, after+1, func(e *pb.Event, index uint64) int {
		return cmp.Compare(e.GetIndex(), index)
	})
	return events[i:]
}
