package state

import (
	"cmp"
	"slices"
	"strings"

	pb "squall/proto/squall/v1"
)

// maxSchedules is how many schedules are kept.
const maxSchedules = 1000

// Schedules are all schedules by name.
func (v *View) Schedules() []*pb.Scheduled {
	var all []*pb.Scheduled
	for _, s := range v.schedules.all() {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *pb.Scheduled) int { return strings.Compare(a.GetName(), b.GetName()) })
	return all
}

// Schedule is a schedule by its name, nil when it is not known.
func (v *View) Schedule(name string) *pb.Scheduled { return v.schedules.get(name) }

// SameSchedules tells whether no schedule was put, changed or removed between two
// views.
func (v *View) SameSchedules(other *View) bool {
	return v.schedules == other.schedules // each change gives another table
}

// putSchedule takes a schedule up, or puts it into another one's place, which goes
// on: no slot that was dealt with under its name is dealt with again, those
// that were not are on record as skipped, its runs stay counted, and a pause stays
// until somebody lets it go on.
func (t *change) putSchedule(c *pb.PutSchedule) *pb.Problem {
	known, zone := t.schedules.get(c.GetName()), c.GetExperiment().GetSchedule().GetTimezone()
	switch {
	case !GoodName(c.GetName()):
		return refuse(pb.Refusal_REFUSAL_INVALID, "choose a short one of plain letters", "the schedule's name %q can't be one", c.GetName())
	case zone == "" || c.GetAfter() == "":
		return refuse(pb.Refusal_REFUSAL_INVALID, "give the experiment a `schedule`", "the experiment says nowhere when it begins")
	case known != nil && c.GetFresh():
		return refuse(pb.Refusal_REFUSAL_INVALID, "choose another name with --name, or take its place with --replace", "there is a schedule %q already, kept by %s", c.GetName(), known.GetBy().GetName())
	case known == nil && t.schedules.size >= maxSchedules:
		return refuse(pb.Refusal_REFUSAL_GUARDRAIL, "remove one with: squall schedule remove NAME", "%d schedules are kept, the most that may be", maxSchedules)
	}
	calendars, missing := t.CalendarsOf(c.GetExperiment().GetSchedule())
	pin, source, refused := t.pin(c)
	if p := cmp.Or(missing, refused); p != nil {
		return p
	}
	known = t.leaveUndone(known, c.GetUndone())
	s := &pb.Scheduled{
		Name: c.GetName(), Experiment: c.GetExperiment(), Source: source, Pin: pin, Calendars: calendars, Aim: c.GetAim(),
		By: t.cmd.GetBy(), PutUnixNanos: t.last, Watermark: c.GetAfter(), History: known.GetHistory(), Begun: known.GetBegun(),
		PausedBy: known.GetPausedBy(), PausedUnixNanos: known.GetPausedUnixNanos(), PausedRun: known.GetPausedRun(),
		AddedIndex: cmp.Or(known.GetAddedIndex(), t.index), Version: t.index,
	}
	if known.GetExperiment().GetSchedule().GetTimezone() == zone {
		s.Watermark = max(s.GetWatermark(), known.GetWatermark())
	}
	t.schedules = t.schedules.with(c.GetName(), s)
	return nil
}

// leaveUndone puts on record what a schedule has not dealt with while another one
// takes its place: slots that have come or wait, and another try of the last one.
func (t *change) leaveUndone(s *pb.Scheduled, slots []string) *pb.Scheduled {
	if s == nil {
		return nil
	}
	skip := func(slot *pb.SlotRef, count int, from string) {
		t.deal(slot, &pb.SlotRecord{
			Outcome: pb.SlotOutcome_SLOT_OUTCOME_SKIPPED, Why: "replaced by " + t.cmd.GetBy().GetName(), Count: uint32(count), From: from,
		})
	}
	if h := s.GetHeld(); h != nil {
		slots = append(slices.Clip(slots), h.GetSlot())
	}
	slots = slices.DeleteFunc(slices.Clone(slots), func(slot string) bool { return slot <= s.GetWatermark() })
	slices.Sort(slots)
	slots = slices.Compact(slots)
	if try := s.GetRetry().GetSlot(); try != nil {
		skip(try, 0, "")
	}
	if n := len(slots); n > 0 {
		skip(&pb.SlotRef{Schedule: s.GetName(), Slot: slots[n-1]}, n, slots[0])
	}
	return t.Schedule(s.GetName())
}

func (t *change) removeSchedule(c *pb.RemoveSchedule) *pb.Problem {
	if t.Schedule(c.GetName()) == nil {
		return noSchedule(c.GetName())
	}
	t.schedules = t.schedules.without(c.GetName())
	return nil
}

func (t *change) pauseSchedule(c *pb.PauseSchedule) *pb.Problem {
	known := t.Schedule(c.GetName())
	if known == nil {
		return noSchedule(c.GetName())
	}
	if c.GetPaused() && known.GetPausedBy() != nil {
		return nil // by whom it was
	}
	s := t.editSchedule(c.GetName())
	s.PausedBy, s.PausedUnixNanos, s.PausedRun, s.Version = nil, 0, "", t.index
	if c.GetPaused() {
		s.PausedBy, s.PausedUnixNanos = t.cmd.GetBy(), t.last
	}
	return nil
}

// editSchedule is a schedule that may be changed.
func (t *change) editSchedule(name string) *pb.Scheduled {
	s := shallow(t.Schedule(name))
	t.schedules = t.schedules.with(name, s)
	return s
}

func noSchedule(name string) *pb.Problem {
	return refuse(pb.Refusal_REFUSAL_UNKNOWN, "see them with: squall schedule list", "there is no schedule %q", name)
}
