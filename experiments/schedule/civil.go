package schedule

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"
)

// CivilLayout is how the civil time of a slot is written.
const CivilLayout = "2006-01-02T15:04"

const (
	// day is as many minutes as a day has, and the end of one.
	day minute = 24 * 60
)

// A minute is a time of day: minutes after midnight.
type minute int

func (m minute) String() string { return fmt.Sprintf("%02d:%02d", m/60, m%60) }

// parseMinute reads a time of day as 09:30.
func parseMinute(text string) (minute, error) {
	t, err := time.Parse("15:04", text)
	if err != nil || len(text) != len("15:04") {
		return 0, fmt.Errorf("%.80q is no time of day", text)
	}
	return minute(t.Hour()*60 + t.Minute()), nil
}

// A date is a day of the calendar, in no zone.
type date struct {
	year  int
	month time.Month
	day   int
}

func dateOf(t time.Time) date {
	y, m, d := t.Date()
	return date{y, m, d}
}

// compare is negative where a day comes before another, and positive after it.
func (d date) compare(other date) int {
	return cmp.Or(cmp.Compare(d.year, other.year), cmp.Compare(d.month, other.month), cmp.Compare(d.day, other.day))
}

// parseDate reads a day as 2026-12-24.
func parseDate(text string) (date, error) {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return date{}, fmt.Errorf("%.80q is no day", text)
	}
	return dateOf(t), nil
}

func (d date) noon() time.Time           { return time.Date(d.year, d.month, d.day, 12, 0, 0, 0, time.UTC) }
func (d date) midnight() int64           { return d.noon().Unix() - 12*3600 } // in UTC
func (d date) next() date                { return dateOf(d.noon().AddDate(0, 0, 1)) }
func (d date) before() date              { return dateOf(d.noon().AddDate(0, 0, -1)) }
func (d date) weekday() time.Weekday     { return d.noon().Weekday() }
func (d date) after(other date) bool     { return d.compare(other) > 0 }
func (d date) String() string            { return d.noon().Format(time.DateOnly) }
func (d date) daysLeft() int             { return d.noon().AddDate(0, 1, 1-d.day).AddDate(0, 0, -1).Day() - d.day }
func (d date) weekOfMonth() (first0 int) { return (d.day - 1) / 7 }

// A span is days from the first to the last, both in it.
type span struct{ first, last date }

// parseSpan reads a day, or two with .. between.
func parseSpan(text string) (span, error) {
	from, to, two := strings.Cut(text, "..")
	first, err := parseDate(from)
	if err != nil || !two {
		return span{first, first}, err
	}
	last, err := parseDate(to)
	if err == nil && first.after(last) {
		err = fmt.Errorf("%q ends before it begins", text)
	}
	return span{first, last}, err
}

func (s span) has(d date) bool { return !s.first.after(d) && !d.after(s.last) }

func (s span) String() string {
	if s.first == s.last {
		return s.first.String()
	}
	return s.first.String() + ".." + s.last.String()
}

// spans are days and spans of days in which a day is found by bisection.
type spans struct {
	listed []span // as they were written
	merged []span // in order, and none of them touches another
}

func spansOf(listed []span) spans {
	all := spans{listed: listed}
	for _, s := range slices.SortedFunc(slices.Values(listed), func(a, b span) int { return a.first.compare(b.first) }) {
		n := len(all.merged)
		switch {
		case n == 0 || s.first.after(all.merged[n-1].last):
			all.merged = append(all.merged, s)
		case s.last.after(all.merged[n-1].last):
			all.merged[n-1].last = s.last
		}
	}
	return all
}

// touch tells whether one of them has a day of another span.
func (all spans) touch(days span) bool {
	i := sort.Search(len(all.merged), func(i int) bool { return all.merged[i].first.after(days.last) })
	return i > 0 && !days.first.after(all.merged[i-1].last)
}

// find is the first of the listed that a day is in, and whether there is one.
func (all spans) find(d date) (span, bool) {
	if !all.touch(span{d, d}) {
		return span{}, false
	}
	return all.listed[slices.IndexFunc(all.listed, func(s span) bool { return s.has(d) })], true
}

// A window is the times of day within which runs begin. It may go past
// midnight. Its end is not in it.
type window struct{ open, end minute }

func (w window) has(m minute) bool {
	if w.open < w.end {
		return w.open <= m && m < w.end
	}
	return m >= w.open || m < w.end
}

// closes is when the window ends in which a time of a day lies.
func (w window) closes(d date, m minute) (date, minute) {
	if m < w.end && w.end < day {
		return d, w.end
	}
	return d.next(), w.end % day
}
