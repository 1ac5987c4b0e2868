package observe_test

import (
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	pb "squall/proto/squall/v1"
	"squall/server/observe"
	"squall/server/report"
)

func TestNamesFollowPrometheusConventions(t *testing.T) {
	problems, err := testutil.GatherAndLint(busy(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// holds tells of values that are not as wanted.
func (b *book) holds(want map[string]float64) {
	b.t.Helper()
	got := b.values()
	for key, n := range want {
		if v, told := got[key]; !told || v != n {
			b.t.Errorf("%s is %v (told: %t), want %v", key, v, told, n)
		}
	}
}

func TestHostsAreToldByZoneAndState(t *testing.T) {
	b := newBook(t)
	b.host("a1", "zone-a", "a")
	b.host("a2", "zone-a", "a")
	b.host("b1", "zone-b", "a")
	b.host("b1", "zone-b", "")
	b.apply(&pb.Command{Kind: &pb.Command_UpdateHosts{UpdateHosts: &pb.UpdateHosts{Hosts: []*pb.HostUpdate{
		{Name: "a2", Session: 1, Conflict: &pb.HostConflict{Instance: "two", Server: "b"}},
	}}}})
	b.holds(map[string]float64{
		`squall_agents{state="connected",zone="zone-a"}`: 1,
		`squall_agents{state="barred",zone="zone-a"}`:    1,
		`squall_agents{state="lost",zone="zone-a"}`:      0,
		`squall_agents{state="lost",zone="zone-b"}`:      1,
	})
}

func TestFaultsAreToldWhileTheyAreHeldAndWhenTheyAreLate(t *testing.T) {
	b := newBook(t)
	b.host("a1", "zone-a", "a")
	b.run("r", "dark", "a1")
	b.step("r", "a1", pb.StepState_STEP_STATE_HELD, 0)
	const held, late, unknown = `squall_fault_active{fault="dns.fail",zone="zone-a"}`, `squall_fault_late{fault="dns.fail",zone="zone-a"}`, `squall_fault_unknown{fault="dns.fail",zone="zone-a"}`
	b.now += 69e9
	b.holds(map[string]float64{held: 1, `squall_run_active{state="fired"}`: 1, `squall_run_active{state="holding"}`: 0})
	if _, told := b.values()[late]; told {
		t.Error("it is late before its deadline")
	}
	b.now += 2e9
	b.holds(map[string]float64{late: 1})
	b.host("a1", "zone-a", "")
	b.holds(map[string]float64{late: 1, unknown: 1, `squall_residue_hosts{zone="zone-a"}`: 1, `squall_residue_items{zone="zone-a"}`: 0})
	b.host("a1", "zone-a", "a")
	b.step("r", "a1", pb.StepState_STEP_STATE_REVERTED, pb.RevertCause_REVERT_CAUSE_DEADLINE, "a link", "a rule")
	b.holds(map[string]float64{`squall_residue_hosts{zone="zone-a"}`: 1, `squall_residue_items{zone="zone-a"}`: 2})
	if _, told := b.values()[late]; told {
		t.Error("it is late after its end")
	}
}

func TestRunsAreCountedOnceWhenTheyAreDone(t *testing.T) {
	b := newBook(t)
	b.host("a1", "zone-a", "a")
	b.run("before", "dark", "a1")
	b.step("before", "a1", pb.StepState_STEP_STATE_REVERTED, pb.RevertCause_REVERT_CAUSE_END)
	b.finish("before", pb.Verdict_VERDICT_PASS)
	b.values() // what was done before the first look is not counted
	b.run("r", "dark", "a1")
	b.step("r", "a1", pb.StepState_STEP_STATE_REVERTED, pb.RevertCause_REVERT_CAUSE_LEASE)
	b.finish("r", pb.Verdict_VERDICT_INCONCLUSIVE)
	want := map[string]float64{
		`squall_runs_total{experiment="dark",verdict="inconclusive"}`:                     1,
		`squall_fault_injections_total{fault="dns.fail",result="reverted",zone="zone-a"}`: 1,
		`squall_lease_expiries_total`:                                                     1,
		`squall_runs_total{experiment="dark",verdict="pass"}`:                             0, // it was done before
	}
	b.holds(want)
	b.holds(want)
}

func TestSlotsAreToldByWhatBecameOfThem(t *testing.T) {
	b := newBook(t)
	b.host("a1", "zone-a", "a")
	b.schedule("weekly", "dark")
	b.pass("weekly", "2027-01-16T10:00", pb.SlotOutcome_SLOT_OUTCOME_SKIPPED, 0)
	b.values()
	b.pass("weekly", "2027-01-19T10:00", pb.SlotOutcome_SLOT_OUTCOME_MISSED, 3)
	b.pass("weekly", "2027-01-20T10:00", pb.SlotOutcome_SLOT_OUTCOME_REFUSED, 0)
	b.slot("weekly", "2027-01-21T10:00", 2*time.Second)
	b.slot("weekly", "2027-01-22T10:00", 30*time.Second)
	b.slot("weekly", "2027-01-23T10:00", 0)
	b.apply(&pb.Command{Kind: &pb.Command_PauseSchedule{PauseSchedule: &pb.PauseSchedule{Name: "weekly", Paused: true}}})
	b.holds(map[string]float64{
		`squall_schedule_slots_total{outcome="missed"}`:  3,
		`squall_schedule_slots_total{outcome="refused"}`: 1,
		`squall_schedule_slots_total{outcome="skipped"}`: 0,
		`squall_schedule_slots_total{outcome="on_time"}`: 2,
		`squall_schedule_slots_total{outcome="late"}`:    1,
		`squall_schedules{state="paused"}`:               1,
		`squall_schedules{state="active"}`:               0,
	})
}

// slot begins the run of a slot, so late.
func (b *book) slot(schedule, civil string, late time.Duration) {
	b.t.Helper()
	start, err := time.Parse("2006-01-02T15:04", civil)
	if err != nil {
		b.t.Fatal(err)
	}
	b.now = start.Add(late).UnixNano()
	admit := admission("weekly-"+late.String(), "dark", "a1")
	admit.Slot = &pb.SlotRef{Schedule: schedule, Slot: civil}
	b.apply(&pb.Command{Kind: &pb.Command_AdmitRun{AdmitRun: admit}})
	b.step(admit.GetRun(), "a1", pb.StepState_STEP_STATE_REFUSED, 0)
	b.finish(admit.GetRun(), pb.Verdict_VERDICT_NOT_STARTED)
}

// TestRunsOfExperimentsThatNobodyKnewAreAnIncrease: one may begin and end between two looks.
func TestRunsOfExperimentsThatNobodyKnewAreAnIncrease(t *testing.T) {
	b := newBook(t)
	b.host("a1", "zone-a", "a")
	b.values()
	for i, v := range []pb.Verdict{pb.Verdict_VERDICT_FAIL, pb.Verdict_VERDICT_FAIL, pb.Verdict_VERDICT_PASS} {
		id := fmt.Sprint("dark-", i)
		b.run(id, "dark", "a1")
		b.step(id, "a1", pb.StepState_STEP_STATE_REVERTED, pb.RevertCause_REVERT_CAUSE_END)
		b.finish(id, v)
	}
	const failed, passed = `squall_runs_total{experiment="dark",verdict="fail"}`, `squall_runs_total{experiment="dark",verdict="pass"}`
	b.holds(map[string]float64{failed: 0, passed: 0})
	for range 2 {
		b.holds(map[string]float64{failed: 2, passed: 1})
	}
}

// TestSlotThatComesToSomethingElseIsCountedAgain: it had begun, and its run was
// skipped at the gate, or another try was refused.
func TestSlotThatComesToSomethingElseIsCountedAgain(t *testing.T) {
	b := newBook(t)
	b.host("a1", "zone-a", "a")
	b.apply(&pb.Command{Kind: &pb.Command_PutSchedule{PutSchedule: &pb.PutSchedule{
		Name: "weekly", After: "2027-01-01T00:00",
		Experiment: &pb.Experiment{Version: 1, Name: "dark", Schedule: &pb.Schedule{Cron: "0 10 * * *", Timezone: "UTC", Retry: 1}},
	}}})
	b.values()
	ends := func(run, civil, skipped string) {
		t.Helper()
		start, _ := time.Parse("2006-01-02T15:04", civil)
		b.now = start.UnixNano()
		admit := admission(run, "dark", "a1")
		admit.Slot = &pb.SlotRef{Schedule: "weekly", Slot: civil, UntilUnixNanos: math.MaxInt64}
		b.apply(&pb.Command{Kind: &pb.Command_AdmitRun{AdmitRun: admit}})
		b.values() // a look finds it begun
		b.apply(
			&pb.Command{Kind: &pb.Command_EndRun{EndRun: &pb.EndRun{Run: run}}},
			&pb.Command{Kind: &pb.Command_Finish{Finish: &pb.Finish{Run: run, Verdict: pb.Verdict_VERDICT_NOT_STARTED, Skipped: skipped}}},
		)
	}
	const onTime, skipped, refused = `squall_schedule_slots_total{outcome="on_time"}`, `squall_schedule_slots_total{outcome="skipped"}`, `squall_schedule_slots_total{outcome="refused"}`
	ends("one", "2027-01-19T10:00", "a rule")
	b.holds(map[string]float64{onTime: 1, skipped: 1, refused: 0})
	ends("two", "2027-01-20T10:00", "")
	b.holds(map[string]float64{onTime: 2, skipped: 1, refused: 0})
	b.apply(&pb.Command{Kind: &pb.Command_PassSlot{PassSlot: &pb.PassSlot{
		Slot: &pb.SlotRef{Schedule: "weekly", Slot: "2027-01-20T10:00", Try: 2}, Outcome: pb.SlotOutcome_SLOT_OUTCOME_REFUSED,
	}}})
	for range 2 {
		b.holds(map[string]float64{onTime: 2, skipped: 1, refused: 1})
	}
}

// TestBuildIsWhatTheServerSays it is.
func TestBuildIsWhatTheServerSays(t *testing.T) {
	b := newBook(t)
	b.holds(map[string]float64{fmt.Sprintf("squall_build_info{goversion=%q,version=\"devel\"}", runtime.Version()): 1})
	b.sight.Version = "1.2.3"
	b.holds(map[string]float64{fmt.Sprintf("squall_build_info{goversion=%q,version=\"1.2.3\"}", runtime.Version()): 1})
}

func TestArchiveTellsWhatItHasAndLacks(t *testing.T) {
	b := newBook(t)
	b.sight.Archive = observe.Archive{Runs: 7, Bytes: 4096, Lacking: 2, Foreign: 1}
	b.holds(map[string]float64{
		"squall_archive_runs": 7, "squall_archive_bytes": 4096, "squall_archive_lacking_runs": 2, "squall_archive_foreign_files": 1,
	})
}

func TestExperimentsTellWhenTheyLastPassed(t *testing.T) {
	b := newBook(t)
	b.host("a1", "zone-a", "a")
	b.schedule("weekly", "never-passed")
	for _, v := range []pb.Verdict{pb.Verdict_VERDICT_PASS, pb.Verdict_VERDICT_FAIL} {
		b.run("dark-"+v.String(), "dark", "a1")
		b.step("dark-"+v.String(), "a1", pb.StepState_STEP_STATE_REVERTED, pb.RevertCause_REVERT_CAUSE_END)
		b.finish("dark-"+v.String(), v)
		b.now += 3600e9
	}
	b.holds(map[string]float64{
		`squall_experiment_since_pass_seconds{experiment="dark"}`:         7200,
		`squall_experiment_since_pass_seconds{experiment="never-passed"}`: math.Inf(1),
		`squall_experiment_due_seconds{experiment="never-passed"}`:        30 * 24 * 3600,
	})
}

// TestOverdueIsToldAsTheCommandTellsIt: what never passed is overdue when it has
// been known for its due, and what is kept alone is told, too.
func TestOverdueIsToldAsTheCommandTellsIt(t *testing.T) {
	const day = int64(24 * time.Hour)
	b := newBook(t)
	b.host("a1", "zone-a", "a")
	b.schedule("weekly", "scheduled")
	b.apply(
		&pb.Command{Kind: &pb.Command_PutExperiment{PutExperiment: &pb.PutExperiment{Name: "kept", Source: []byte("#"), DueNanos: 7 * day}}},
		&pb.Command{Kind: &pb.Command_PutExperiment{PutExperiment: &pb.PutExperiment{Name: "yearly", Source: []byte("#"), DueNanos: 365 * day}}},
	)
	b.run("dark-1", "dark", "a1")
	b.step("dark-1", "a1", pb.StepState_STEP_STATE_REVERTED, pb.RevertCause_REVERT_CAUSE_END)
	b.finish("dark-1", pb.Verdict_VERDICT_PASS)
	for _, c := range []struct {
		after int64
		late  string
	}{{day, ""}, {8 * day, "kept"}, {31 * day, "dark kept scheduled"}} {
		b.now = t0 + c.after
		want := make(map[string]float64)
		for _, d := range report.Dues(b.m.View(), time.Unix(0, b.now)) {
			late := strings.Contains(c.late, d.GetExperiment())
			if d.GetOverdue() != late {
				t.Errorf("the command tells %v", d)
			}
			want[fmt.Sprintf("squall_experiment_overdue{experiment=%q}", d.GetExperiment())] = map[bool]float64{true: 1}[late]
			want[fmt.Sprintf("squall_experiment_due_seconds{experiment=%q}", d.GetExperiment())] = time.Duration(d.GetDueNanos()).Seconds()
		}
		if len(want) != 2*4 {
			t.Errorf("the command tells %d experiments", len(want)/2)
		}
		b.holds(want)
	}
}

// TestTenThousandRunsMakeNoMoreSeries: neither do the hosts, zones and
// experiments past what is told one by one.
func TestTenThousandRunsMakeNoMoreSeries(t *testing.T) {
	b := newBook(t)
	b.host("a1", "zone-a", "a")
	play := func(i int) {
		id := fmt.Sprintf("dark-%d", i)
		b.run(id, "dark", "a1")
		b.step(id, "a1", pb.StepState_STEP_STATE_REVERTED, pb.RevertCause_REVERT_CAUSE_END)
		b.finish(id, pb.Verdict_VERDICT_PASS)
	}
	b.values()
	play(0)
	before := len(b.values())
	for i := range 10_000 {
		play(i + 1)
		if i%50 == 49 {
			b.values()
		}
	}
	if after := len(b.values()); after != before {
		t.Errorf("%d series after 10,000 runs, %d before", after, before)
	}
	b.holds(map[string]float64{`squall_runs_total{experiment="dark",verdict="pass"}`: 10_001})
}

func TestZonesAndExperimentsAreBounded(t *testing.T) {
	b := newBook(t)
	b.values()
	for i := range 1100 {
		name := fmt.Sprintf("%04d", i)
		b.host("h"+name, "zone-"+name, "a")
		b.run(name, "drill-"+name, "h"+name)
		b.step(name, "h"+name, pb.StepState_STEP_STATE_REVERTED, pb.RevertCause_REVERT_CAUSE_END)
		b.finish(name, pb.Verdict_VERDICT_PASS)
		if i%50 == 49 {
			b.values()
		}
	}
	of := make(map[string]int)
	for key := range b.values() {
		name, _, _ := strings.Cut(key, "{")
		of[name]++
	}
	for name, most := range map[string]int{
		"squall_agents": 3 * 101, "squall_residue_hosts": 101, "squall_runs_total": 8 * 1001,
		"squall_fault_injections_total": 101, "squall_experiment_since_pass_seconds": 1000, "squall_experiment_due_seconds": 1000, "squall_experiment_overdue": 1000,
	} {
		if of[name] > most || of[name] == 0 {
			t.Errorf("%s has %d series, at most %d are told", name, of[name], most)
		}
	}
	b.holds(map[string]float64{`squall_agents{state="connected",zone="other"}`: 1000})
}

func TestHowFarFromTheirPlanFaultsBeganAndEndedIsTold(t *testing.T) {
	b := newBook(t)
	b.host("a1", "zone-a", "a")
	b.values()
	b.run("r", "dark", "a1")
	b.marks("r", "a1", 3*time.Millisecond, 7*time.Millisecond)
	b.finish("r", pb.Verdict_VERDICT_PASS)
	b.holds(map[string]float64{
		`squall_fault_start_skew_seconds{fault="dns.fail"}`: 1, `squall_fault_revert_late_seconds{fault="dns.fail"}`: 1,
		`squall_lease_expiries_total`: 1,
	})
	families, err := b.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "squall_fault_revert_late_seconds" && f.GetMetric()[0].GetHistogram().GetSampleSum() != 0.007 {
			t.Errorf("it ended %v s late, want 0.007", f.GetMetric()[0].GetHistogram().GetSampleSum())
		}
	}
}

// TestAPassIsKnownWhenItsRunIsNoLongerKept: the schedule remembers it.
func TestAPassIsKnownWhenItsRunIsNoLongerKept(t *testing.T) {
	b := newBook(t)
	b.host("a1", "zone-a", "a")
	b.schedule("weekly", "drill")
	b.slotEnds("weekly", "2027-01-20T10:00", pb.Verdict_VERDICT_PASS)
	for i := range 101 {
		id := fmt.Sprintf("other-%d", i)
		b.run(id, "other", "a1")
		b.step(id, "a1", pb.StepState_STEP_STATE_REVERTED, pb.RevertCause_REVERT_CAUSE_END)
		b.finish(id, pb.Verdict_VERDICT_FAIL)
	}
	b.now += 3600e9
	b.holds(map[string]float64{`squall_experiment_since_pass_seconds{experiment="drill"}`: 3600})
}

// TestAPassIsKnownWhenTheStateHasLetItGo: the line of an archived run remembers it.
func TestAPassIsKnownWhenTheStateHasLetItGo(t *testing.T) {
	b := newBook(t)
	b.host("a1", "zone-a", "a")
	ends := func(id, experiment string, v pb.Verdict) {
		b.run(id, experiment, "a1")
		b.step(id, "a1", pb.StepState_STEP_STATE_REVERTED, pb.RevertCause_REVERT_CAUSE_END)
		b.finish(id, v)
	}
	ends("drill-1", "drill", pb.Verdict_VERDICT_PASS)
	line := report.Summary(b.m.View(), b.m.View().Run("drill-1"))
	b.apply(&pb.Command{Kind: &pb.Command_SealRuns{SealRuns: &pb.SealRuns{Runs: []*pb.RunSummary{line}}}})
	for _, server := range []string{"a", "b", "c"} {
		b.apply(&pb.Command{Kind: &pb.Command_RecordArchived{RecordArchived: &pb.RecordArchived{
			Server: server, Servers: 3, Runs: []*pb.Kept{{Run: "drill-1", Digest: []byte("d")}},
		}}})
	}
	for i := range 101 {
		ends(fmt.Sprint("other-", i), "other", pb.Verdict_VERDICT_FAIL)
	}
	if b.m.View().Run("drill-1") != nil {
		t.Fatal("the state has not let go of it")
	}
	b.now += 3600e9
	b.holds(map[string]float64{`squall_experiment_since_pass_seconds{experiment="drill"}`: 3600})
}

// slotEnds plays a slot's run to a verdict.
func (b *book) slotEnds(schedule, civil string, v pb.Verdict) {
	b.t.Helper()
	start, err := time.Parse("2006-01-02T15:04", civil)
	if err != nil {
		b.t.Fatal(err)
	}
	b.now = start.UnixNano()
	admit := admission("drill-1", "drill", "a1")
	admit.Slot = &pb.SlotRef{Schedule: schedule, Slot: civil}
	b.apply(
		&pb.Command{Kind: &pb.Command_AdmitRun{AdmitRun: admit}},
		&pb.Command{Kind: &pb.Command_Fire{Fire: &pb.Fire{Run: "drill-1", T0UnixNanos: b.now}}},
	)
	b.step("drill-1", "a1", pb.StepState_STEP_STATE_REVERTED, pb.RevertCause_REVERT_CAUSE_END)
	b.finish("drill-1", v)
}
