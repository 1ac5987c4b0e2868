package schedule

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	pb "squall/proto/squall/v1"
)

func left(calendars ...*pb.Calendar) *pb.Scheduled {
	return &pb.Scheduled{Calendars: calendars, Experiment: &pb.Experiment{Schedule: &pb.Schedule{
		Every: "day at 20:00", Timezone: "Europe/Paris", Except: []string{"2026-12-01", "seoul"},
	}}}
}

// TestBlackoutIsInItsOwnZone: the evening of the 23rd in Paris is the 24th in Seoul.
func TestBlackoutIsInItsOwnZone(t *testing.T) {
	c, err := Of(left(&pb.Calendar{Name: "other"}, &pb.Calendar{Name: "seoul", Timezone: "Asia/Seoul", Days: []string{"2026-12-24..2026-12-25"}}))
	if err != nil {
		t.Fatal(err)
	}
	const leaves = " in Asia/Seoul is in 2026-12-24..2026-12-25 of the calendar seoul, which the schedule leaves out"
	want := []string{
		"2026-12-22T20:00 = 22T19:00Z", "2026-12-23T20:00: 2026-12-24" + leaves,
		"2026-12-24T20:00: 2026-12-25" + leaves, "2026-12-25T20:00 = 25T19:00Z",
	}
	if d := cmp.Diff(want, some(c, instant(t, "2026-12-22T00:00:00Z"), len(want))); d != "" {
		t.Error(d)
	}
}

// TestWindowLeadsIntoADayLeftOut: a slot whose jitter takes it past midnight is
// of the day on which it comes, too.
func TestWindowLeadsIntoADayLeftOut(t *testing.T) {
	c, err := New(&pb.Schedule{
		Every: "day at 23:50", Timezone: "Europe/Paris", Window: "22:00-03:00", Except: []string{"2026-12-24"}, Jitter: &pb.Span{Nanos: int64(2 * time.Hour)},
	})
	if err != nil {
		t.Fatal(err)
	}
	for s := range c.Since(instant(t, "2026-12-23T12:00:00Z")) {
		const want = "2026-12-24 is in 2026-12-24, which the schedule leaves out"
		if s.Civil != "2026-12-23T23:50" || s.Jitter < 10*time.Minute || s.Skip != want {
			t.Errorf("slot %s, %s later, is skipped since %q, want %q", s.Civil, s.Jitter, s.Skip, want)
		}
		break
	}
}

// TestCalendarThatIsMissing begins nothing, rather than on a day that is left out.
func TestCalendarThatIsMissing(t *testing.T) {
	_, err := Of(left())
	if wrong, ok := errors.AsType[*Error](err); !ok || wrong.Field != "except" || wrong.Fix == "" || !strings.Contains(wrong.Message, `no calendar "seoul"`) {
		t.Errorf("the calendar is made: %v", err)
	}
}

func TestWrongCalendars(t *testing.T) {
	for _, c := range []struct {
		calendar *pb.Calendar
		want     string
	}{
		{&pb.Calendar{Name: "2026", Timezone: "UTC", Days: []string{"2026-12-24"}}, `name: "2026" can't name a calendar`},
		{&pb.Calendar{Name: "x", Days: []string{"2026-12-24"}}, "timezone: there is no time zone given"},
		{&pb.Calendar{Name: "x", Timezone: "Local", Days: []string{"2026-12-24"}}, "another zone on each machine"},
		{&pb.Calendar{Name: "x", Timezone: "Mars/Olympus", Days: []string{"2026-12-24"}}, `no time zone "Mars/Olympus"`},
		{&pb.Calendar{Name: "x", Timezone: "UTC"}, "days: a calendar of 0 days is none"},
		{&pb.Calendar{Name: "x", Timezone: "UTC", Days: make([]string, MaxDays+1)}, "days: a calendar of 401 days is none"},
		{&pb.Calendar{Name: "x", Timezone: "UTC", Days: []string{"2026-02-30"}}, `days: "2026-02-30" is no day`},
		{&pb.Calendar{Name: "x", Timezone: "UTC", Days: []string{"2026-12-24..2026-12-01"}}, "ends before it begins"},
	} {
		err := CheckCalendar(c.calendar)
		if wrong, ok := errors.AsType[*Error](err); !ok || wrong.Fix == "" || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q with a fix", c.calendar, err, c.want)
		}
	}
}

// FuzzCheckCalendar: no text makes it panic, and what is taken makes a calendar.
func FuzzCheckCalendar(f *testing.F) {
	f.Add("freeze", "Asia/Seoul", "2026-12-24..2027-01-02")
	f.Add("f", "../etc/passwd", "2026-12-24..")
	f.Fuzz(func(t *testing.T, name, zone, days string) {
		k := &pb.Calendar{Name: name, Timezone: zone, Days: []string{days}}
		if CheckCalendar(k) != nil {
			return
		}
		s := &pb.Scheduled{Calendars: []*pb.Calendar{k}, Experiment: &pb.Experiment{Schedule: &pb.Schedule{
			Every: "day at 20:00", Timezone: "UTC", Except: []string{name},
		}}}
		if _, err := Of(s); err != nil {
			t.Errorf("%v is taken, and makes no calendar: %v", k, err)
		}
	})
}
