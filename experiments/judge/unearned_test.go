package judge_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"squall/experiments"
	"squall/experiments/judge"
	"squall/proto/hist"
	pb "squall/proto/squall/v1"
)

// powered makes the step of a good run one that takes the power of whole hosts.
func powered(run *pb.Run) *pb.PlannedStep {
	step := run.Plan.Steps[0]
	step.Fault = &pb.Fault{Kind: &pb.Fault_PowerOff{PowerOff: &pb.PowerOff{}}}
	for _, s := range run.Steps[step.Id].Hosts {
		s.ReadyAgain = true
	}
	return step
}

func TestHostThatDoesNotSayThatItIsReadyIsNoPass(t *testing.T) {
	silent := func(back *pb.WayBack) func(*pb.Run, *measured) {
		return func(run *pb.Run, _ *measured) {
			powered(run).Fault.GetPowerOff().Back = back
			run.Steps["dark.power.off"].Hosts["a2"].ReadyAgain = false
		}
	}
	verdict, list := judged(t, "", func(run *pb.Run, _ *measured) { powered(run) })
	wants(t, verdict, pb.Verdict_VERDICT_PASS, list, "dark.power.off HOLDS")
	verdict, list = judged(t, "", silent(nil))
	wants(t, verdict, pb.Verdict_VERDICT_INCONCLUSIVE, list, "RECOVERY dark.power.off UNKNOWN: its workloads are not known to be ready again")
	verdict, list = judged(t, "", silent(&pb.WayBack{Start: pb.BackStart_BACK_START_NONE}))
	wants(t, verdict, pb.Verdict_VERDICT_PASS, list, "dark.power.off HOLDS")
	verdict, list = judged(t, "", func(run *pb.Run, m *measured) {
		silent(nil)(run, m)
		run.Steps["dark.power.off"].Hosts["a1"].RecoveryFailures = []*pb.RecoveryFailure{{Workload: "web", Why: "refused"}}
	})
	wants(t, verdict, pb.Verdict_VERDICT_FAIL, list, "web did not come back: refused")
}

func TestStepThatBeganEarlyIsNotHeld(t *testing.T) {
	verdict, list := judged(t, "", func(run *pb.Run, _ *measured) {
		run.Steps["dark.power.off"].Hosts["a2"].Journal[0].ActualUnixNanos = t0 + 3e9
	})
	wants(t, verdict, pb.Verdict_VERDICT_INCONCLUSIVE, list, "dark.power.off BROKEN: began 7s early")
}

func TestVerifyRestsOnReadingsOfAfterTheFault(t *testing.T) {
	const verify = "revert: { verify: [slow.success == 1, machines.alive == machines.total, checkout.success == 1] }\n"
	_, j := compiled(t, verify)
	run, m := good()
	run.EnteredUnixNanos[uint32(pb.RunState_RUN_STATE_RECOVERING)] = t0 + 30e9 + 1e8
	m.put("target/machines", "zone-a", 1030, 2, 2, 0, 1) // not wholly after it
	ok, findings := j.Verify(run, m, time.Unix(1031, 0))
	if list := told(findings); ok || strings.Count(list, "UNKNOWN") != 3 {
		t.Errorf("verified on what was read under the fault:\n%s", list)
	}
	if ok, findings = j.Verify(run, m, time.Unix(1032, 0)); ok || strings.Count(told(findings), "UNKNOWN") != 1 {
		t.Errorf("a slow probe has not read yet, the others have:\n%s", told(findings))
	}
	if ok, findings = j.Verify(run, m, time.Unix(1041, 0)); !ok {
		t.Errorf("all have read:\n%s", told(findings))
	}
}

func TestWhatHeldIsNotToldAsNever(t *testing.T) {
	_, list := judged(t, "expect: [{ name: back, check: checkout.success >= 0.85, over: 10s, within: 5s, after: dark }]\n", func(_ *pb.Run, m *measured) {
		m.put("checkout", "zone-b", 1029, 0, 1, 0)
	})
	if !strings.Contains(list, "back HOLDS: after 1s, limit 5s") {
		t.Error(list)
	}
}

