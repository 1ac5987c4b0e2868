package report_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	pb "squall/proto/squall/v1"
	"squall/server/report"
	"squall/server/state"
)

const day = int64(24 * time.Hour)

// scheduledFor is a schedule of an experiment, put a year before t0.
func scheduledFor(name string, due int64, history ...*pb.SlotRecord) *pb.Scheduled {
	s := &pb.Scheduled{Name: "of-" + name, Experiment: &pb.Experiment{Name: name}, PutUnixNanos: t0 - 365*day, History: history}
	if due != 0 {
		s.Experiment.Due = &pb.Span{Nanos: due}
	}
	return s
}

func ranAt(id, experiment string, at int64, v pb.Verdict) *pb.Archived {
	return &pb.Archived{Released: true, Summary: &pb.RunSummary{
		Id: id, Experiment: experiment, AdmittedUnixNanos: at, DoneUnixNanos: at, AdmittedIndex: uint64(at / 1e9), Verdict: v, State: pb.RunState_RUN_STATE_DONE,
	}}
}

// Each experiment tells when it last passed, by runs of archives and records of
// schedules, whether that is too long ago, and why no newer run passed.
func TestExperimentsTellWhenTheyAreDue(t *testing.T) {
	const pass, fail = pb.Verdict_VERDICT_PASS, pb.Verdict_VERDICT_FAIL
	paused := scheduledFor("paused", 0)
	paused.PausedBy = &pb.Principal{Name: "kim", Why: "the office moves"}
	s := &pb.State{
		Rules: state.Rules, LastUnixNanos: t0,
		Experiments: map[string]*pb.KeptExperiment{
			"fresh": {Name: "fresh", Versions: []*pb.ExperimentVersion{{Digest: "a", PutUnixNanos: t0 - 2*day}, {Digest: "b", PutUnixNanos: t0 - day, DueNanos: day / 2}}},
			"loose": {Name: "loose", Versions: []*pb.ExperimentVersion{{Digest: "a", PutUnixNanos: t0 - 90*day}}},
		},
		Schedules: map[string]*pb.Scheduled{
			"of-good": scheduledFor("good", 7*day), "of-paused": paused, "of-never": scheduledFor("never", 0),
			"of-late": scheduledFor("late", 7*day, &pb.SlotRecord{Slot: "2026-01-01T10:00", Outcome: pb.SlotOutcome_SLOT_OUTCOME_BEGUN, Run: "late-0", AtUnixNanos: t0 - 20*day, Verdict: pass},
				&pb.SlotRecord{Slot: "2026-01-15T10:00", Outcome: pb.SlotOutcome_SLOT_OUTCOME_SKIPPED, Why: "a calendar leaves it out", AtUnixNanos: t0 - 6*day}),
		},
		Archived: map[string]*pb.Archived{},
	}
	adHoc := ranAt("inject-1", "inject", t0-day, pb.Verdict_VERDICT_DONE)
	adHoc.Summary.AdHoc = true
	for _, a := range []*pb.Archived{
		ranAt("good-1", "good", t0-8*day, fail), ranAt("good-2", "good", t0-6*day, pass), ranAt("old-1", "old", t0-31*day, pass), ranAt("paused-1", "paused", t0-40*day, pass),
		ranAt("broken-1", "broken", t0-5*day, pass), ranAt("broken-2", "broken", t0-3*day, fail), adHoc,
	} {
		s.Archived[a.GetSummary().GetId()] = a
	}
	m := state.New()
	if err := m.Restore(s); err != nil {
		t.Fatal(err)
	}
	got := pages(t, func(token string) (*pb.ListDueResponse, error) {
		return report.ListDue(m.View(), time.Unix(0, t0), &pb.ListDueRequest{PageSize: 3, PageToken: token})
	}, func(r *pb.ListDueResponse) (told []string) {
		for _, d := range r.GetExperiments() {
			ago := "never"
			if d.GetPassedUnixNanos() != 0 {
				ago = fmt.Sprintf("%dd %s", (t0-d.GetPassedUnixNanos())/day, d.GetPassedRun())
			}
			told = append(told, fmt.Sprintf("%s %s due %gd %v %s; %s", d.GetExperiment(), ago, float64(d.GetDueNanos())/float64(day), d.GetOverdue(), d.GetLastRun().GetId(), d.GetWhy()))
		}
		return told
	})
	want := []string{
		"broken 5d broken-1 due 30d false broken-2; run broken-2: fail",
		"fresh never due 0.5d true ; it is on no schedule",
		"good 6d good-2 due 7d false good-2; ",
		"late 20d late-0 due 7d true ; slot 2026-01-15T10:00 of of-late was skipped: a calendar leaves it out",
		"loose never due 30d true ; it is on no schedule",
		"never never due 30d true ; no slot of it has come yet",
		"old 31d old-1 due 30d true old-1; it is on no schedule",
		"paused 40d paused-1 due 30d true paused-1; schedule of-paused is paused by kim: the office moves",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A file without `due` says 30 days, and what counts less than it says no more:
// the strictest schedule, else the newest kept file, else the last run.
func TestAFileWithoutDueLoosensNothing(t *testing.T) {
	kept := func(dues ...int64) *pb.KeptExperiment {
		k := &pb.KeptExperiment{Name: "x"}
		for i, due := range dues {
			k.Versions = append(k.Versions, &pb.ExperimentVersion{Digest: fmt.Sprint(i), PutUnixNanos: t0 - day, DueNanos: due})
		}
		return k
	}
	for name, c := range map[string]struct {
		schedules []int64
		kept      *pb.KeptExperiment
		ran, want int64
	}{
		"a kept file beside a run of an older one":      {kept: kept(0), ran: 90 * day, want: 30},
		"a newer version of a kept file":                {kept: kept(90*day, 0), want: 30},
		"a schedule beside a kept file":                 {schedules: []int64{0}, kept: kept(90 * day), ran: 90 * day, want: 30},
		"a schedule beside another one":                 {schedules: []int64{90 * day, 0}, want: 30},
		"a schedule that is stricter than another one":  {schedules: []int64{0, 7 * day}, kept: kept(day), want: 7},
		"a schedule that is looser than a kept file":    {schedules: []int64{90 * day}, kept: kept(7 * day), ran: day, want: 90},
		"a kept file that is looser than that of a run": {kept: kept(7*day, 90*day), ran: day, want: 90},
		"a run alone": {ran: 7 * day, want: 7},
		"a run alone, of a file that says nothing of it": {want: 30},
	} {
		run := ranAt("x-1", "x", t0-2*day, pb.Verdict_VERDICT_FAIL)
		run.Summary.DueNanos = c.ran
		s := &pb.State{Rules: state.Rules, LastUnixNanos: t0, Archived: map[string]*pb.Archived{"x-1": run}, Schedules: map[string]*pb.Scheduled{}}
		for i, due := range c.schedules {
			of := scheduledFor("x", due)
			of.Name = fmt.Sprint("of-x-", i)
			s.Schedules[of.GetName()] = of
		}
		if c.kept != nil {
			s.Experiments = map[string]*pb.KeptExperiment{"x": c.kept}
		}
		m := state.New()
		if err := m.Restore(s); err != nil {
			t.Fatal(err)
		}
		if all := report.Dues(m.View(), time.Unix(0, t0)); len(all) != 1 || all[0].GetDueNanos() != c.want*day {
			t.Errorf("%s: %v, want %d days", name, all, c.want)
		}
	}
}
