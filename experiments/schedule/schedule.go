// Package schedule says when the runs of a schedule begin. It is pure: one
// calendar has the same slots on every machine, whatever its clock and its time
// zone, and the rules of time zones are those of the build.
//
// A slot is named by its civil time, which is what people read on a wall in the
// schedule's zone. So where clocks are put back and an hour comes twice, its
// slots are in the first of the two; and where clocks are put forward, the
// slots of the hour that is left out have no instant, and are passed over with
// that as the reason.
package schedule

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	pb "squall/proto/squall/v1"
)

// Error is what is wrong with a schedule.
type Error struct {
	// Field is the key of the schedule, such as "cron"; empty for the whole.
	Field string
	// Message says what is wrong, and Fix what to write instead.
	Message, Fix string
}

func (e *Error) Error() string {
	if e.Field == "" {
		return e.Message
	}
	return e.Field + ": " + e.Message
}

// A Calendar is when the runs of a schedule begin.
type Calendar struct {
	zone *time.Location
	days func(date) bool
	// times are those of each such day, in order.
	times  []minute
	window window
	except spans
	// blackouts are those of the cluster.
	blackouts blackouts
	// last is the last day, none if zero.
	last   date
	jitter jitter
}

// A Slot is a time at which a run begins, or would.
type Slot struct {
	// Civil names the slot: its time in the schedule's zone, such as
	// "2026-12-01T14:30". Names are in the order of time.
	Civil string
	// Start is the slot's instant, Jitter included. A slot that the zone's clocks
	// leave out has the instant at which they do.
	Start time.Time
	// Jitter is how much later than its civil time the slot is.
	Jitter time.Duration
	// Close is when the window of the slot ends, until which a run may still
	// begin; the end of its day where the schedule has no window.
	Close time.Time
	// Skip says why no run begins here. It is empty where one does.
	Skip string
}

// MaxExcept is how many days and spans of days a schedule may leave out.
const MaxExcept = 100

// maxPattern is how long `cron` or `every` may be, in bytes.
const maxPattern = 200

// Of makes the calendar of a schedule that is kept, or of one that would be: the
// name decides its jitter, and the calendars of the cluster that it names must be
// there. Each of those is read once, and must not change afterwards. The error is
// an *Error.
func Of(s *pb.Scheduled) (*Calendar, error) {
	c, err := New(s.GetExperiment().GetSchedule())
	if err != nil {
		return nil, err
	}
	c.jitter.name = s.GetName()
	c.blackouts, err = blackoutsOf(s)
	return c, err
}

// New makes the calendar of a schedule without a name, or says with an *Error
// what is wrong.
func New(s *pb.Schedule) (*Calendar, error) {
	c := &Calendar{window: window{0, day}}
	err := c.setPattern(s)
	for _, set := range []func(*pb.Schedule) error{c.setZone, c.setWindow, c.setDays, c.setJitter, checkRules} {
		if err == nil {
			err = set(s)
		}
	}
	if err == nil {
		err = c.checkFires(s)
	}
	return c, err
}

func (c *Calendar) setPattern(s *pb.Schedule) error {
	switch {
	case s.GetCron() == "" && s.GetEvery() == "":
		return &Error{"", "schedule does not say when", "add `cron` or `every`, such as `every: first tuesday at 14:30`"}
	case s.GetCron() != "" && s.GetEvery() != "":
		return &Error{"every", `"every" stands beside "cron", and only one of them can`, "keep one of the two"}
	case len(s.GetCron()) > maxPattern:
		return &Error{"cron", fmt.Sprintf("the line that begins with %.30q has %d bytes", s.GetCron(), len(s.GetCron())), fmt.Sprintf("write at most %d: ranges and steps instead of lists", maxPattern)}
	case s.GetCron() != "":
		days, times, err := cron(s.GetCron())
		c.days, c.times = days, times
		if err != nil {
			return &Error{"cron", err.Error(), `write minute, hour, day, month and weekday, such as "0 10 * * THU"`}
		}
	default:
		days, times, err := every(s.GetEvery())
		c.days, c.times = days, times
		if err != nil {
			return &Error{"every", err.Error(), "write `first tuesday at 14:30`, `weekday at 10:00`, `2h` or `2h from 09:00 to 17:00`"}
		}
	}
	return nil
}

func (c *Calendar) setZone(s *pb.Schedule) (err error) {
	c.zone, err = Zone(s.GetTimezone())
	return err
}

// setWindow leaves out the times outside of the window.
func (c *Calendar) setWindow(s *pb.Schedule) error {
	if s.GetWindow() == "" {
		return nil
	}
	const fix = `write both in quotes, such as "10:00-16:00"`
	from, to, both := strings.Cut(s.GetWindow(), "-")
	open, err := parseMinute(from)
	end, err2 := parseMinute(to)
	if err = errors.Join(err, err2); err != nil || !both {
		return &Error{"window", fmt.Sprintf("%.80q is not two times of day", s.GetWindow()), fix}
	}
	if open == end {
		return &Error{"window", fmt.Sprintf("%q ends when it begins", s.GetWindow()), fix}
	}
	c.window = window{open, end}
	all := len(c.times)
	c.times = slices.DeleteFunc(c.times, func(m minute) bool { return !c.window.has(m) })
	if len(c.times) == 0 && all > 0 {
		return &Error{"window", fmt.Sprintf("no start lies between %s and %s", open, end), "widen the window, or start within it"}
	}
	return nil
}

