package schedule

import (
	"fmt"
	"testing"
	"time"

	pb "squall/proto/squall/v1"
)

// TestJitterFollowsFromTheSlot: whoever asks, and whenever, a slot has one
// offset, of its own, within what is allowed.
func TestJitterFollowsFromTheSlot(t *testing.T) {
	of := func(name string, seed uint64) (all []time.Duration) {
		s := &pb.Scheduled{Name: name, Experiment: &pb.Experiment{Schedule: &pb.Schedule{
			Every: "2h", Timezone: "America/New_York", Window: "20:00-06:00", Jitter: &pb.Span{Nanos: 119 * 60e9}, Seed: seed,
		}}}
		slots, err := Upcoming(s, instant(t, "2026-10-30T00:00:00Z"), 60)
		if err != nil {
			t.Fatal(err)
		}
		last := Slot{}
		for _, slot := range slots {
			wall, err := time.ParseInLocation(CivilLayout, slot.Civil, time.UTC)
			if err != nil || slot.Jitter < 0 || slot.Jitter > 119*time.Minute || !slot.Start.Before(slot.Close) || !last.Start.Before(slot.Start) {
				t.Errorf("%+v after %+v: %v, %v", slot, last, wall, err)
			}
			last, all = slot, append(all, slot.Jitter)
		}
		return all
	}
	first := fmt.Sprint(of("drill", 1))
	if again := fmt.Sprint(of("drill", 1)); again != first {
		t.Errorf("%s and then %s", first, again)
	}
	if other := fmt.Sprint(of("drill", 2)); other == first {
		t.Error("another seed gives the same offsets")
	}
	if other := fmt.Sprint(of("drills", 1)); other == first {
		t.Error("another schedule has the same offsets")
	}
	if const0 := fmt.Sprint(of("drill", 3)[:2]); const0 == "[0s 0s]" {
		t.Error("there is no jitter")
	}
}

// TestJitterKeepsTheOrderWhereClocksMove: by the wall two hours lie between the
// starts, on this night one.
func TestJitterKeepsTheOrderWhereClocksMove(t *testing.T) {
	for seed := range uint64(200) {
		c := calendar(t, &pb.Schedule{Cron: "0 1,3 * * *", Timezone: "Europe/Paris", Jitter: &pb.Span{Nanos: 115 * 60e9}, Seed: seed + 1})
		last := Slot{}
		for slot := range c.Since(instant(t, "2027-03-27T12:00:00Z")) {
			if last.Civil != "" && !last.Start.Before(slot.Start) {
				t.Fatalf("seed %d: %+v comes after %+v", seed, last, slot)
			}
			if last = slot; slot.Civil > "2027-03-29" {
				break
			}
		}
	}
}

func TestUpcomingEndsWithItsCount(t *testing.T) {
	s := &pb.Scheduled{Begun: 2, Experiment: &pb.Experiment{Schedule: &pb.Schedule{
		Every: "day at 10:00", Timezone: "UTC", Count: 4, Except: []string{"2026-12-02"},
	}}}
	slots, err := Upcoming(s, instant(t, "2026-12-01T00:00:00Z"), 10)
	if err != nil || len(slots) != 3 || slots[2].Civil != "2026-12-03T10:00" || Left(s) != 2 {
		t.Errorf("to come are %v, %v, %d runs", slots, err, Left(s))
	}
}
