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
	days spans
}

// blackouts are calendars that one schedule leaves out.
type blackouts []*blackout

// blackoutsRead are calendars that were read.
var blackoutsRead memo[pb.Calendar, blackout]

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
func blackoutsOf(s *pb.Scheduled) (all blackouts, err error) {
	for _, name := range Named(s.GetExperiment().GetSchedule()) {
		i := slices.IndexFunc(s.GetCalendars(), func(k *pb.Calendar) bool { return k.GetName() == name })
		if i < 0 {
			return nil, &Error{"except", fmt.Sprintf("there is no calendar %q", name), "see them with: squall calendar list"}
		}
		out, err := blackoutsRead.of(s.GetCalendars()[i], readBlackout)
		if err != nil {
			return nil, err
		}
		all = append(all, out)
	}
	return all, nil
}

// CheckCalendar says with an *Error what is wrong with a calendar of the cluster.
func CheckCalendar(k *pb.Calendar) error {
	_, err := readBlackout(k)
	return err
}

func readBlackout(k *pb.Calendar) (*blackout, error) {
	if !calendarName().MatchString(k.GetName()) {
		return nil, &Error{"name", fmt.Sprintf("%.80q can't name a calendar", k.GetName()), "begin with a small letter, and go on with letters, digits, `.`, `_` or `-`"}
	}
	zone, err := Zone(k.GetTimezone())
	if err != nil {
		return nil, err
	}
	if n := len(k.GetDays()); n == 0 || n > MaxDays {
		return nil, &Error{"days", fmt.Sprintf("a calendar of %d days is none", n), fmt.Sprintf("give it 1 to %d days, or spans of days", MaxDays)}
	}
	var listed []span
	for _, text := range k.GetDays() {
		days, err := parseSpan(text)
		if err != nil {
			return nil, &Error{"days", err.Error(), "write a day as 2026-12-24, or the first and the last as 2026-12-24..2027-01-02"}
		}
		listed = append(listed, days)
	}
	return &blackout{k.GetName(), zone, spansOf(listed)}, nil
}

// why says that an instant is on a day of one of them; it is empty where it
// is not.
func (all blackouts) why(at time.Time) string {
	if len(all) == 0 {
		return ""
	}
	d := dateOf(at.UTC())
	near := span{d.before(), d.next()} // the day of any zone is one of these
	for _, b := range all {
		if !b.days.touch(near) {
			continue
		}
		if why := b.why(at); why != "" {
			return why
		}
	}
	return ""
}

// why says that an instant is on one of its days; it is empty where it is not.
func (b *blackout) why(at time.Time) string {
	d := dateOf(at.In(b.zone))
	out, is := b.days.find(d)
	if !is {
		return ""
	}
	return fmt.Sprintf("%s in %s is in %s of the calendar %s, which the schedule leaves out", d, b.zone, out, b.name)
}