// setDays takes up the days on which nothing begins, and the last one.
func (c *Calendar) setDays(s *pb.Schedule) (err error) {
	const fix = `write a day or two in quotes, such as "2026-12-24" or "2026-12-24..2027-01-02", or the name of a calendar`
	if n := len(s.GetExcept()); n > MaxExcept {
		return &Error{"except", fmt.Sprintf("%d days and spans of days are left out", n), fmt.Sprintf("leave out at most %d; a span such as \"2026-12-24..2027-01-02\" is one", MaxExcept)}
	}
	var except []span
	for _, text := range s.GetExcept() {
		if calendarName().MatchString(text) {
			continue // it is the cluster's to know
		}
		days, err := parseSpan(text)
		if err != nil {
			return &Error{"except", err.Error(), fix}
		}
		except = append(except, days)
	}
	c.except = spansOf(except)
	if s.GetUntil() != "" {
		if c.last, err = parseDate(s.GetUntil()); err != nil {
			return &Error{"until", err.Error(), `write a day in quotes, such as "2027-06-30"`}
		}
	}
	return nil
}

// A leap year's first day, and so many years as the longest way from one 29th
// of February to the next one: 1896 and 1904, or 2096 and 2104.
var someDay = date{2096, time.January, 1}

const longestGap = 9 * 366

// checkFires refuses what matches no day of any year.
func (c *Calendar) checkFires(s *pb.Schedule) error {
	for d, n := someDay, 0; n < longestGap; d, n = d.next(), n+1 {
		if c.days(d) {
			return nil
		}
	}
	return &Error{"cron", fmt.Sprintf("%q never comes", s.GetCron()), "write a day that its month has"}
}

// After are the slots after the one with a name, in order: those that are
// skipped too. They may go on for ever.
func (c *Calendar) After(civil string) (iter.Seq[Slot], error) {
	t, err := time.Parse(CivilLayout, civil)
	if err != nil {
		return nil, fmt.Errorf("%.80q is no civil time such as %s", civil, CivilLayout)
	}
	return c.from(dateOf(t), func(s Slot) bool { return s.Civil > civil }), nil
}

// Since are the slots whose instants are after t, in order, as After has them.
func (c *Calendar) Since(t time.Time) iter.Seq[Slot] {
	// The day before, since zones move by up to a day.
	return c.from(dateOf(t.In(c.zone).AddDate(0, 0, -1)), func(s Slot) bool { return s.Start.After(t) })
}

// from goes through the slots of a day and of those after it.
func (c *Calendar) from(d date, wanted func(Slot) bool) iter.Seq[Slot] {
	return func(yield func(Slot) bool) {
		for idle := 0; idle < longestGap; d, idle = d.next(), idle+1 {
			if c.last != (date{}) && d.after(c.last) {
				return
			}
			if !c.days(d) {
				continue
			}
			idle = 0
			for _, m := range c.times {
				if s := c.slot(d, m); wanted(s) && !yield(s) {
					return
				}
			}
		}
	}
}

func (c *Calendar) slot(d date, m minute) Slot {
	start, there := c.instant(d, m)
	end, _ := c.instant(c.window.closes(d, m))
	s := Slot{Civil: d.String() + "T" + m.String(), Start: start, Close: end}
	if !there {
		s.Skip = fmt.Sprintf("there is no %s on %s in %s: clocks are put forward", m, d, c.zone)
	} else if c.jitter.most > 0 {
		s.Jitter = c.jitter.of(s.Civil, min(end.Sub(start), c.following(d, m).Sub(start)))
		s.Start = start.Add(s.Jitter)
	}
	s.Skip = cmp.Or(c.Why(s.Start), c.leftOut(d), s.Skip)
	return s
}

// Why says why nothing begins at an instant, whatever slot it is of: its day is
// left out, or is one of a calendar of the cluster. It is empty where a run may
// begin.
func (c *Calendar) Why(at time.Time) string {
	return cmp.Or(c.blackouts.why(at), c.leftOut(dateOf(at.In(c.zone))))
}

// leftOut says that a day in the schedule's zone is left out; empty where it is not.
func (c *Calendar) leftOut(d date) string {
	out, is := c.except.find(d)
	if !is {
		return ""
	}
	return fmt.Sprintf("%s is in %s, which the schedule leaves out", d, out)
}

// following is the instant of the next time of day at which a run may begin, on
// this day or the next one.
func (c *Calendar) following(d date, m minute) time.Time {
	next := c.times[0]
	if i, _ := slices.BinarySearch(c.times, m+1); i < len(c.times) {
		next = c.times[i]
	} else {
		d = d.next()
	}
	at, _ := c.instant(d, next)
	return at
}

// instant is the first one at which clocks in the zone show a time. Where none
// does, it is the one at which they pass over it, and there is false.
func (c *Calendar) instant(d date, m minute) (at time.Time, there bool) {
	wall := time.Date(d.year, d.month, d.day, 0, int(m), 0, 0, time.UTC)
	var found []time.Time
	// Offsets from UTC lie between -12 and +14 hours, and no zone moves twice
	// within the days around.
	for _, near := range []time.Duration{-26 * time.Hour, 26 * time.Hour} {
		_, offset := wall.Add(near).In(c.zone).Zone()
		t := wall.Add(-time.Duration(offset) * time.Second).In(c.zone)
		if t.Format(CivilLayout) == wall.Format(CivilLayout) {
			found = append(found, t)
		}
	}
	if len(found) > 0 {
		return slices.MinFunc(found, time.Time.Compare), true
	}
	start, _ := wall.Add(26 * time.Hour).In(c.zone).ZoneBounds()
	return start, false
}
