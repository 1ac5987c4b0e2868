package schedule

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	pb "squall/proto/squall/v1"
)

func calendar(t testing.TB, s *pb.Schedule) *Calendar {
	t.Helper()
	if s.Timezone == "" {
		s.Timezone = "UTC"
	}
	c, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func instant(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// some are the first n slots since an instant, in words.
func some(c *Calendar, since time.Time, n int) []string {
	var all []string
	for s := range c.Since(since) {
		line := s.Civil + " = " + s.Start.UTC().Format("02T15:04Z")
		if s.Skip != "" {
			line = s.Civil + ": " + s.Skip
		}
		if all = append(all, line); len(all) == n {
			break
		}
	}
	return all
}

func TestSlots(t *testing.T) {
	for _, c := range []struct {
		name     string
		schedule *pb.Schedule
		since    string
		want     []string
	}{
		{
			"the first tuesday", &pb.Schedule{Every: "first tuesday at 14:30", Timezone: "Asia/Seoul"}, "2026-11-29T00:00:00Z",
			[]string{"2026-12-01T14:30 = 01T05:30Z", "2027-01-05T14:30 = 05T05:30Z", "2027-02-02T14:30 = 02T05:30Z"},
		},
		{
			"the last friday", &pb.Schedule{Every: "last friday at 09:00"}, "2026-11-29T00:00:00Z",
			[]string{"2026-12-25T09:00 = 25T09:00Z", "2027-01-29T09:00 = 29T09:00Z", "2027-02-26T09:00 = 26T09:00Z"},
		},
		{
			"working days, not at the turn of the year",
			&pb.Schedule{Every: "weekday at 10:00", Except: []string{"2026-12-24..2026-12-25", "2026-12-29"}}, "2026-12-23T10:00:00Z",
			[]string{
				"2026-12-24T10:00: 2026-12-24 is in 2026-12-24..2026-12-25, which the schedule leaves out",
				"2026-12-25T10:00: 2026-12-25 is in 2026-12-24..2026-12-25, which the schedule leaves out",
				"2026-12-28T10:00 = 28T10:00Z",
				"2026-12-29T10:00: 2026-12-29 is in 2026-12-29, which the schedule leaves out",
				"2026-12-30T10:00 = 30T10:00Z",
			},
		},
		{
			"every two hours by day, to its last day",
			&pb.Schedule{Every: "2h from 09:00 to 17:00", Until: "2026-11-29"}, "2026-11-29T12:00:00Z",
			[]string{"2026-11-29T13:00 = 29T13:00Z", "2026-11-29T15:00 = 29T15:00Z", "2026-11-29T17:00 = 29T17:00Z"},
		},
		{
			"through the night", &pb.Schedule{Every: "3h", Window: "22:00-04:00"}, "2026-11-29T12:00:00Z",
			[]string{"2026-11-30T00:00 = 30T00:00Z", "2026-11-30T03:00 = 30T03:00Z", "2026-12-01T00:00 = 01T00:00Z"},
		},
		{
			"either day, as in every cron", &pb.Schedule{Cron: "0 10 1 * THU"}, "2026-11-29T00:00:00Z",
			[]string{"2026-12-01T10:00 = 01T10:00Z", "2026-12-03T10:00 = 03T10:00Z", "2026-12-10T10:00 = 10T10:00Z"},
		},
		{
			"sunday is 0 and 7", &pb.Schedule{Cron: "*/30 0 * DEC 6-7"}, "2026-12-06T00:00:00Z",
			[]string{"2026-12-06T00:30 = 06T00:30Z", "2026-12-12T00:00 = 12T00:00Z"},
		},
		{
			"the 29th of february, past 2100", &pb.Schedule{Cron: "0 0 29 2 *"}, "2096-02-29T00:00:00Z",
			[]string{"2104-02-29T00:00 = 29T00:00Z", "2108-02-29T00:00 = 29T00:00Z"},
		},
		{
			"clocks are put forward", &pb.Schedule{Every: "30m from 01:30 to 03:00", Timezone: "Europe/Paris"}, "2027-03-27T23:00:00Z",
			[]string{
				"2027-03-28T01:30 = 28T00:30Z",
				"2027-03-28T02:00: there is no 02:00 on 2027-03-28 in Europe/Paris: clocks are put forward",
				"2027-03-28T02:30: there is no 02:30 on 2027-03-28 in Europe/Paris: clocks are put forward",
				"2027-03-28T03:00 = 28T01:00Z",
			},
		},
		{
			"clocks are put back", &pb.Schedule{Every: "30m from 01:30 to 03:00", Timezone: "Europe/Paris"}, "2026-10-24T22:00:00Z",
			[]string{
				"2026-10-25T01:30 = 24T23:30Z", "2026-10-25T02:00 = 25T00:00Z",
				"2026-10-25T02:30 = 25T00:30Z", "2026-10-25T03:00 = 25T02:00Z",
			},
		},
		{
			"by half an hour", &pb.Schedule{Every: "day at 02:15", Timezone: "Australia/Lord_Howe"}, "2026-10-02T16:00:00Z",
			[]string{
				"2026-10-04T02:15: there is no 02:15 on 2026-10-04 in Australia/Lord_Howe: clocks are put forward",
				"2026-10-05T02:15 = 04T15:15Z",
			},
		},
		{
			"a day that a zone left out", &pb.Schedule{Every: "day at 10:00", Timezone: "Pacific/Apia"}, "2011-12-29T00:00:00Z",
			[]string{
				"2011-12-29T10:00 = 29T20:00Z",
				"2011-12-30T10:00: there is no 10:00 on 2011-12-30 in Pacific/Apia: clocks are put forward",
				"2011-12-31T10:00 = 30T20:00Z",
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := some(calendar(t, c.schedule), instant(t, c.since), len(c.want))
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestWindowCloses: the end of the window on the slot's day, or the morning
// after, or the day's.
func TestWindowCloses(t *testing.T) {
	for _, c := range []struct{ at, window, want string }{
		{"10:00", "", "2026-11-30T00:00:00Z"},
		{"10:00", "10:00-16:00", "2026-11-29T16:00:00Z"},
		{"23:00", "22:00-04:00", "2026-11-30T04:00:00Z"},
		{"03:00", "22:00-04:00", "2026-11-29T04:00:00Z"},
	} {
		cal := calendar(t, &pb.Schedule{Every: "day at " + c.at, Window: c.window})
		for s := range cal.Since(instant(t, "2026-11-29T00:00:00Z")) {
			if got := s.Close.Format(time.RFC3339); got != c.want {
				t.Errorf("%s in %q closes at %s, want %s", c.at, c.window, got, c.want)
			}
			break
		}
	}
}

// TestAfterIsSince: a name leads to the same slots as its instant.
func TestAfterIsSince(t *testing.T) {
	c := calendar(t, &pb.Schedule{Every: "45m", Timezone: "America/New_York"})
	var slots []Slot
	for s := range c.Since(instant(t, "2026-10-31T00:00:00Z")) {
		if slots = append(slots, s); len(slots) == 100 {
			break
		}
	}
	for i, s := range slots[:99] {
		after, err := c.After(s.Civil)
		if err != nil {
			t.Fatal(err)
		}
		for next := range after {
			if next != slots[i+1] {
				t.Errorf("after %s comes %v, want %v", s.Civil, next, slots[i+1])
			}
			break
		}
	}
	if _, err := c.After("tomorrow"); err == nil {
		t.Error("a slot that is no civil time is refused by nobody")
	}
}

func TestWrongSchedules(t *testing.T) {
	for _, c := range []struct {
		schedule *pb.Schedule
		want     string
	}{
		{&pb.Schedule{}, "schedule does not say when"},
		{&pb.Schedule{Cron: "* * * * *", Every: "1h"}, `every: "every" stands beside "cron"`},
		{&pb.Schedule{Cron: "* * * * * *"}, `cron: "* * * * * *" has 6 fields and not five: there are no seconds, and runs begin once a minute at the most`},
		{&pb.Schedule{Cron: "@daily"}, `cron: "@daily" has 1 fields and not five`},
		{&pb.Schedule{Cron: "60 * * * *"}, `cron: "60" is no minute, which goes from 0 to 59`},
		{&pb.Schedule{Cron: "0 17-9 * * *"}, `cron: the range "17-9" of the hour ends before it begins`},
		{&pb.Schedule{Cron: "*/0 * * * *"}, `cron: "0" is no step for the minute`},
		{&pb.Schedule{Cron: "0 0 L * *"}, `cron: "L" is no day of the month`},
		{&pb.Schedule{Cron: "0 0 ? * MON#2"}, `cron: "?" is no day of the month`},
		{&pb.Schedule{Cron: "0 0 30 2 *"}, `cron: "0 0 30 2 *" never comes`},
		{&pb.Schedule{Cron: "0 0 31 2,4,6 *"}, "never comes"},
		{&pb.Schedule{Every: "fifth tuesday at 10:00"}, `every: "fifth tuesday at 10:00" is not understood`},
		{&pb.Schedule{Every: "first noday at 10:00"}, "every: these are no days"},
		{&pb.Schedule{Every: "day at 24:00"}, `every: "24:00" is no time of day`},
		{&pb.Schedule{Every: "day at 9:00"}, `every: "9:00" is no time of day`},
		{&pb.Schedule{Every: "0m"}, "every: 0m is not from 1m to less than a day"},
		{&pb.Schedule{Every: "24h"}, "every: 24h is not from 1m to less than a day"},
		{&pb.Schedule{Every: "1s"}, "is too often: runs begin once a minute at the most"},
		{&pb.Schedule{Every: "1h from 17:00 to 09:00"}, "every: 09:00 comes before 17:00"},
		{&pb.Schedule{Every: "1h", Timezone: "Local"}, `timezone: "Local" is another zone on each machine`},
		{&pb.Schedule{Every: "1h", Timezone: "Mars/Olympus"}, `timezone: there is no time zone "Mars/Olympus"`},
		{&pb.Schedule{Every: "1h", Timezone: "../etc/passwd"}, "timezone: there is no time zone"},
		{&pb.Schedule{Every: "day at 09:00", Window: "10:00-16:00"}, "window: no start lies between 10:00 and 16:00"},
		{&pb.Schedule{Every: "1h", Window: "10:00"}, `window: "10:00" is not two times of day`},
		{&pb.Schedule{Every: "1h", Window: "10:00-10:00"}, "ends when it begins"},
		{&pb.Schedule{Every: "1h", Except: []string{"2026-02-30"}}, `except: "2026-02-30" is no day`},
		{&pb.Schedule{Every: "1h", Except: []string{"2026-12-24..2026-12-01"}}, "ends before it begins"},
		{&pb.Schedule{Every: "1h", Except: slices.Repeat([]string{"2026-12-24"}, 101)}, "except: 101 days"},
		{&pb.Schedule{Cron: "0 0 * * 1" + strings.Repeat(",1", 100)}, "has 209 bytes"},
		{&pb.Schedule{Every: "1h", Jitter: &pb.Span{Nanos: 3600e9}}, "jitter: 1h is not shorter than the 1h from one start to the next"},
		{&pb.Schedule{Cron: "0 23,1 * * *", Jitter: &pb.Span{Nanos: 3 * 3600e9}}, "not shorter than the 2h"},
		{&pb.Schedule{Every: "1h", Seed: 7}, "seed: seed stands without `jitter`"},
		{&pb.Schedule{Every: "1h", Late: &pb.Span{Nanos: 3600e9}}, "late: late stands without `missed: run`"},
		{&pb.Schedule{Every: "1h", RetryAfter: &pb.Span{Nanos: 60e9}}, "retry_after: retry_after stands without `retry`"},
		{&pb.Schedule{Every: "1h", Until: "soon"}, `until: "soon" is no day`},
	} {
		if c.schedule.Timezone == "" {
			c.schedule.Timezone = "UTC"
		}
		_, err := New(c.schedule)
		if wrong, ok := errors.AsType[*Error](err); !ok || wrong.Fix == "" || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q with a fix", c.schedule, err, c.want)
		}
	}
}

// TestCalendarIsTheWallClock: against a plain model, which looks at the wall
// every minute, a slot is where the clock first shows its time.
func TestCalendarIsTheWallClock(t *testing.T) {
	zones := []string{"Europe/Paris", "America/New_York", "Australia/Lord_Howe", "America/Santiago", "Asia/Seoul", "Africa/Casablanca"}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		line := fmt.Sprintf("%d,%d-%d/%d */%d * * %d-6", rng.IntN(60), rng.IntN(20), 30+rng.IntN(30), 1+rng.IntN(20), 1+rng.IntN(6), rng.IntN(6))
		c := calendar(t, &pb.Schedule{Cron: line, Timezone: zones[rng.IntN(len(zones))]})
		start := instant(t, "2026-01-01T00:00:00Z").AddDate(0, 0, rng.IntN(400))
		var want []string
		days, times, err := cron(line)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for at := start.Add(-48 * time.Hour); at.Before(start.AddDate(0, 0, 20)); at = at.Add(time.Minute) {
			wall := at.In(c.zone)
			name := wall.Format(CivilLayout)
			fires := days(dateOf(wall)) && slices.Contains(times, minute(wall.Hour()*60+wall.Minute()))
			if fires && !seen[name] && at.After(start) {
				want = append(want, name+" = "+at.Format("02T15:04Z"))
			}
			seen[name] = true
		}
		got := slices.DeleteFunc(some(c, start, len(want)+100), func(s string) bool { return strings.Contains(s, "put forward") })
		if d := cmp.Diff(want, got[:min(len(got), len(want))]); d != "" {
			t.Fatalf("%s in %s from %s: %s", line, c.zone, start, d)
		}
	}
}

// FuzzNew: no text makes a calendar panic, and what is taken has slots in the
// order of their names and of time.
func FuzzNew(f *testing.F) {
	f.Add("0 10 * * THU", "", "Europe/Paris", "09:00-17:00", "2026-12-24..2027-01-02", "2027-06-30")
	f.Add("", "first tuesday at 14:30", "UTC", "", "2026-12-24", "")
	f.Add("", "45m from 01:00 to 04:00", "America/New_York", "22:00-04:00", "", "")
	f.Fuzz(func(t *testing.T, cron, every, zone, window, except, until string) {
		s := &pb.Schedule{Cron: cron, Every: every, Timezone: zone, Window: window, Until: until}
		if except != "" {
			s.Except = []string{except}
		}
		c, err := New(s)
		if err != nil {
			return
		}
		var last Slot
		n := 0
		for s := range c.Since(instant(t, "2026-03-01T00:00:00Z")) {
			if n++; n > 200 {
				break
			}
			if last.Civil != "" && (s.Civil <= last.Civil || s.Start.Before(last.Start) || !s.Close.After(s.Start) && s.Skip == "") {
				t.Fatalf("%v: %+v after %+v", s, s, last)
			}
			last = s
		}
	})
}