func TestHostThatWaitsForItsTurnToBootIsDarkByPlan(t *testing.T) {
	const served = "expect: [{ name: served, check: checkout.success >= 0.99, during: dark }]\n"
	waiting := func(run *pb.Run, m *measured, marks ...*pb.JournalMark) {
		run.Plan.Probes[0].Hosts = append(run.Plan.Probes[0].Hosts, "a1")
		for s := int64(980); s < 1010; s++ {
			m.put("checkout", "zone-a", s, 1, 1, 2)
		}
		step := powered(run)
		step.BootLimitNanos, step.BootTokens = 2e9, 1
		for _, slot := range step.Slots {
			slot.EndNanos, slot.DeadlineNanos = 15e9, 40e9
			s := run.Steps[step.Id].Hosts[slot.Host]
			s.State, s.ReadyAgain = marks[len(marks)-1].State, false
			s.Journal = append(s.Journal, marks...)
		}
	}
	returning := &pb.JournalMark{State: pb.StepState_STEP_STATE_RETURNING, ActualUnixNanos: t0 + 15e9}
	reverted := &pb.JournalMark{State: pb.StepState_STEP_STATE_REVERTED, ActualUnixNanos: t0 + 26e9}
	_, list := judged(t, served, func(run *pb.Run, m *measured) { waiting(run, m, returning) })
	if !strings.Contains(list, "served HOLDS") {
		t.Errorf("it need not have spoken before its power came back:\n%s", list)
	}
	_, list = judged(t, served, func(run *pb.Run, m *measured) { waiting(run, m, returning, reverted) })
	if !strings.Contains(list, "served HOLDS") {
		t.Errorf("its power came back 11 s after its end:\n%s", list)
	}
	reverted.ActualUnixNanos = t0 + 16e9
	_, list = judged(t, served, func(run *pb.Run, m *measured) { waiting(run, m, returning, reverted) })
	if !strings.Contains(list, "served UNKNOWN") {
		t.Errorf("its boot limit was over long before:\n%s", list)
	}
}

func TestSilenceIsNoGoodAttempt(t *testing.T) {
	failing := func(from, to int64, m *measured) {
		for s := from; s < to; s++ {
			for bit, z := range []string{"zone-b", "zone-c"} {
				m.put("checkout", z, s, 0, 1, bit)
				w := m.Window("checkout", z, s)
				w.FirstFailureUnixNanos, w.LastFailureUnixNanos = s*1e9, s*1e9
			}
		}
	}
	for _, c := range []struct {
		silentTo int64
		want     string
	}{
		{1015, "longest gap 5s from T+14.8s, first good at T+19.8s"},
		{1025, "longest gap 5s from T+14.8s, first good at T+24.8s"},
		{1060, "longest gap 5s from T+14.8s, not good again"},
	} {
		_, list := judged(t, served, func(_ *pb.Run, m *measured) {
			failing(1015, 1020, m)
			m.drop("checkout", "zone-b", 1020, c.silentTo)
			m.drop("checkout", "zone-c", 1020, c.silentTo)
		})
		if !strings.Contains(list, c.want) {
			t.Errorf("silent to %d, want %q:\n%s", c.silentTo, c.want, list)
		}
	}
}

func TestStepThatActedLateIsNotHeld(t *testing.T) {
	for _, name := range []string{"last_kill_nanos", "last_freeze_nanos"} {
		verdict, list := judged(t, "", func(run *pb.Run, _ *measured) {
			s := run.Steps["dark.power.off"].Hosts["a2"]
			s.Evidence = append(s.Evidence, &pb.Evidence{Name: name, Value: 5e9, Fact: true})
		})
		wants(t, verdict, pb.Verdict_VERDICT_INCONCLUSIVE, list, "dark.power.off BROKEN: began 5s late")
	}
}

// gives has the hosts in both zones give a number in each second.
func gives(b, c float64) func(*pb.Run, *measured) {
	return func(_ *pb.Run, m *measured) {
		for _, w := range m.windows {
			if w.GetProbe() != "checkout" {
				continue
			}
			w.HasValue, w.Lowest, w.Highest = true, b, b
			if w.GetZone() == "zone-c" {
				w.Lowest, w.Highest = c, c
				w.NewestUnixNanos++ // it answers last
			}
		}
	}
}

// TestOneHostsValueIsNotAnothers: what is said of a value holds for every host
// that gives one, whichever gave it last; for what ends a run one is enough.
func TestOneHostsValueIsNotAnothers(t *testing.T) {
	const below = "expect: [{ name: it, check: checkout.value < 50, during: dark }]\n"
	const is = "expect: [{ name: it, check: checkout.value == 2, during: dark }]\n"
	for _, c := range []struct {
		check string
		b, c  float64
		want  pb.Verdict
		says  string
	}{
		{below, 7, 8, pb.Verdict_VERDICT_PASS, "it HOLDS: checkout.value peak 8, limit < 50"},
		{below, 700, 8, pb.Verdict_VERDICT_FAIL, "it BROKEN: checkout.value peak 700, limit < 50"},
		{below, 7, 800, pb.Verdict_VERDICT_FAIL, "it BROKEN: checkout.value peak 800, limit < 50"},
		{is, 2, 2, pb.Verdict_VERDICT_PASS, "it HOLDS"},
		{is, 0, 2, pb.Verdict_VERDICT_FAIL, "it BROKEN: checkout.value worst 0, limit == 2"},
		{below, math.NaN(), 2, pb.Verdict_VERDICT_INCONCLUSIVE, "it UNKNOWN"},
	} {
		verdict, list := judged(t, c.check, gives(c.b, c.c))
		wants(t, verdict, c.want, list, c.says)
	}
	_, j := compiled(t, "abort: [{ name: hurt, when: checkout.value > 50 }]\n")
	for _, values := range [][2]float64{{70, 7}, {7, 70}} {
		run, m := good()
		gives(values[0], values[1])(run, m)
		if got := j.Abort(run, m, time.Unix(1012, 0)); got.GetName() != "hurt" || !strings.Contains(got.GetText(), "70") {
			t.Errorf("values %v: the rule is %v", values, got)
		}
	}
}

