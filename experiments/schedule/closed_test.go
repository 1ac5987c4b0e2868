package schedule_test

import (
	"testing"
	"time"

	"squall/experiments/schedule"
	pb "squall/proto/squall/v1"
)

// closed is hours in a zone, as of 2027.
func closed(t testing.TB, zone string, hours ...string) *schedule.Closed {
	t.Helper()
	offsets, err := schedule.Offsets(zone, time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	c, err := schedule.ClosedOf(&pb.GuardClosed{Hours: hours, Timezone: zone, Offsets: offsets})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// closedAt tells whether hours are closed at an instant.
func closedAt(c *schedule.Closed, unix int64) bool {
	hours, _ := c.Within(unix, unix+1)
	return hours != ""
}

func unix(t testing.TB, text string) int64 {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at.Unix()
}

func TestHoursAreClosedByTheClockOnTheWall(t *testing.T) {
	for _, c := range []struct {
		zone, hours, at string
		closed          bool
	}{
		{"UTC", "mon-fri 09:00-17:00", "2027-03-01T09:00:00Z", true},
		{"UTC", "mon-fri 09:00-17:00", "2027-03-01T08:59:59Z", false},
		{"UTC", "mon-fri 09:00-17:00", "2027-03-01T17:00:00Z", false},
		{"UTC", "mon-fri 09:00-17:00", "2027-03-06T10:00:00Z", false},
		{"UTC", "weekday 09:00-24:00", "2027-03-01T23:59:59Z", true},
		{"UTC", "sat,sun", "2027-03-07T00:00:00Z", true},
		{"UTC", "sunday", "2027-03-08T00:00:00Z", false},
		{"UTC", "fri 22:00-06:00", "2027-03-06T05:59:00Z", true},
		{"UTC", "fri 22:00-06:00", "2027-03-05T05:59:00Z", false},
		{"UTC", "2027-12-24..2027-12-26", "2027-12-26T23:59:00Z", true},
		{"UTC", "2027-12-24", "2027-12-25T00:00:00Z", false},
		{"Asia/Seoul", "2027-12-24", "2027-12-23T15:00:00Z", true},
		{"Europe/Paris", "09:00-17:00", "2027-03-27T08:00:00Z", true}, // winter
		{"Europe/Paris", "09:00-17:00", "2027-03-29T07:00:00Z", true}, // summer
		{"Europe/Paris", "09:00-17:00", "2027-03-27T07:00:00Z", false},
		{"Europe/Paris", "02:00-03:00", "2027-10-31T00:30:00Z", true}, // an hour that comes twice
		{"Europe/Paris", "02:00-03:00", "2027-10-31T01:30:00Z", true},
		{"Europe/Paris", "02:00-03:00", "2027-03-28T01:00:00Z", false}, // one that clocks leave out
		{"America/New_York", "09:00-17:00", "2046-07-02T13:00:00Z", true},
	} {
		if got := closedAt(closed(t, c.zone, c.hours), unix(t, c.at)); got != c.closed {
			t.Errorf("%s in %s at %s: closed is %t", c.hours, c.zone, c.at, got)
		}
	}
}

func TestRunThatReachesIntoClosedHours(t *testing.T) {
	c := closed(t, "Europe/Paris", "sat,sun", "mon-fri 09:00-17:00")
	from := unix(t, "2027-03-01T07:50:00Z")
	if hours, _ := c.Within(from, from+600); hours != "" {
		t.Errorf("ten minutes before nine are in %q", hours)
	}
	hours, at := c.Within(from, from+601)
	if hours != "mon-fri 09:00-17:00" || c.Wall(at) != "2027-03-01T09:00" {
		t.Errorf("it reaches into %q at %s", hours, c.Wall(at))
	}
	if opens := c.Opens(at, 3600); c.Wall(opens) != "2027-03-01T17:00" {
		t.Errorf("it opens at %s", c.Wall(opens))
	}
	if opens := c.Opens(at, 17*3600); opens != 0 {
		t.Errorf("seventeen hours are free at %s", c.Wall(opens))
	}
}

// TestOffsetsAreThoseOfTheZone at every hour of twenty years.
func TestOffsetsAreThoseOfTheZone(t *testing.T) {
	for _, zone := range []string{"UTC", "Europe/Paris", "Australia/Lord_Howe", "Africa/Casablanca", "America/Sao_Paulo"} {
		c, loc := closed(t, zone, "day"), must(schedule.Zone(zone))
		for at := unix(t, "2027-01-01T00:00:00Z"); at < unix(t, "2046-12-01T00:00:00Z"); at += 3600 {
			if want := time.Unix(at, 0).In(loc).Format(schedule.CivilLayout); c.Wall(at) != want {
				t.Fatalf("%s at %d: %s, and clocks show %s", zone, at, c.Wall(at), want)
			}
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func FuzzClosed(f *testing.F) {
	for _, text := range []string{"mon-fri 09:00-17:00", "22:00-06:00", "2026-12-24..2027-01-02", "sat,sun", "weekday", "x", "9:00", "1-7 ", "-"} {
		f.Add(text, int64(1_800_000_000))
	}
	f.Fuzz(func(t *testing.T, text string, at int64) {
		c, err := schedule.ClosedOf(&pb.GuardClosed{Hours: []string{text}})
		if err != nil {
			return
		}
		at %= 1 << 40
		hours, first := c.Within(at, at+7200)
		if (hours != "") != (closedAt(c, first) && hours != "") {
			t.Errorf("%q is closed at %d, and not", text, first)
		}
	})
}
