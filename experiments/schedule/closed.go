package schedule

import (
	"cmp"
	"fmt"
	"slices"
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

// closedRead are hours that were read.
var closedRead memo[pb.GuardClosed, Closed]

// ClosedOf reads hours, whose zone's clocks are noted in them, once for each
// message, which must not change afterwards. The error is an *Error.
func ClosedOf(g *pb.GuardClosed) (*Closed, error) { return closedRead.of(g, readClosed) }

func readClosed(g *pb.GuardClosed) (*Closed, error) {
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

// offset is which of the offsets holds at an instant.
func (c *Closed) offset(unix int64) int {
	return max(0, sort.Search(len(c.offsets), func(i int) bool { return c.offsets[i].GetFromUnix() > unix })-1)
}

// A clock shows UTC and so many seconds, from one instant to another.
type clock struct{ from, to, ahead int64 }

// clocks are what those of the zone show from one instant to another, in order.
func (c *Closed) clocks(from, to int64) (all []clock) {
	for i := c.offset(from); from < to; i++ {
		k := clock{from: from, to: to}
		if i < len(c.offsets) {
			k.ahead = int64(c.offsets[i].GetSeconds())
		}
		if i+1 < len(c.offsets) {
			k.to = min(to, c.offsets[i+1].GetFromUnix())
		}
		all, from = append(all, k), k.to
	}
	return all
}

// date is the day that it shows at an instant.
func (k clock) date(unix int64) date { return dateOf(time.Unix(unix+k.ahead, 0).UTC()) }

// A closing is time in which one of the hours is closed, in Unix seconds. Its end
// is not in it.
type closing struct {
	from, to int64
	hours    int
}

// closings are what is closed from one instant to another, in the order of their
// beginnings, those of one instant in that of the hours. Each clock has its days
// by itself: what it never shows is in none, and what two of them show is in both.
func (c *Closed) closings(from, to int64) (all []closing) {
	for _, k := range c.clocks(from, to) {
		last := k.date(k.to - 1)
		for d := k.date(k.from).before(); !d.after(last); d = d.next() {
			midnight := d.midnight() - k.ahead
			for i, h := range c.hours {
				s := closing{max(k.from, midnight+h.opens()), min(k.to, midnight+h.ends()), i}
				if s.from < s.to && h.days(d) {
					all = append(all, s)
				}
			}
		}
	}
	slices.SortFunc(all, func(a, b closing) int { return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.hours, b.hours)) })
	return all
}

// opens is when they begin, in seconds after the midnight of their day.
func (h closedHours) opens() int64 { return int64(h.times.open) * 60 }

// ends is when they end, in seconds after the midnight of the day on which they
// began, to which what goes past the next midnight belongs.
func (h closedHours) ends() int64 {
	if h.times.open < h.times.end {
		return int64(h.times.end) * 60
	}
	return int64(h.times.end+day) * 60
}

// Within names the first hours that are closed from one instant to another, and
// says when; "" where none are. Instants are Unix seconds.
func (c *Closed) Within(from, to int64) (hours string, at int64) {
	all := c.closings(from, to)
	if len(all) == 0 {
		return "", 0
	}
	return c.hours[all[0].hours].text, all[0].from
}

// Opens is the first instant from one on with so many seconds in which nothing is
// closed, all of them within three days; 0 where there is none.
func (c *Closed) Opens(from, seconds int64) int64 {
	const most = 3 * 24 * 3600
	free := from
	for _, s := range c.closings(from, from+most) {
		if s.from-free >= seconds {
			return free
		}
		free = max(free, s.to)
	}
	if from+most-free >= seconds {
		return free
	}
	return 0
}

// Wall is what clocks in the zone show at an instant, to the minute.
func (c *Closed) Wall(unix int64) string {
	if len(c.offsets) > 0 {
		unix += int64(c.offsets[c.offset(unix)].GetSeconds())
	}
	return time.Unix(unix, 0).UTC().Format(CivilLayout)
}
