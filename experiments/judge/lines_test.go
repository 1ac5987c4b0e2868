package judge_test

import (
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	pb "squall/proto/squall/v1"
)

// judged is the verdict over a good run that was changed, with its findings as text.
func judged(t *testing.T, sections string, change func(*pb.Run, *measured)) (pb.Verdict, string) {
	t.Helper()
	_, j := compiled(t, sections)
	run, m := good()
	change(run, m)
	verdict, findings := j.Verdict(run, m, time.Unix(1050, 0))
	return verdict, told(findings)
}

func wants(t *testing.T, verdict, want pb.Verdict, list, finding string) {
	t.Helper()
	if verdict != want || !strings.Contains(list, finding) {
		t.Errorf("verdict %v, want %v with %q:\n%s", verdict, want, finding, list)
	}
}

const served = "expect: [{ name: served, check: checkout.success >= 0.99, during: [calm, dark] }]\n"

// A second host of zone-b: both are in the windows, until one is not.
func twoInZoneB(run *pb.Run, m *measured, both func(second int64) bool) {
	p := run.Plan.Probes[0]
	p.Hosts = append(p.Hosts, "b2")
	run.Plan.Hosts = append(run.Plan.Hosts, &pb.PlannedHost{Name: "b2", Zone: "zone-b"})
	for s := int64(980); s < 1060; s++ {
		if both(s) {
			m.put("checkout", "zone-b", s, 2, 2, 0, 2)
		}
	}
}

func TestOneSilentHostIsMissingData(t *testing.T) {
	verdict, list := judged(t, served, func(run *pb.Run, m *measured) { twoInZoneB(run, m, func(int64) bool { return true }) })
	wants(t, verdict, pb.Verdict_VERDICT_PASS, list, "served HOLDS")
	verdict, list = judged(t, served, func(run *pb.Run, m *measured) { twoInZoneB(run, m, func(int64) bool { return false }) })
	wants(t, verdict, pb.Verdict_VERDICT_INCONCLUSIVE, list, "served UNKNOWN")
	verdict, list = judged(t, served, func(run *pb.Run, m *measured) { twoInZoneB(run, m, func(s int64) bool { return s < 1020 }) })
	wants(t, verdict, pb.Verdict_VERDICT_INCONCLUSIVE, list, "served UNKNOWN")
}

func TestPhaseWithoutAReadingIsMissing(t *testing.T) {
	const slow = "expect: [{ name: served, check: checkout.success >= 0.99, during: dark }]\n"
	verdict, list := judged(t, slow, func(run *pb.Run, m *measured) {
		run.Plan.Probes[0].Probe.Timeout = &pb.Span{Nanos: 30e9} // its reading from before the phase is fresh all through it
		m.drop("checkout", "zone-b", 1010, 1060)
	})
	wants(t, verdict, pb.Verdict_VERDICT_INCONCLUSIVE, list, "served UNKNOWN")
}

func TestDarkByPlanIsNotExpectedToSpeak(t *testing.T) {
	from := func(run *pb.Run, m *measured) {
		p := run.Plan.Probes[0]
		p.Hosts = append(p.Hosts, "a1")
		for s := int64(980); s < 1060; s++ {
			if s < 1010 || s > 1032 {
				m.put("checkout", "zone-a", s, 1, 1, 2)
			}
		}
		powered(run)
	}
	verdict, list := judged(t, served, from)
	wants(t, verdict, pb.Verdict_VERDICT_PASS, list, "served HOLDS")
	verdict, list = judged(t, served, func(run *pb.Run, m *measured) {
		from(run, m)
		run.Plan.Steps[0].Workload = []string{"web"} // the host itself lives
	})
	wants(t, verdict, pb.Verdict_VERDICT_INCONCLUSIVE, list, "served UNKNOWN")
	verdict, list = judged(t, served, func(run *pb.Run, m *measured) {
		from(run, m)
		run.Plan.Probes[0].Hosts = []string{"a1"} // nobody is left to speak
		for s := int64(980); s < 1060; s++ {
			delete(m.windows, "checkout zone-a 0")
			if s < 1010 {
				m.put("checkout", "zone-a", s, 1, 1, 0)
			} else {
				m.drop("checkout", "zone-a", s, s+1)
			}
		}
	})
	wants(t, verdict, pb.Verdict_VERDICT_INCONCLUSIVE, list, "served UNKNOWN")
}

