package schedule

import (
	"fmt"
	"slices"
	"time"

	"squall/experiments/internal/pattern"
	pb "squall/proto/squall/v1"
)

// MaxDays is how many days or spans of days a calendar of the cluster has.
const MaxDays = 400

// calendarName is how the name of a calendar is told from a day, which begins
// with a digit.
var calendarName = pattern.Lazy(`^[a-z][a-z0-9._-]{0,62}$`)

// A blackout is days of a calendar of the cluster, in its own zone.
type blackout struct {
	name string
	zone *time.Location
	days []span
}

// Named are the calendars of the cluster that a schedule leaves out.
func Named(s *pb.Schedule) (names []string) {
	for _, text := range s.GetExcept() {
		if calendarName().MatchString(text) && !slices.Contains(names, text) {
			names = append(names, text)
		}
	}
	return names
}

// blackoutsOf are the calendars that a schedule names.
func blackoutsOf(s *pb.Scheduled) (all []blackout, err error) {
	for _, name := range Named(s.GetExperiment().GetSchedule()) {
		i := slices.IndexFunc(s.GetCalendars(), func(k *pb.Calendar) bool { return k.GetName() == name })
		if i < 0 {
			return nil, &Error{"except", fmt.Sprintf("there is no calendar %q", name), "see them with: squall calendar list"}
		}
		out, err := blackoutOf(s.GetCalendars()[i])
		if err != nil {
			return nil, err
		}
		all = append(all, out)
	}
	return all, nil
}

// CheckCalendar says with an *Error what is wrong with a calendar of the cluster.
func CheckCalendar(k *pb.Calendar) error {
	_, err := blackoutOf(k)
	return err
}

func blackoutOf(k *pb.Calendar) (out blackout, err error) {
	if !calendarName().MatchString(k.GetName()) {
		return out, &Error{"name", fmt.Sprintf("%.80q can't name a calendar", k.GetName()), "begin with a small letter, and go on with letters, digits, `.`, `_` or `-`"}
	}
	out.name = k.GetName()
	if out.zone, err = Zone(k.GetTimezone()); err != nil {
		return out, err
	}
	if n := len(k.GetDays()); n == 0 || n > MaxDays {
		return out, &Error{"days", fmt.Sprintf("a calendar of %d days is none", n), fmt.Sprintf("give it 1 to %d days, or spans of days", MaxDays)}
	}
	for _, text := range k.GetDays() {
		days, err := parseSpan(text)
		if err != nil {
			return out, &Error{"days", err.Error(), "write a day as 2026-12-24, or the first and the last as 2026-12-24..2027-01-02"}
		}
		out.days = append(out.days, days)
	}
	return out, nil
}

// why says that an instant is on one of its days; it is empty where it is not.
func (b blackout) why(at time.Time) string {
	d := dateOf(at.In(b.zone))
	for _, out := range b.days {
		if out.has(d) {
			return fmt.Sprintf("%s in %s is in %s of the calendar %s, which the schedule leaves out", d, b.zone, out, b.name)
		}
	}
	return ""
}
