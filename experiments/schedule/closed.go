package schedule

import (
	"fmt"
	"sort"
	"strings"
	"time"

	pb "squall/proto/squall/v1"
)

const (
	// MaxClosed is how many hours a guardrail has.
	MaxClosed = 20
	// offsetYears is how far ahead the clocks of a zone are noted.
	offsetYears = 20
)

// Closed is hours in which nothing runs. What clocks on the wall show in their
// zone decides: an hour that comes twice is closed both times.
type Closed struct {
	hours   []closedHours
	offsets []*pb.ZoneOffset
}

// closedHours are times of the days on which they begin; they may go past midnight.
type closedHours struct {
	text  string
	days  func(date) bool
	times window
}

// ClosedOf reads hours, whose zone's clocks are noted in them. The error is an *Error.
func ClosedOf(g *pb.GuardClosed) (*Closed, error) {
	if n := len(g.GetHours()); n == 0 || n > MaxClosed {
		return nil, &Error{"closed", fmt.Sprintf("%d hours can't be kept", n), fmt.Sprintf("give 1 to %d", MaxClosed)}
	}
	c := &Closed{offsets: g.GetOffsets()}
	for _, text := range g.GetHours() {
		h, err := parseClosed(text)
		if err != nil {
			return nil, &Error{"closed", err.Error(), "write days, times or both, such as `mon-fri 09:00-17:00`, `22:00-06:00`, `sat,sun` or `2026-12-24..2027-01-02`"}
		}
		c.hours = append(c.hours, h)
	}
	return c, nil
}

// Offsets are what clocks of a zone show from an instant on, for twenty years, in
// the rules of this build. The error is an *Error.
func Offsets(timezone string, from time.Time) ([]*pb.ZoneOffset, error) {
	zone, err := Zone(timezone)
	if err != nil {
		return nil, err
	}
	const step = 24 * 3600
	at := from.Unix() - 2*step
	all := []*pb.ZoneOffset{{FromUnix: at, Seconds: offsetAt(zone, at)}}
	for end := from.AddDate(offsetYears, 0, 0).Unix(); at < end; at += step {
		was := all[len(all)-1].GetSeconds()
		if offsetAt(zone, at+step) == was {
			continue
		}
		moved := at + 1 + int64(sort.Search(step-1, func(i int) bool { return offsetAt(zone, at+1+int64(i)) != was }))
		all = append(all, &pb.ZoneOffset{FromUnix: moved, Seconds: offsetAt(zone, moved)})
	}
	return all, nil
}

func offsetAt(zone *time.Location, unix int64) int32 {
	_, seconds := time.Unix(unix, 0).In(zone).Zone()
	return int32(seconds)
}

// parseClosed reads days, times, or both.
func parseClosed(text string) (closedHours, error) {
	h := closedHours{text: text, days: anyDay, times: window{0, day}}
	words := strings.Fields(text)
	if len(words) == 0 || len(words) > 2 || len(text) > maxPattern {
		return h, notUnderstood(text)
	}
	last := words[len(words)-1]
	var err error
	if strings.Contains(last, ":") {
		if h.times, err = parseTimes(last); err != nil {
			return h, err
		}
		words = words[:len(words)-1]
	}
	switch len(words) {
	case 0:
		return h, nil
	case 2:
		return h, notUnderstood(text)
	}
	h.days, err = parseDays(words[0])
	return h, err
}

// parseTimes reads two times of day, the second of which may be 24:00.
func parseTimes(text string) (window, error) {
	from, to, both := strings.Cut(text, "-")
	open, err := parseMinute(from)
	end := day
	if to != "24:00" && err == nil {
		end, err = parseMinute(to)
	}
	switch {
	case err != nil || !both:
		return window{}, fmt.Errorf("%.80q is not two times of day", text)
	case open == end:
		return window{}, fmt.Errorf("%q ends when it begins", text)
	}
	return window{open, end}, nil
}

// parseDays reads weekdays, as mon-fri or sat,sun or weekday, or a span of days.
func parseDays(text string) (func(date) bool, error) {
	if text[0] >= '0' && text[0] <= '9' {
		days, err := parseSpan(text)
		return days.has, err
	}
	if days := daysNamed(text); days != nil {
		return days, nil
	}
	week, err := cronFields[4].parse(text)
	if err != nil {
		return nil, fmt.Errorf("%.80q is no days", text)
	}
	return func(d date) bool { return week.has(int(d.weekday())) || week.has(7) && d.weekday() == time.Sunday }, nil
}

// wall is what clocks in the zone show, as a time in UTC.
func (c *Closed) wall(unix int64) time.Time {
	i := sort.Search(len(c.offsets), func(i int) bool { return c.offsets[i].GetFromUnix() > unix })
	if i == 0 {
		i = 1
	}
	if len(c.offsets) > 0 {
		unix += int64(c.offsets[i-1].GetSeconds())
	}
	return time.Unix(unix, 0).UTC()
}

// At names the hours that are closed at an instant; "" for none.
func (c *Closed) At(unix int64) string {
	wall := c.wall(unix)
	d, m := dateOf(wall), minute(wall.Hour()*60+wall.Minute())
	for _, h := range c.hours {
		if h.has(d, m) {
			return h.text
		}
	}
	return ""
}

// has tells whether a time of a day is in them: what goes past midnight belongs
// to the day on which it begins.
func (h closedHours) has(d date, m minute) bool {
	w := h.times
	switch {
	case w.open < w.end:
		return w.open <= m && m < w.end && h.days(d)
	case m >= w.open:
		return h.days(d)
	case m < w.end:
		return h.days(dateOf(d.noon().AddDate(0, 0, -1)))
	}
	return false
}

// Within names the first hours that are closed from one instant to another, and
// says when; "" where none are.
func (c *Closed) Within(from, to int64) (hours string, at int64) {
	for at := from; at < to; at = nextMinute(at) {
		if hours := c.At(at); hours != "" {
			return hours, at
		}
	}
	return "", 0
}

// Opens is the first instant from one on with so many seconds in which nothing is
// closed; 0 where there is none within three days.
func (c *Closed) Opens(from, seconds int64) int64 {
	const most = 3 * 24 * 3600
	for free, at := from, from; at <= from+most; at = nextMinute(at) {
		if c.At(at) != "" {
			free = nextMinute(at)
		} else if at-free >= seconds {
			return free
		}
	}
	return 0
}

// Wall is what clocks in the zone show at an instant, to the minute.
func (c *Closed) Wall(unix int64) string { return c.wall(unix).Format(CivilLayout) }

func nextMinute(unix int64) int64 { return unix - unix%60 + 60 }