func TestStepCountsAsHeldNearItsPlan(t *testing.T) {
	held := func(late, early int64) func(*pb.Run, *measured) {
		return func(run *pb.Run, _ *measured) {
			run.Steps["dark.power.off"].Hosts["a2"].Journal = []*pb.JournalMark{
				{State: pb.StepState_STEP_STATE_HELD, ActualUnixNanos: t0 + 10e9 + late},
				{State: pb.StepState_STEP_STATE_REVERTED, ActualUnixNanos: t0 + 30e9 - early},
			}
		}
	}
	for _, c := range []struct {
		name        string
		late, early int64
		want        pb.Verdict
		finding     string
	}{
		{"on time", 1e6, 0, pb.Verdict_VERDICT_PASS, "dark.power.off HOLDS"},
		{"2 % late", 400e6, 0, pb.Verdict_VERDICT_PASS, "dark.power.off HOLDS"},
		{"18 s late", 18e9, 0, pb.Verdict_VERDICT_INCONCLUSIVE, "dark.power.off BROKEN: began 18s late"},
		{"2 % early", 0, 400e6, pb.Verdict_VERDICT_PASS, "dark.power.off HOLDS"},
		{"5 s early", 0, 5e9, pb.Verdict_VERDICT_INCONCLUSIVE, "dark.power.off BROKEN: reverted 5s before its end"},
	} {
		t.Run(c.name, func(t *testing.T) {
			verdict, list := judged(t, "", held(c.late, c.early))
			wants(t, verdict, c.want, list, c.finding)
		})
	}
	verdict, list := judged(t, "", func(run *pb.Run, _ *measured) { run.Steps["dark.power.off"].Hosts["a2"].Journal = nil })
	wants(t, verdict, pb.Verdict_VERDICT_INCONCLUSIVE, list, "dark.power.off UNKNOWN: the host does not say when it began")
}

func TestEarlyIsNeitherTrueNorFalse(t *testing.T) {
	_, j := compiled(t, "abort: [{ name: hurt, when: slow.success < 0.5 }]\n")
	run, m := good()
	run.EnteredUnixNanos = nil // probes began with the run: `slow` may be early for 25 s
	m.drop("slow", "", 900, 1060)
	for now, want := range map[int64]string{1002: "", 1025: "", 1027: "hurt", 1038: "hurt"} {
		if got := j.Abort(run, m, time.Unix(now, 0)).GetName(); got != want {
			t.Errorf("at %d the rule is %q, want %q", now, got, want)
		}
	}
}

func TestWhatIsNoNumberIsMissing(t *testing.T) {
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		for _, check := range []string{"!(checkout.value > 50)", "checkout.value != 3", "checkout.value * 0 == 0 || checkout.value > 50"} {
			verdict, list := judged(t, "expect: [{ name: it, check: \""+check+"\", during: dark }]\n", func(_ *pb.Run, m *measured) {
				for _, w := range m.windows {
					w.HasValue, w.Lowest, w.Highest = true, v, v
				}
			})
			wants(t, verdict, pb.Verdict_VERDICT_INCONCLUSIVE, list, "it UNKNOWN")
		}
	}
	verdict, list := judged(t, "expect: [{ name: it, check: \"!(checkout.ok / (machines.alive - machines.alive) < 3)\", during: dark }]\n", func(*pb.Run, *measured) {})
	wants(t, verdict, pb.Verdict_VERDICT_INCONCLUSIVE, list, "it UNKNOWN")
}

