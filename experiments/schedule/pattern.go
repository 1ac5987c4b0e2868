package schedule

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"squall/experiments/internal/pattern"
)

// cronField is one of the five fields of a cron line.
type cronField struct {
	name     string
	low, top int
	// words may stand for the numbers from low on.
	words []string
}

var cronFields = []cronField{
	{"minute", 0, 59, nil},
	{"hour", 0, 23, nil},
	{"day of the month", 1, 31, nil},
	{"month", 1, 12, []string{"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"}},
	{"day of the week", 0, 7, []string{"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"}},
}

// cron reads five fields of numbers or names, lists, ranges and steps. Where
// both days are restricted, either is enough, as in every cron.
func cron(line string) (days func(date) bool, times []minute, err error) {
	fields := strings.Fields(line)
	if len(fields) != len(cronFields) {
		return nil, nil, fmt.Errorf("%.80q has %d fields and not five%s", line, len(fields), secondsToo(fields))
	}
	sets := make([]set, len(cronFields))
	for i, f := range cronFields {
		if sets[i], err = f.parse(fields[i]); err != nil {
			return nil, nil, err
		}
	}
	for m := range day {
		if sets[0].has(int(m%60)) && sets[1].has(int(m/60)) {
			times = append(times, m)
		}
	}
	either := !strings.HasPrefix(fields[2], "*") && !strings.HasPrefix(fields[4], "*")
	return func(d date) bool {
		ofMonth := sets[2].has(d.day)
		ofWeek := sets[4].has(int(d.weekday())) || d.weekday() == time.Sunday && sets[4].has(7)
		return sets[3].has(int(d.month)) && (ofMonth && ofWeek || either && (ofMonth || ofWeek))
	}, times, nil
}

// secondsToo says what a field more than there are would be in other programs.
func secondsToo(fields []string) string {
	if len(fields) != len(cronFields)+1 {
		return ""
	}
	return ": there are no seconds, and runs begin once a minute at the most"
}

// A set of the numbers 0 to 63.
type set uint64

func (s set) has(n int) bool { return s&(1<<n) != 0 }

// parse reads a field: parts with commas between.
func (f cronField) parse(text string) (all set, err error) {
	for part := range strings.SplitSeq(text, ",") {
		some, err := f.part(part)
		if err != nil {
			return 0, err
		}
		all |= some
	}
	return all, nil
}

// part reads *, a value or a range, with or without a step. A value with a step
// goes on to the top.
func (f cronField) part(text string) (set, error) {
	body, by, stepped := strings.Cut(text, "/")
	step := 1
	if stepped {
		n, err := strconv.Atoi(by)
		if err != nil || n < 1 || n > f.top {
			return 0, fmt.Errorf("%.80q is no step for the %s", by, f.name)
		}
		step = n
	}
	low, high, err := f.bounds(body, stepped)
	if err != nil {
		return 0, err
	}
	var all set
	for n := low; n <= high; n += step {
		all |= 1 << n
	}
	return all, nil
}

func (f cronField) bounds(body string, stepped bool) (low, high int, err error) {
	if body == "*" {
		return f.low, f.top, nil
	}
	from, to, ranged := strings.Cut(body, "-")
	if low, err = f.value(from); err != nil {
		return 0, 0, err
	}
	switch {
	case ranged:
		if high, err = f.value(to); err == nil && high < low {
			err = fmt.Errorf("the range %.80q of the %s ends before it begins", body, f.name)
		}
		return low, high, err
	case stepped:
		return low, f.top, nil
	default:
		return low, low, nil
	}
}

func (f cronField) value(text string) (int, error) {
	if i := slices.Index(f.words, strings.ToUpper(text)); i >= 0 {
		return f.low + i, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < f.low || n > f.top {
		return 0, fmt.Errorf("%.80q is no %s, which goes from %d to %d", text, f.name, f.low, f.top)
	}
	return n, nil
}

// The ways to say when in words.
var (
	ofMonth  = pattern.Lazy(`^(first|second|third|fourth|last) ([a-z]+) at ([0-9:]+)$`)
	ofDays   = pattern.Lazy(`^([a-z]+) at ([0-9:]+)$`)
	seconds  = pattern.Lazy(`^[0-9]+(s|ms)\b`)
	interval = pattern.Lazy(`^([0-9]{1,4})(m|h)(?: from ([0-9:]+) to ([0-9:]+))?$`)
)

var weekdays = []string{"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"}

// every reads a schedule in words.
func every(text string) (func(date) bool, []minute, error) {
	if m := ofMonth().FindStringSubmatch(text); m != nil {
		return at(m[3], dayOfMonth(m[1], m[2]))
	}
	if m := ofDays().FindStringSubmatch(text); m != nil {
		return at(m[2], daysNamed(m[1]))
	}
	if m := interval().FindStringSubmatch(text); m != nil {
		times, err := stretch(m[1], m[2], m[3], m[4])
		return anyDay, times, err
	}
	return nil, nil, notUnderstood(text)
}

func notUnderstood(text string) error {
	if seconds().MatchString(text) {
		return fmt.Errorf("%.80q is too often: runs begin once a minute at the most", text)
	}
	return fmt.Errorf("%.80q is not understood", text)
}

// at is one time on some days, of which nil are none that there are.
func at(clock string, days func(date) bool) (func(date) bool, []minute, error) {
	if days == nil {
		return nil, nil, errors.New("these are no days")
	}
	m, err := parseMinute(clock)
	return days, []minute{m}, err
}

func anyDay(date) bool { return true }

func daysNamed(name string) func(date) bool {
	switch name {
	case "day":
		return anyDay
	case "weekday":
		return func(d date) bool { return d.weekday() != time.Saturday && d.weekday() != time.Sunday }
	}
	if i := slices.Index(weekdays, name); i >= 0 {
		return func(d date) bool { return d.weekday() == time.Weekday(i) }
	}
	return nil
}

// dayOfMonth is a weekday's first to fourth in a month, or its last.
func dayOfMonth(which, name string) func(date) bool {
	i := slices.Index(weekdays, name)
	if i < 0 {
		return nil
	}
	if which == "last" {
		return func(d date) bool { return d.weekday() == time.Weekday(i) && d.daysLeft() < 7 }
	}
	n := slices.Index([]string{"first", "second", "third", "fourth"}, which)
	return func(d date) bool { return d.weekday() == time.Weekday(i) && d.weekOfMonth() == n }
}

// stretch are the times of each day that are so far apart, from one time to
// another, both in it, or from midnight to midnight.
func stretch(number, unit, from, to string) ([]minute, error) {
	step, _ := strconv.Atoi(number)
	if unit == "h" {
		step *= 60
	}
	if step < 1 || step >= int(day) {
		return nil, fmt.Errorf("%s%s is not from 1m to less than a day", number, unit)
	}
	low, high := minute(0), day-1
	if from != "" {
		var err, err2 error
		low, err = parseMinute(from)
		high, err2 = parseMinute(to)
		if err = errors.Join(err, err2); err != nil {
			return nil, err
		}
		if high < low {
			return nil, fmt.Errorf("%s comes before %s", to, from)
		}
	}
	var times []minute
	for m := low; m <= high; m += minute(step) {
		times = append(times, m)
	}
	return times, nil
}
