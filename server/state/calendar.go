package state

import (
	"fmt"
	"slices"
	"strings"

	"squall/experiments/schedule"
	pb "squall/proto/squall/v1"
)

// maxCalendars is how many calendars are kept.
const maxCalendars = 100

// Calendars are the calendars that are kept, by name.
func (v *View) Calendars() []*pb.Calendar { return byName(v.calendars) }

// Calendar is a calendar by its name, nil when it is not kept.
func (v *View) Calendar(name string) *pb.Calendar { return v.calendars[name] }

// CalendarsOf are the calendars that a schedule names, or what refuses one that
// is not kept.
func (v *View) CalendarsOf(s *pb.Schedule) (all []*pb.Calendar, missing *pb.Problem) {
	for _, name := range schedule.Named(s) {
		c := v.calendars[name]
		if c == nil {
			return nil, NoCalendar(name)
		}
		all = append(all, c)
	}
	return all, nil
}

// NamedBy are the schedules that name a calendar, by name.
func (v *View) NamedBy(calendar string) (schedules []string) {
	for _, s := range v.Schedules() {
		if slices.Contains(schedule.Named(s.GetExperiment().GetSchedule()), calendar) {
			schedules = append(schedules, s.GetName())
		}
	}
	return schedules
}

// putCalendar keeps days, and has the schedules that name them leave them out
// from now on: each is another one then, so that whoever follows it looks again.
func (t *change) putCalendar(put *pb.PutCalendar) *pb.Problem {
	c := put.GetCalendar()
	switch {
	case !GoodName(c.GetName()) || len(c.GetDays()) == 0 || len(c.GetDays()) > schedule.MaxDays:
		return refuse(pb.Refusal_REFUSAL_INVALID, fmt.Sprintf("give it a short name and 1 to %d days", schedule.MaxDays), "calendar %q of %d days can't be kept", c.GetName(), len(c.GetDays()))
	case t.calendars[c.GetName()] == nil && len(t.calendars) >= maxCalendars:
		return refuse(pb.Refusal_REFUSAL_GUARDRAIL, "remove one with: squall calendar remove NAME", "%d calendars are kept, the most that may be", maxCalendars)
	}
	own(t, &t.calendars)
	t.calendars[c.GetName()] = &pb.Calendar{
		Name: c.GetName(), Timezone: c.GetTimezone(), Days: c.GetDays(), By: t.cmd.GetBy(), PutUnixNanos: t.last,
	}
	for _, name := range t.NamedBy(c.GetName()) {
		s := t.editSchedule(name)
		s.Calendars, _ = t.CalendarsOf(s.GetExperiment().GetSchedule()) // none is removed while it is named
		s.Version = t.index
	}
	return nil
}

// removeCalendar drops days, unless a schedule names them.
func (t *change) removeCalendar(c *pb.RemoveCalendar) *pb.Problem {
	name := c.GetName()
	if t.calendars[name] == nil {
		return NoCalendar(name)
	}
	if named := t.NamedBy(name); len(named) > 0 {
		return refuse(pb.Refusal_REFUSAL_GUARDRAIL, "take it out of `except` there, or remove that first with: squall schedule remove "+named[0], "calendar %q is named by schedule %s", name, few(named))
	}
	own(t, &t.calendars)
	delete(t.calendars, name)
	return nil
}

// NoCalendar refuses a calendar that is not kept.
func NoCalendar(name string) *pb.Problem {
	return refuse(pb.Refusal_REFUSAL_UNKNOWN, "see them with: squall calendar list", "there is no calendar %q", name)
}

// few is the beginning of a list of names.
func few(names []string) string {
	if n := len(names); n > 3 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:3], ", "), n-3)
	}
	return strings.Join(names, ", ")
}

// bareSchedules are the schedules without the calendars that they name, which
// are kept by themselves.
func (v *View) bareSchedules() map[string]*pb.Scheduled {
	bare := v.schedules.asMap()
	for name, s := range bare {
		if len(s.GetCalendars()) > 0 {
			s = shallow(s)
			s.Calendars = nil
			bare[name] = s
		}
	}
	return bare
}

// restoreKept takes files, calendars and schedules from a snapshot, and gives
// each schedule the calendars that it names.
func (v *View) restoreKept(s *pb.State) error {
	for name, k := range s.GetExperiments() {
		if k.GetName() != name {
			return fmt.Errorf("experiment %q: its name is %q", name, k.GetName())
		}
	}
	for name, k := range s.GetCalendars() {
		if k.GetName() != name {
			return fmt.Errorf("calendar %q: its name is %q", name, k.GetName())
		}
	}
	for name, k := range s.GetSinks() {
		if k.GetSink().GetName() != name {
			return fmt.Errorf("sink %q: its name is %q", name, k.GetSink().GetName())
		}
	}
	v.experiments, v.calendars = s.GetExperiments(), s.GetCalendars()
	for name, kept := range s.GetSchedules() {
		if kept.GetName() != name {
			return fmt.Errorf("schedule %q: its name is %q", name, kept.GetName())
		}
		calendars, missing := v.CalendarsOf(kept.GetExperiment().GetSchedule())
		if missing != nil {
			return fmt.Errorf("schedule %q: %s", name, missing.GetMessage())
		}
		if len(calendars) > 0 {
			kept.Calendars = calendars
		}
	}
	v.schedules = tableOf(s.GetSchedules())
	return nil
}
