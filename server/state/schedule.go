package state

import (
	"maps"
	"slices"

	pb "squall/proto/squall/v1"
)

const (
	// maxSchedules is how many schedules are kept.
	maxSchedules = 1000
	// maxSlots is how many slots a schedule's history has.
	maxSlots = 200
)

// Schedules are all schedules by name.
func (v *View) Schedules() []*pb.Scheduled {
	var all []*pb.Scheduled
	for _, name := range slices.Sorted(maps.Keys(v.schedules)) {
		all = append(all, v.schedules[name])
	}
	return all
}

// Schedule is a schedule by its name, nil when it is not known.
func (v *View) Schedule(name string) *pb.Scheduled { return v.schedules[name] }

// SameSchedules tells whether no schedule is another one in two views.
func (v *View) SameSchedules(other *View) bool {
	return maps.Equal(v.schedules, other.schedules) // of pointers to what never changes
}

// putSchedule takes a schedule up, or puts it into another one's place. What a
// slot's name was dealt with under before is not dealt with again.
func (t *change) putSchedule(c *pb.PutSchedule) *pb.Problem {
	known, zone := t.schedules[c.GetName()], c.GetExperiment().GetSchedule().GetTimezone()
	switch {
	case !GoodName(c.GetName()):
		return refuse(pb.Refusal_REFUSAL_INVALID, "choose a short one of plain letters", "the schedule's name %q can't be one", c.GetName())
	case zone == "" || c.GetAfter() == "":
		return refuse(pb.Refusal_REFUSAL_INVALID, "give the experiment a `schedule`", "the experiment says nowhere when it begins")
	case known != nil && c.GetFresh():
		return refuse(pb.Refusal_REFUSAL_INVALID, "choose another name with --name, or take its place with --replace", "there is a schedule %q already, kept by %s", c.GetName(), known.GetBy().GetName())
	case known == nil && len(t.schedules) >= maxSchedules:
		return refuse(pb.Refusal_REFUSAL_GUARDRAIL, "remove one with: squall schedule remove NAME", "%d schedules are kept, the most that may be", maxSchedules)
	}
	s := &pb.Scheduled{
		Name: c.GetName(), Experiment: c.GetExperiment(), Source: c.GetSource(), Aim: c.GetAim(),
		By: t.cmd.GetBy(), PutUnixNanos: t.last, Watermark: c.GetAfter(), History: known.GetHistory(),
	}
	if known.GetExperiment().GetSchedule().GetTimezone() == zone {
		s.Watermark = max(s.GetWatermark(), known.GetWatermark())
	}
	own(t, &t.schedules)
	t.schedules[c.GetName()] = s
	return nil
}

func (t *change) removeSchedule(c *pb.RemoveSchedule) *pb.Problem {
	if t.schedules[c.GetName()] == nil {
		return noSchedule(c.GetName())
	}
	own(t, &t.schedules)
	delete(t.schedules, c.GetName())
	return nil
}

func (t *change) pauseSchedule(c *pb.PauseSchedule) *pb.Problem {
	if t.schedules[c.GetName()] == nil {
		return noSchedule(c.GetName())
	}
	if c.GetPaused() && t.schedules[c.GetName()].GetPausedBy() != nil {
		return nil // by whom it was
	}
	s := t.editSchedule(c.GetName())
	s.PausedBy, s.PausedUnixNanos = nil, 0
	if c.GetPaused() {
		s.PausedBy, s.PausedUnixNanos = t.cmd.GetBy(), t.last
	}
	return nil
}

func (t *change) passSlot(c *pb.PassSlot) *pb.Problem {
	if p := t.dealt(c.GetSlot()); p != nil {
		return p
	}
	if c.GetOutcome() <= pb.SlotOutcome_SLOT_OUTCOME_BEGUN {
		return refuse(pb.Refusal_REFUSAL_INVALID, "", "a slot that begins no run needs another outcome than %s", c.GetOutcome())
	}
	t.deal(c.GetSlot(), &pb.SlotRecord{Outcome: c.GetOutcome(), Why: c.GetWhy(), Count: c.GetCount(), From: c.GetFrom()})
	return nil
}

// dealt refuses a slot of a schedule that is not there, or one that it has
// dealt with: names of slots are in the order of time.
func (t *change) dealt(slot *pb.SlotRef) *pb.Problem {
	s := t.schedules[slot.GetSchedule()]
	switch {
	case s == nil:
		return noSchedule(slot.GetSchedule())
	case slot.GetSlot() <= s.GetWatermark():
		return refuse(pb.Refusal_REFUSAL_INVALID, "", "the slot %s of schedule %q was dealt with before", slot.GetSlot(), s.GetName())
	}
	return nil
}

// deal notes what became of a slot, which is the last one from now on.
func (t *change) deal(slot *pb.SlotRef, became *pb.SlotRecord) {
	s := t.editSchedule(slot.GetSchedule())
	became.Slot, became.AtUnixNanos = slot.GetSlot(), t.last
	s.Watermark = slot.GetSlot()
	if became.GetOutcome() == pb.SlotOutcome_SLOT_OUTCOME_BEGUN {
		s.Begun++
	}
	s.History = append(slices.Clip(s.GetHistory()), became)
	s.History = s.History[max(0, len(s.History)-maxSlots):]
}

// editSchedule is a schedule that may be changed.
func (t *change) editSchedule(name string) *pb.Scheduled {
	own(t, &t.schedules)
	s := shallow(t.schedules[name])
	t.schedules[name] = s
	return s
}

func noSchedule(name string) *pb.Problem {
	return refuse(pb.Refusal_REFUSAL_UNKNOWN, "see them with: squall schedule list", "there is no schedule %q", name)
}
