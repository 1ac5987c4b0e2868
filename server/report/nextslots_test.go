package report

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	pb "squall/proto/squall/v1"
	"squall/server/state"
)

// outlook is that of a schedule at noon of 1 March 2027, whose runs last ten minutes.
func outlook(m *state.Machine, s *pb.Scheduled) Outlook {
	return Outlook{View: m.View(), Schedule: s, Length: 10 * time.Minute, Now: time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)}
}

func hindered(t *testing.T, o Outlook, count int) (all [][]string) {
	t.Helper()
	next, err := o.Next(t.Context(), count)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range next {
		all = append(all, append([]string{s.GetSlot()}, s.GetHinderedBy()...))
	}
	return all
}

// TestWhatHindersASlot: every reason that stands, and a run that would be under
// way only after one that would begin.
func TestWhatHindersASlot(t *testing.T) {
	m := state.New()
	s := &pb.Scheduled{Name: "often", Watermark: "2027-03-01T12:05", Experiment: &pb.Experiment{Schedule: &pb.Schedule{
		Every: "5m from 12:00 to 12:20", Timezone: "UTC", Except: []string{"2027-03-02"},
	}}}
	const busy = " is under way: it lasts 10m0s or more"
	left := "2027-03-02 is in 2027-03-02, which the schedule leaves out"
	want := [][]string{
		{"2027-03-01T12:10"}, {"2027-03-01T12:15", "the run of 2027-03-01T12:10" + busy}, {"2027-03-01T12:20"}, {"2027-03-02T12:00", left},
	}
	if d := cmp.Diff(want, hindered(t, outlook(m, s), 4)); d != "" {
		t.Error(d)
	}
	s.PausedBy = &pb.Principal{Name: "kim", Why: "freeze"}
	m.Apply(1, &pb.Command{Kind: &pb.Command_Halt{Halt: &pb.Halt{Id: "h1"}}})
	want = [][]string{
		{"2027-03-01T12:10", "paused by kim: freeze", `the halt lever is engaged by "h1"`},
		{"2027-03-01T12:15", "paused by kim: freeze", `the halt lever is engaged by "h1"`},
	}
	if d := cmp.Diff(want, hindered(t, outlook(m, s), 2)); d != "" {
		t.Error(d)
	}
}

// TestRunsMayOverlap where the schedule says so.
func TestRunsMayOverlap(t *testing.T) {
	s := &pb.Scheduled{Name: "often", Experiment: &pb.Experiment{Schedule: &pb.Schedule{Every: "5m", Timezone: "UTC", Overlap: "allow"}}}
	o := outlook(state.New(), s)
	if d := cmp.Diff([][]string{{"2027-03-01T12:05"}, {"2027-03-01T12:10"}}, hindered(t, o, 2)); d != "" {
		t.Error(d)
	}
	if o.Crowded() == nil {
		t.Error("nobody is told that its slots come closer together than its runs last")
	}
	o.Length = 5 * time.Minute
	if p := o.Crowded(); p != nil {
		t.Error("one after the other is no crowd:", p)
	}
}

// TestWhatWaitsHindersTheNextSlot: cluster time in doubt, and another try that
// would be under way still.
func TestWhatWaitsHindersTheNextSlot(t *testing.T) {
	s := &pb.Scheduled{Name: "often", Watermark: "2027-03-01T12:00", Experiment: &pb.Experiment{Schedule: &pb.Schedule{Every: "15m", Timezone: "UTC", Retry: 2}}}
	o := outlook(state.New(), s)
	o.Doubt = "it is 5s off"
	if d := cmp.Diff([][]string{{"2027-03-01T12:15", "cluster time is in doubt: it is 5s off"}}, hindered(t, o, 1)); d != "" {
		t.Error(d)
	}
	o.Doubt = ""
	s.Retry = &pb.SlotRetry{
		AtUnixNanos: o.Now.Add(6 * time.Minute).UnixNano(), Slot: &pb.SlotRef{Schedule: "often", Slot: "2027-03-01T12:00", Try: 2},
	}
	want := [][]string{{"2027-03-01T12:15", "try 2 of 2027-03-01T12:00 is under way: it lasts 10m0s or more"}, {"2027-03-01T12:30"}}
	if d := cmp.Diff(want, hindered(t, o, 2)); d != "" {
		t.Error(d)
	}
}

// TestScheduleOfWhichNothingBegins is told from one whose next slot is left out.
func TestScheduleOfWhichNothingBegins(t *testing.T) {
	s := &pb.Schedule{Cron: "30 2 28 3 *", Timezone: "Europe/Paris", Until: "2027-12-31"}
	o := outlook(state.New(), &pb.Scheduled{Name: "gap", Experiment: &pb.Experiment{Schedule: s}})
	idle := func() string {
		why, err := o.Idle(t.Context())
		if err != nil {
			t.Error(err)
		}
		return why
	}
	if why := idle(); why != "there is no 02:30 on 2027-03-28 in Europe/Paris: clocks are put forward" {
		t.Errorf("its only slot is in a gap of the clock, and it is idle since %q", why)
	}
	s.Until = ""
	if why := idle(); why != "" {
		t.Errorf("it begins a run a year later, and is idle since %s", why)
	}
	*s = pb.Schedule{Every: "1m", Timezone: "UTC", Except: []string{"2026-01-01..2200-01-01"}}
	if why := idle(); why == "" {
		t.Error("every day is left out")
	}
}

// TestNobodyWaitsForSlots: whoever asked has gone.
func TestNobodyWaitsForSlots(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	o := outlook(state.New(), &pb.Scheduled{Name: "often", Experiment: &pb.Experiment{Schedule: &pb.Schedule{
		Every: "1m", Timezone: "UTC", Except: []string{"2026-01-01..2200-01-01"},
	}}})
	if next, err := o.Next(ctx, 1000); !errors.Is(err, context.Canceled) {
		t.Errorf("%d slots are told: %v", len(next), err)
	}
	if why, err := o.Idle(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("it is idle since %q: %v", why, err)
	}
}