func TestOneWindowCannotOutweighItsZone(t *testing.T) {
	verdict, list := judged(t, served, func(_ *pb.Run, m *measured) {
		for s := int64(1015); s < 1025; s++ {
			m.put("checkout", "zone-b", s, 0, 1, 0)
			w := m.windows["checkout zone-c "+itoa(s)]
			w.Count, w.Success, w.Latency = 1e9, 1e9, nil
		}
	})
	wants(t, verdict, pb.Verdict_VERDICT_FAIL, list, "served BROKEN")
	verdict, list = judged(t, served, func(_ *pb.Run, m *measured) {
		for s := int64(1001); s < 1031; s++ {
			m.windows["checkout zone-c "+itoa(s)].Count = 1e9
			m.windows["checkout zone-c "+itoa(s)].Success = 1e9
		}
	})
	wants(t, verdict, pb.Verdict_VERDICT_INCONCLUSIVE, list, "served UNKNOWN")
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

func TestProofMustTurn(t *testing.T) {
	dead := func(from, to int64) func(*pb.Run, *measured) {
		return func(_ *pb.Run, m *measured) {
			for s := from; s < to; s++ {
				m.put("target/machines", "zone-a", s, 0, 2, 0, 1)
			}
		}
	}
	const proof = "proof: [{ name: it is dark, check: machines.alive == 0, during: dark }]\n"
	verdict, list := judged(t, proof, func(*pb.Run, *measured) {})
	wants(t, verdict, pb.Verdict_VERDICT_PASS, list, "it is dark HOLDS")
	verdict, list = judged(t, proof, dead(1005, 1011)) // it died by itself, before the fault
	wants(t, verdict, pb.Verdict_VERDICT_INCONCLUSIVE, list, "it is dark UNKNOWN: was true before the fault already")
	verdict, list = judged(t, proof, func(_ *pb.Run, m *measured) { m.drop("target/machines", "zone-a", 900, 1010) })
	wants(t, verdict, pb.Verdict_VERDICT_INCONCLUSIVE, list, "it is dark UNKNOWN: no data just before the fault")
	_, j := compiled(t, proof)
	run, m := good()
	run.T0UnixNanos = 0
	if found := j.Track().Premature(run, m, time.Unix(1000, 0)); len(found) != 0 {
		t.Errorf("a run whose proof is still to turn is held back: %v", found)
	}
	dead(980, 1001)(run, m)
	if found := j.Track().Premature(run, m, time.Unix(1000, 0)); len(found) != 1 {
		t.Error("a run whose proof is true before it begins is not held back")
	}
}

func TestProofOfScopeStays(t *testing.T) {
	const proof = "proof: [{ name: others, check: checkout.success == 1, during: dark, stays: true }]\n"
	verdict, list := judged(t, proof, func(*pb.Run, *measured) {})
	wants(t, verdict, pb.Verdict_VERDICT_PASS, list, "others HOLDS")
	verdict, list = judged(t, proof, func(_ *pb.Run, m *measured) { m.put("checkout", "zone-b", 1009, 0, 1, 0) })
	wants(t, verdict, pb.Verdict_VERDICT_INCONCLUSIVE, list, "others UNKNOWN: did not hold before the fault either")
	verdict, list = judged(t, proof, func(_ *pb.Run, m *measured) { m.put("checkout", "zone-b", 1020, 0, 1, 0) })
	wants(t, verdict, pb.Verdict_VERDICT_INCONCLUSIVE, list, "others BROKEN")
	verdict, list = judged(t, proof, func(run *pb.Run, _ *measured) { // it is no sign that the fault bit
		run.Steps["dark.power.off"].Hosts["a1"].Evidence[0].Holds = false
	})
	wants(t, verdict, pb.Verdict_VERDICT_INCONCLUSIVE, list, "PROOF dark.power.off BROKEN")
}

func TestGapIsToldApartFromOver(t *testing.T) {
	const recovers = "expect: [{ name: recovers, check: checkout.success >= 0.9, over: 5s, within: 12s, after: dark }]\n"
	_, list := judged(t, recovers, func(_ *pb.Run, m *measured) { // failures that began from T+10 s to T+14.5 s
		for s := int64(1010); s < 1016; s++ {
			m.put("checkout", "zone-b", s, 0, 1, 0)
			w := m.windows["checkout zone-b "+itoa(s)]
			w.FirstFailureUnixNanos = t0 + 10e9 + (s-1010)*700e6
			w.LastFailureUnixNanos = w.FirstFailureUnixNanos + 100e6
		}
	})
	for _, want := range []string{
		"recovers HOLDS: after 4.6s, limit 12s",
		"GAP checkout HOLDS: longest gap 4.6s from T+10.0s, first good at T+14.6s (phase dark",
	} {
		if !strings.Contains(list, want) {
			t.Errorf("no %q in:\n%s", want, list)
		}
	}
}

// TestGapIsOneThoughAttemptsBeginLate: a little later each time, and one not at all.
func TestGapIsOneThoughAttemptsBeginLate(t *testing.T) {
	_, list := judged(t, "", func(_ *pb.Run, m *measured) {
		for s := int64(1010); s < 1016; s++ {
			m.put("checkout", "zone-b", s, 0, 1, 0)
			w := m.windows["checkout zone-b "+itoa(s)]
			w.FirstFailureUnixNanos = t0 + 10e9 + (s-1010)*1003e6
			switch s {
			case 1013:
				w.FirstFailureUnixNanos += 500e6
			case 1015: // with the first that was good, and was quicker
				w.Count, w.Success = 2, 1
			}
			w.LastFailureUnixNanos = w.FirstFailureUnixNanos
		}
	})
	if want := "longest gap 6s from T+10.0s, first good at T+16.0s"; !strings.Contains(list, want) {
		t.Errorf("no %q in:\n%s", want, list)
	}
}

func TestRunThatAPersonEndedIsNotJudged(t *testing.T) {
	verdict, list := judged(t, checks, func(run *pb.Run, m *measured) {
		run.EndCause, run.EndDetail, run.EndedBy = pb.EndCause_END_CAUSE_HALT, "smoke", &pb.Principal{Name: "ana"}
		run.EnteredUnixNanos[uint32(pb.RunState_RUN_STATE_REVERTING)] = t0 + 15e9
		run.Steps["dark.power.off"].Hosts["a2"].Cause = pb.RevertCause_REVERT_CAUSE_HALT
		m.put("checkout", "zone-b", 1012, 0, 1, 0)
	})
	wants(t, verdict, pb.Verdict_VERDICT_HALTED, list, "served NOT_JUDGED: not judged: halted by ana: smoke")
	if strings.Contains(list, "BROKEN") || strings.Contains(list, "HOLDS") {
		t.Errorf("it is judged all the same:\n%s", list)
	}
}

func TestAdHocFaultIsDone(t *testing.T) {
	verdict, list := judged(t, "", func(run *pb.Run, _ *measured) { run.AdHoc = true })
	wants(t, verdict, pb.Verdict_VERDICT_DONE, list, "dark.power.off HOLDS")
	verdict, list = judged(t, "", func(run *pb.Run, _ *measured) {
		run.AdHoc = true
		run.Steps["dark.power.off"].Hosts["a1"].Evidence = nil
	})
	wants(t, verdict, pb.Verdict_VERDICT_INCONCLUSIVE, list, "PROOF dark.power.off UNKNOWN")
}

func TestWorkloadThatDidNotComeBackIsNoPass(t *testing.T) {
	verdict, list := judged(t, checks, func(run *pb.Run, _ *measured) {
		run.Steps["dark.power.off"].Hosts["a2"].RecoveryFailures = []*pb.RecoveryFailure{{Workload: "db", Why: "it exited with 1", Log: []string{"starting", "no cookie"}}}
	})
	wants(t, verdict, pb.Verdict_VERDICT_FAIL, list, "RECOVERY dark.power.off BROKEN: db did not come back: it exited with 1; it logged last: no cookie")
}

func TestSecondIsJudgedOnce(t *testing.T) {
	_, j := compiled(t, served)
	run, m := good()
	track := j.Track()
	late := m.windows["checkout zone-b 1015"]
	m.drop("checkout", "zone-b", 1015, 1016)
	for now := int64(1001); now < 1050; now++ {
		if now == 1040 { // after its second was closed, a failure comes in
			late.Success = 0
			m.windows["checkout zone-b 1015"] = late
		}
		if !track.Follow(run, m, time.Unix(now, 0)) {
			t.Fatal("it does not catch up")
		}
		if at := track.Closed().Unix(); at < now-1 {
			t.Fatalf("at %d seconds are judged up to %d only, though all have spoken", now, at)
		}
	}
	if verdict, findings := track.Verdict(run, m, time.Unix(1050, 0)); verdict != pb.Verdict_VERDICT_PASS {
		t.Errorf("verdict %v:\n%s", verdict, told(findings))
	}
}

func TestFindingsNameWhoseReadingsTheyRestOn(t *testing.T) {
	_, j := compiled(t, served)
	run, m := good()
	m.drop("checkout", "zone-c", 1015, 1025)
	_, findings := j.Verdict(run, m, time.Unix(1050, 0))
	for _, f := range findings {
		if f.GetKind() != pb.FindingKind_FINDING_KIND_EXPECT {
			continue
		}
		if got, want := basisText(f.GetBasis()), "checkout heard [0 1] missing [1] dark []\n"; got != want {
			t.Errorf("it rests on %q, want %q", got, want)
		}
	}
}

// Findings have their worst values and how long they took as numbers, for what
// is held against other runs.
func TestFindingsHaveFigures(t *testing.T) {
	_, j := compiled(t, checks)
	run, m := good()
	m.put("checkout", "zone-b", 1020, 0, 1, 0)
	run.EnteredUnixNanos[uint32(pb.RunState_RUN_STATE_RECOVERING)] = t0 + 30e9
	for s := int64(1030); s < 1034; s++ { // the last machine is up at the end of second 1034
		m.put("target/machines", "zone-a", s, 1, 2, 0, 1)
	}
	_, findings := j.Verdict(run, m, time.Unix(1050, 0))
	for name, check := range map[string]func(*pb.Finding) bool{
		"served": func(f *pb.Finding) bool {
			w := f.GetWorst()
			return len(w) == 2 && w[0].GetValue() == "checkout.success" && w[0].GetSeen() == 0.9 && w[0].GetOp() == ">=" && w[0].GetLimit() == 0.99 &&
				w[0].GetAtUnixNanos() == 1021e9 && w[1].GetOp() == "<" && f.GetTook() == nil
		},
		"recovers":                         func(f *pb.Finding) bool { return f.GetTook().GetNanos() == 11e9 },
		"machines.alive == machines.total": func(f *pb.Finding) bool { return f.GetTook().GetNanos() == 4.75e9 },
	} {
		for _, f := range findings {
			if f.GetName() == name && !check(f) {
				t.Errorf("%v", f)
			}
		}
	}
	m.put("checkout", "zone-b", 1049, 0, 1, 0)
	m.put("target/machines", "zone-a", 1049, 0, 2, 0, 1)
	_, findings = j.Verdict(run, m, time.Unix(1050, 0))
	never := 0
	for _, f := range findings {
		if f.GetTook().GetNever() {
			never++
		}
	}
	if never != 1 {
		t.Errorf("%d never came: %s", never, told(findings))
	}
}
