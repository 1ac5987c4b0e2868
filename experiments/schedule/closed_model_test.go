package schedule

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	pb "squall/proto/squall/v1"
)

// plainAt is the plain model of closed hours: what the wall shows at an instant,
// and the first hours that have that.
func plainAt(c *Closed, unix int64) string {
	ahead := int64(0)
	for i, o := range c.offsets {
		if i == 0 || o.GetFromUnix() <= unix {
			ahead = int64(o.GetSeconds())
		}
	}
	wall := time.Unix(unix+ahead, 0).UTC()
	d, m := dateOf(wall), minute(wall.Hour()*60+wall.Minute())
	for _, h := range c.hours {
		if plainHas(h, d, m) {
			return h.text
		}
	}
	return ""
}

func plainHas(h closedHours, d date, m minute) bool {
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

// plainWithin tries every minute.
func plainWithin(c *Closed, from, to int64) (string, int64) {
	for at := from; at < to; at = nextMinute(at) {
		if hours := plainAt(c, at); hours != "" {
			return hours, at
		}
	}
	return "", 0
}

// plainOpens tries every minute of three days.
func plainOpens(c *Closed, from, seconds int64) int64 {
	free, end := from, from+3*24*3600
	for at := from; at < end; at = nextMinute(at) {
		if plainAt(c, at) == "" {
			continue
		}
		if at-free >= seconds {
			return free
		}
		free = min(nextMinute(at), end)
	}
	if end-free >= seconds {
		return free
	}
	return 0
}

func nextMinute(unix int64) int64 { return unix - unix%60 + 60 }

// someHours are at random, in the ways in which hours may be written.
func someHours(r *rand.Rand, around time.Time) string {
	clock := func() string { return fmt.Sprintf("%02d:%02d", r.IntN(24), r.IntN(4)*15) }
	days := []string{
		"mon-fri", "sat,sun", "weekday", "sunday", "day", "fri", "tue,thu", "sun-mon", "sat",
		around.AddDate(0, 0, r.IntN(5)-2).Format(time.DateOnly),
		around.AddDate(0, 0, -r.IntN(3)).Format(time.DateOnly) + ".." + around.AddDate(0, 0, r.IntN(3)).Format(time.DateOnly),
	}[r.IntN(11)]
	open, end := clock(), clock()
	if r.IntN(8) == 0 {
		end = "24:00"
	}
	switch {
	case open == end || r.IntN(5) == 0:
		return days
	case r.IntN(3) == 0:
		return open + "-" + end
	}
	return days + " " + open + "-" + end
}

// TestClosedIsTheWallClock holds hours against the plain model, which looks at
// the wall every minute, around the instants at which clocks move and elsewhere.
func TestClosedIsTheWallClock(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 9))
	found, opened := 0, 0
	const cases = 600
	for range cases {
		zone := []string{
			"Europe/Paris", "America/New_York", "Australia/Lord_Howe", "America/Santiago", "Africa/Casablanca",
			"Asia/Kathmandu", "Pacific/Chatham", "Pacific/Apia", "America/St_Johns", "UTC",
		}[r.IntN(10)]
		begin := time.Date(2010, 6, 1, 0, 0, r.IntN(100), 0, time.UTC) // Apia left out 30 December 2011
		offsets, err := Offsets(zone, begin)
		if err != nil {
			t.Fatal(err)
		}
		moved := offsets[r.IntN(len(offsets))].GetFromUnix()
		from := moved + r.Int64N(4*24*3600) - 2*24*3600
		if r.IntN(4) == 0 {
			from = begin.Unix() + r.Int64N(10*365*24*3600)
		}
		g := &pb.GuardClosed{Timezone: zone, Offsets: offsets}
		for range 1 + r.IntN(3) {
			g.Hours = append(g.Hours, someHours(r, time.Unix(from, 0).UTC()))
		}
		c, err := ClosedOf(g)
		if err != nil {
			t.Fatal(err)
		}
		to := from + r.Int64N(26*3600)
		hours, at := c.Within(from, to)
		if want, first := plainWithin(c, from, to); hours != want || at != first {
			t.Fatalf("%q in %s from %d to %d: in %q at %d, and the wall says %q at %d", g.GetHours(), zone, from, to, hours, at, want, first)
		}
		seconds := 1 + r.Int64N(8*3600)
		opens := c.Opens(from, seconds)
		if want := plainOpens(c, from, seconds); opens != want {
			t.Fatalf("%q in %s from %d: %d seconds are free at %d, and by the wall at %d", g.GetHours(), zone, from, seconds, opens, want)
		}
		if hours != "" {
			found++
		}
		if opens > from {
			opened++
		}
	}
	if found < cases/4 || found > cases*9/10 || opened < cases/10 {
		t.Errorf("of %d, %d were closed and %d opened later: too few of one", cases, found, opened)
	}
}

// TestHoursAreAskedByTheDay and not by the minute: a guardrail is judged each
// second for each run.
func TestHoursAreAskedByTheDay(t *testing.T) {
	asked := 0
	c := &Closed{hours: []closedHours{{text: "never", times: window{0, day}, days: func(date) bool { asked++; return false }}}}
	if hours, _ := c.Within(1_800_000_000, 1_800_000_000+24*3600); hours != "" || asked > 3 {
		t.Errorf("a day is in %q after %d looks at days", hours, asked)
	}
}
