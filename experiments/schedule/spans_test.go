package schedule

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	pb "squall/proto/squall/v1"
)

// TestSpansFindWhatEachOfThemHas holds bisection against a look at each.
func TestSpansFindWhatEachOfThemHas(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 7))
	begin := date{2026, time.November, 20}
	day := func() (d date) {
		for d = begin; r.IntN(60) > 0; d = d.next() {
		}
		return d
	}
	in, out := 0, 0
	for range 500 {
		var listed []span
		for range r.IntN(8) {
			s := span{first: day()}
			for s.last = s.first; r.IntN(4) > 0; s.last = s.last.next() {
			}
			listed = append(listed, s)
		}
		all := spansOf(listed)
		for range 40 {
			d := day()
			i := slices.IndexFunc(listed, func(s span) bool { return s.has(d) })
			switch got, is := all.find(d); {
			case is != (i >= 0) || is && got != listed[i]:
				t.Fatalf("%s in %v: found %v, %t", d, listed, got, is)
			case is:
				in++
			default:
				out++
			}
		}
	}
	if in < 1000 || out < 1000 {
		t.Errorf("%d days were in spans, and %d were not: too few of one", in, out)
	}
}

// TestCalendarIsReadOnce for each version, whoever makes schedules of it.
func TestCalendarIsReadOnce(t *testing.T) {
	s := left(&pb.Calendar{Name: "seoul", Timezone: "Asia/Seoul", Days: []string{"2026-12-24"}})
	first, err := Of(s)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Of(s)
	if err != nil || first.blackouts[0] != again.blackouts[0] {
		t.Errorf("the calendar is read again: %v", err)
	}
	s.Calendars = []*pb.Calendar{{Name: "seoul", Timezone: "Asia/Seoul", Days: []string{"2026-12-25"}}}
	if other, err := Of(s); err != nil || other.blackouts[0] == first.blackouts[0] {
		t.Errorf("the days are those of the version before: %v", err)
	}
}

// BenchmarkLeftOut is as many slots as one command passes over, a minute apart, of
// a schedule that leaves out as many calendars as it may, of as many days.
func BenchmarkLeftOut(b *testing.B) {
	s := &pb.Scheduled{Name: "often", Experiment: &pb.Experiment{Schedule: &pb.Schedule{Every: "1m", Timezone: "UTC"}}}
	for n := range MaxExcept {
		k := &pb.Calendar{Name: fmt.Sprint("k", n), Timezone: "Europe/Paris"}
		for d := (date{2030, time.January, 1}); len(k.Days) < MaxDays; d = d.next().next() {
			k.Days = append(k.Days, d.String())
		}
		s.Calendars, s.Experiment.Schedule.Except = append(s.Calendars, k), append(s.Experiment.Schedule.Except, k.Name)
	}
	since := instant(b, "2026-12-01T00:00:00Z")
	b.Run("slots", func(b *testing.B) {
		c, err := Of(s)
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			n := 0
			for range c.Since(since) {
				if n++; n == 10_000 {
					break
				}
			}
		}
	})
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			if _, err := Of(s); err != nil {
				b.Fatal(err)
			}
		}
	})
}