// TestWindowKeepsTheExtremesOfItsHosts, whichever of them came last.
func TestWindowKeepsTheExtremesOfItsHosts(t *testing.T) {
	one := &pb.Window{Hosts: []byte{1}, HasValue: true, Lowest: 700, Highest: 700, NewestUnixNanos: 1, Latency: &pb.Histogram{}}
	two := &pb.Window{Hosts: []byte{2}, HasValue: true, Lowest: 7, Highest: 7, NewestUnixNanos: 2, Latency: &pb.Histogram{}}
	for _, w := range []*pb.Window{hist.Join(one, two), hist.Join(two, one)} {
		if w.GetLowest() != 7 || w.GetHighest() != 700 {
			t.Errorf("joined: %v", w)
		}
	}
	without := &pb.Window{Hosts: []byte{4}, Latency: &pb.Histogram{}}
	for _, w := range []*pb.Window{hist.Join(one, without), hist.Join(without, one)} {
		if w.GetLowest() != 700 || w.GetHighest() != 700 {
			t.Errorf("joined with a host that gives none: %v", w)
		}
	}
}

// compares has both probes' hosts give numbers, the lower ones first, until the
// fault and while it lasts.
func compares(checkout, slow [2][2]float64) func(*pb.Run, *measured) {
	return func(_ *pb.Run, m *measured) {
		for _, w := range m.windows {
			now := 0
			if w.GetSecond() >= 1010 {
				now = 1
			}
			values := map[string][2]float64{"checkout": checkout[now], "slow": slow[now]}
			if v, ok := values[w.GetProbe()]; ok {
				w.HasValue, w.Lowest, w.Highest = true, v[0], v[1]
			}
		}
	}
}

// TestValuesOfTwoProbesAreOfHostsThatNobodyKnows: what compares two probes passes
// where it holds for every pair of their hosts, and fails where it holds for none
// that may be. A proof that may have been true before its fault proves nothing.
func TestValuesOfTwoProbesAreOfHostsThatNobodyKnows(t *testing.T) {
	const (
		more  = "expect: [{ name: it, check: checkout.value > slow.value, during: dark }]\n"
		proof = "proof: [{ name: it, check: checkout.value > slow.value, during: dark }]\n"
	)
	low := [2]float64{0, 5}
	for _, c := range []struct {
		check          string
		checkout, slow [2][2]float64
		want           pb.Verdict
		says           string
	}{
		{more, [2][2]float64{{6, 10}, {6, 10}}, [2][2]float64{low, low}, pb.Verdict_VERDICT_PASS, "it HOLDS"},
		{more, [2][2]float64{{1, 4}, {1, 4}}, [2][2]float64{low, low}, pb.Verdict_VERDICT_FAIL, "it BROKEN: checkout.value worst 1, limit > slow.value 5"},
		{more, [2][2]float64{{1, 10}, {1, 10}}, [2][2]float64{low, low}, pb.Verdict_VERDICT_INCONCLUSIVE, "it UNKNOWN"},
		{proof, [2][2]float64{{0, 1}, {6, 10}}, [2][2]float64{{2, 3}, low}, pb.Verdict_VERDICT_PASS, "it HOLDS"},
		{proof, [2][2]float64{{10, 100}, {60, 100}}, [2][2]float64{{5, 50}, {5, 50}}, pb.Verdict_VERDICT_INCONCLUSIVE, "it UNKNOWN"},
	} {
		verdict, list := judged(t, c.check, compares(c.checkout, c.slow))
		wants(t, verdict, c.want, list, c.says)
	}
}

// TestExpressionReadsValuesOfFewProbes: each one more doubles what is evaluated.
func TestExpressionReadsValuesOfFewProbes(t *testing.T) {
	var probes, terms []string
	for i := range 5 {
		probes = append(probes, fmt.Sprintf("  p%d: { every: 1s, timeout: 1s, tcp: \"a:1\" }\n", i))
		terms = append(terms, fmt.Sprintf("p%d.value > 1", i))
	}
	text := strings.Replace(head, "probes:\n", "probes:\n"+strings.Join(probes, ""), 1)
	for n, want := range map[int]string{4: "", 5: ".value of 5 probes, and may of 4"} {
		e, src, problems := experiments.Decode("trial.yaml", []byte(text+"expect: [{ name: it, check: "+strings.Join(terms[:n], " && ")+", during: dark }]\n"))
		if problems == nil {
			_, problems = judge.Compile(e, src)
		}
		if got := fmt.Sprint(problems); want == "" && problems != nil || !strings.Contains(got, want) {
			t.Errorf("%d probes: %s", n, got)
		}
	}
}
