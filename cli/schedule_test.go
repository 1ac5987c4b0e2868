package main

import (
	"bytes"
	"strings"
	"testing"
	"text/tabwriter"

	"google.golang.org/protobuf/encoding/protojson"

	pb "squall/proto/squall/v1"
)

// TestHistoryHasRunVerdictAndTries of each slot, why one began nothing, and what
// waits still; JSON has the same.
func TestHistoryHasRunVerdictAndTries(t *testing.T) {
	v := historyView(&pb.Scheduled{
		Name: "drill",
		History: []*pb.SlotRecord{
			{Slot: "2026-12-01T12:00", From: "2026-12-01T11:00", Count: 2, Outcome: pb.SlotOutcome_SLOT_OUTCOME_MISSED, Why: "nobody conducted; seen 1h0m0s late"},
			{Slot: "2026-12-01T13:00", Outcome: pb.SlotOutcome_SLOT_OUTCOME_BEGUN, Run: "drill-3", Earlier: []string{"drill-1", "drill-2"}, Verdict: pb.Verdict_VERDICT_PASS},
			{Slot: "2026-12-01T14:00", Outcome: pb.SlotOutcome_SLOT_OUTCOME_BEGUN, Run: "drill-4", Verdict: pb.Verdict_VERDICT_NOT_STARTED, Why: "steady state \"up\" broken"},
			{Slot: "2026-12-01T15:00", Outcome: pb.SlotOutcome_SLOT_OUTCOME_BEGUN, Run: "drill-5"},
		},
		Retry: &pb.SlotRetry{AtUnixNanos: 1796133900e9, Slot: &pb.SlotRef{Slot: "2026-12-01T14:00", Try: 2}},
		Held:  &pb.SlotHold{Slot: "2026-12-01T16:00", Why: "it is 5s off the servers' wall clocks"},
	})
	for wide, want := range map[bool][]string{
		false: {
			"SLOT BECAME VERDICT RUN TRIES WHY",
			"2 from 2026-12-01T11:00 to 2026-12-01T12:00 missed - - - nobody conducted; seen 1h0m0s late",
			"2026-12-01T13:00 begun pass drill-3 3 -",
			`2026-12-01T14:00 begun not started drill-4 1 steady state "up" broken`,
			"2026-12-01T15:00 begun under way drill-5 1 -",
			"cluster time is in doubt: it is 5s off the servers' wall clocks",
			"tries again slot 2026-12-01T14:00 at 2026-12-01T14:05:00",
		},
		true: {"WHY EARLIER RUNS", "pass drill-3 3 - drill-1 drill-2"},
	} {
		var out bytes.Buffer
		w := tabwriter.NewWriter(&out, 0, 8, 1, ' ', 0)
		v.table(w, wide)
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		plain := strings.Join(strings.Fields(out.String()), " ")
		for _, words := range want {
			if !strings.Contains(plain, words) {
				t.Errorf("it lacks %q:\n%s", words, out.String())
			}
		}
	}
	whole, err := protojson.Marshal(v.message.(*pb.Scheduled))
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"earlier", "verdict", "retry", "held", "why"} {
		if !strings.Contains(string(whole), `"`+key+`"`) {
			t.Errorf("JSON lacks %s", key)
		}
	}
}

// TestListTellsNoSlotFromOneThatNobodyKnows: what can't be told is no end.
func TestListTellsNoSlotFromOneThatNobodyKnows(t *testing.T) {
	var out bytes.Buffer
	a := &app{stdout: &out, settings: &settings{}}
	err := a.show(schedulesView(&pb.ListSchedulesResponse{Schedules: []*pb.Scheduled{
		{Name: "known", Next: "2027-03-01T20:00"}, {Name: "over"}, {Name: "strange", NextUnknown: "there is no calendar"},
	}}))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\nknown active 2027-03-01T20:00 0 -", "\nover active - 0 -", "\nstrange active ? 0 -"} {
		if !strings.Contains(squeeze(out.String()), want) {
			t.Errorf("it lacks %q:\n%s", want, out.String())
		}
	}
}
