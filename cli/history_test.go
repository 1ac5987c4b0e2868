package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
)

// TestHistoryIsSeenAtAGlance: a row for each run, a column for each value that
// is expected, and what is far from the usual is marked and told.
func TestHistoryIsSeenAtAGlance(t *testing.T) {
	entry := func(id string, v pb.Verdict, failover time.Duration, success float64, d ...*pb.Deviation) *pb.HistoryEntry {
		state := pb.FindingState_FINDING_STATE_HOLDS
		if v == pb.Verdict_VERDICT_FAIL {
			state = pb.FindingState_FINDING_STATE_BROKEN
		}
		return &pb.HistoryEntry{Deviations: d, Run: &pb.RunSummary{
			Id: id, State: pb.RunState_RUN_STATE_DONE, Verdict: v, AdmittedUnixNanos: time.Date(2026, 11, 3, 14, 30, 0, 0, time.Local).UnixNano(),
			Figures: &pb.RunFigures{
				Failover: &pb.Took{Nanos: int64(failover)}, Recovery: &pb.Took{Never: failover > 9e9},
				Expect: []*pb.ExpectFigure{
					{Name: "served", State: state, Worst: []*pb.Extreme{{Value: "shop.success", Seen: success, Op: ">=", Limit: 0.99}, {Value: "shop.p95", Seen: 41.25, Op: "<", Limit: 300}}},
					{Name: "no herd", State: pb.FindingState_FINDING_STATE_HOLDS},
				},
			},
		}}
	}
	resp := &pb.HistoryResponse{Runs: []*pb.HistoryEntry{
		entry("dark-1", pb.Verdict_VERDICT_PASS, 4e9, 0.9987),
		{Run: &pb.RunSummary{Id: "dark-2", State: pb.RunState_RUN_STATE_DONE, Verdict: pb.Verdict_VERDICT_ABORTED}},
		entry("dark-3", pb.Verdict_VERDICT_FAIL, 41.26e9, 0.62,
			&pb.Deviation{Kind: pb.DeviationKind_DEVIATION_KIND_FAILOVER, Seen: 41.26, Median: 4, Worse: true, Runs: 5},
			&pb.Deviation{Kind: pb.DeviationKind_DEVIATION_KIND_WORST, Expectation: "served", Value: "shop.success", Seen: 0.62, Median: 0.998, Worse: true, Runs: 5}),
	}}
	var out bytes.Buffer
	a := &app{stdout: &out, settings: &settings{}}
	if err := a.show(experimentHistoryView(resp)); err != nil {
		t.Fatal(err)
	}
	want := `WHEN              VERDICT  FAILOVER  RECOVERY  E1          E2     E3  RUN
2026-11-03 14:30  pass     4s        0s        0.9987      41.25  ok  dark-1
-                 aborted  -         -         -           -      -   dark-2
2026-11-03 14:30  fail     41.3s!    never     0.62! FAIL  41.25 FAIL  ok  dark-3
E1  served: shop.success >= 0.99
E2  served: shop.p95 < 300
E3  no herd
worse in the newest run: time to fail over 41.3s, usually 4s (5 runs before)
worse in the newest run: served: shop.success 0.62, usually 0.998 (5 runs before)
`
	if squeeze(out.String()) != squeeze(want) {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

// squeeze makes one blank of several.
func squeeze(s string) string {
	var lines []string
	for line := range strings.Lines(s) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	return strings.Join(lines, "\n")
}

// TestWhatIsOverdueStandsOut: in words everywhere, and red on a terminal.
func TestWhatIsOverdueStandsOut(t *testing.T) {
	now := time.Now()
	resp := &pb.ListDueResponse{Experiments: []*pb.Due{
		{Experiment: "fine", DueNanos: int64(30 * 24 * time.Hour), PassedUnixNanos: now.Add(-50 * time.Hour).UnixNano(), PassedRun: "fine-1"},
		{Experiment: "late", DueNanos: int64(12 * time.Hour), PassedUnixNanos: now.Add(-700 * time.Hour).UnixNano(), Overdue: true, Why: "schedule late is paused by kim"},
	}}
	var out bytes.Buffer
	a := &app{stdout: &out, settings: &settings{}}
	if err := a.show(dueView(resp)); err != nil {
		t.Fatal(err)
	}
	want := "EXPERIMENT PASSED DUE STATE WHY NOT SINCE\nfine 2d ago 30d ok -\nlate 29d ago 12h0m OVERDUE schedule late is paused by kim"
	if got := strings.TrimSpace(squeeze(out.String())); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := inRed("late  OVERDUE  x", dueView(resp).red); got != "late  \x1b[31mOVERDUE\x1b[0m  x" {
		t.Errorf("on a terminal it is %q", got)
	}
}

// TestReportOfADeadProbeHasNoLatency: nor one of which no attempt was made a share.
func TestReportOfADeadProbeHasNoLatency(t *testing.T) {
	r := &pb.RunReport{Summary: &pb.RunSummary{Id: "r1"}, Probes: []*pb.ProbeReport{
		{Name: "dead", Count: 9}, {Name: "silent"}, {Name: "shop", Count: 9, Success: 1, P50Millis: proto.Float64(4), P95Millis: proto.Float64(41.2), P99Millis: proto.Float64(50)},
	}}
	var out strings.Builder
	told(func(a *app) error { return a.showReport(r, nil) })(&out)
	for _, want := range []string{
		"dead n=9 ok 0.0% p50 - p95 - p99 - - no", "silent n=0 ok - p50 - p95 - p99 - - no", "shop n=9 ok 100.0% p50 4.0ms p95 41.2ms p99 50.0ms",
	} {
		if !strings.Contains(squeeze(out.String()), want) {
			t.Errorf("it lacks %q:\n%s", want, out.String())
		}
	}
}

// TestReportTellsHowLongItTook, and not how long it was to take.
func TestReportTellsHowLongItTook(t *testing.T) {
	const t0, planned = int64(1_800_000_000e9), 5 * time.Minute
	for _, c := range []struct {
		took  time.Duration // 0 is under way
		speed uint64
		want  string
	}{
		{8 * time.Second, 1000, "8s real"},
		{8 * time.Second, 60_000, "8s real, 8m0s incident"},
		{5*time.Minute + 3*time.Second, 1000, "5m3s real"},
		{0, 1000, "5m0s real"},
		{0, 60_000, "5m0s real, 5h0m0s incident"},
	} {
		r := &pb.RunReport{
			Summary: &pb.RunSummary{Id: "r1", Experiment: "x", T0UnixNanos: t0, EndsUnixNanos: t0 + int64(planned)},
			Plan:    &pb.Plan{MilliSpeed: c.speed, LengthNanos: int64(planned)},
		}
		if c.took != 0 {
			r.Summary.DoneUnixNanos = t0 + int64(c.took)
		}
		var out strings.Builder
		told(func(a *app) error { return a.showReport(r, nil) })(&out)
		if banner, _, _ := strings.Cut(out.String(), "\n"); !strings.HasSuffix(banner, "seed 0  "+c.want) {
			t.Errorf("%v at %d: %q, want %q", c.took, c.speed, banner, c.want)
		}
	}
}
