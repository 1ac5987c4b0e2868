package experiments

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // time zones are those of the build, not of the machine

	"squall/experiments/internal/pattern"
	pb "squall/proto/squall/v1"
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

// checkCron wants five fields of numbers or names, lists, ranges and steps.
func checkCron(line string) error {
	fields := strings.Fields(line)
	if len(fields) != len(cronFields) {
		return fmt.Errorf("%s does not have five fields", quoted(line))
	}
	for i, f := range cronFields {
		for part := range strings.SplitSeq(fields[i], ",") {
			if err := f.check(part); err != nil {
				return err
			}
		}
	}
	return nil
}

// check wants *, a value or a range, with or without a step.
func (f cronField) check(part string) error {
	body, step, stepped := strings.Cut(part, "/")
	if n, err := strconv.Atoi(step); stepped && (err != nil || n < 1 || n > f.top) {
		return fmt.Errorf("%s is no step for the %s", quoted(step), f.name)
	}
	if body == "*" {
		return nil
	}
	from, to, ranged := strings.Cut(body, "-")
	low, err := f.value(from)
	if err != nil || !ranged {
		return err
	}
	high, err := f.value(to)
	if err == nil && high < low {
		return fmt.Errorf("the range %s of the %s ends before it begins", quoted(body), f.name)
	}
	return err
}

func (f cronField) value(text string) (int, error) {
	if i := slices.Index(f.words, strings.ToUpper(text)); i >= 0 {
		return f.low + i, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < f.low || n > f.top {
		return 0, fmt.Errorf("%s is no %s, which goes from %d to %d", quoted(text), f.name, f.low, f.top)
	}
	return n, nil
}

const (
	weekdays  = `(monday|tuesday|wednesday|thursday|friday|saturday|sunday)`
	timeOfDay = `([01][0-9]|2[0-3]):[0-5][0-9]`
)

// everyForms are the ways to say when in words.
var everyForms = pattern.Lazy(`^(` +
	`(first|second|third|fourth|last) ` + weekdays + ` at ` + timeOfDay +
	`|(day|weekday|` + weekdays + `) at ` + timeOfDay +
	`|[1-9][0-9]*(m|h)( from ` + timeOfDay + ` to ` + timeOfDay + `)?)$`)

// checkSchedule looks at when a run may start. Nothing here knows today.
func (d *decoder) checkSchedule(s *pb.Schedule) {
	switch {
	case s == nil:
		return
	case s.GetCron() == "" && s.GetEvery() == "":
		d.badPath("schedule", "schedule does not say when", "add `cron` or `every`, such as `every: first tuesday at 14:30`")
	case s.GetCron() != "" && s.GetEvery() != "":
		d.badPath("schedule.every", `"every" stands beside "cron", and only one of them can`, "keep one of the two")
	case s.GetCron() != "":
		if err := checkCron(s.GetCron()); err != nil {
			d.badPath("schedule.cron", "cron: "+err.Error(), `write minute, hour, day, month and weekday, such as "0 10 * * THU"`)
		}
	case !everyForms().MatchString(s.GetEvery()):
		d.badPath("schedule.every", fmt.Sprintf("every: %s is not understood", quoted(s.GetEvery())),
			"write `first tuesday at 14:30`, `weekday at 10:00`, `2h` or `2h from 09:00 to 17:00`")
	}
	d.checkTimezone(s.GetTimezone())
	if w := s.GetWindow(); w != "" && !window().MatchString(w) {
		d.badPath("schedule.window", fmt.Sprintf("window: %s is not two times of day", quoted(w)), `write both in quotes, such as "10:00-16:00"`)
	}
}

func (d *decoder) checkTimezone(name string) {
	if name == "" {
		return // missing is said elsewhere
	}
	if _, err := time.LoadLocation(name); err != nil || name == "Local" {
		d.badPath("schedule.timezone", fmt.Sprintf("timezone: there is no time zone %s", quoted(name)),
			"write a name of the tz database, such as Europe/Paris or UTC")
	}
}
