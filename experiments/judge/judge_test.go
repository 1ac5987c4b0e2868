package judge_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"squall/experiments"
	"squall/experiments/judge"
	"squall/proto/hist"
	pb "squall/proto/squall/v1"
)

const head = `version: 1
name: trial
zones: { dark: [zone-a], lit: [zone-b, zone-c] }
targets: { machines: { zone: dark } }
probes:
  checkout: { every: 1s, timeout: 1s, from: lit, http: "http://shop.test/" }
  slow: { every: 10s, timeout: 5s, tcp: "a:1" }
timeline:
  - { at: T+0s, phase: calm, until: T+10s }
  - { at: T+10s, phase: dark, until: T+30s, faults: [power.off: { target: machines, for: 20s }] }
`

// compiled is an experiment of the head and some sections, which must be right.
func compiled(t *testing.T, sections string) (*pb.Experiment, *judge.Judge) {
	t.Helper()
	e, src, problems := experiments.Decode("trial.yaml", []byte(head+sections))
	if problems != nil {
		t.Fatal(problems)
	}
	j, problems := judge.Compile(e, src)
	if problems != nil {
		t.Fatal(problems)
	}
	return e, j
}

func TestMistakesInExpressionsHaveTheirPlace(t *testing.T) {
	for _, c := range []struct{ check, caret, message, fix string }{
		{"chekout.success > 0", "chekout", `"chekout" is neither a probe nor a target`, `did you mean "checkout"?`},
		{"checkout.succses > 0.9", "succses", `there is no "succses"`, `did you mean "success"?`},
		{"1 < 2 && machines.alife == 0", "alife", `there is no "alife"`, `did you mean "alive"?`},
		{"zones.lid.exists(z, z.alive < 1)", "lid", `"lid" is not a role of ` + "`zones`", `did you mean "lit"?`},
		{"zones.lit.exists(z, z.aliv < 1)", "aliv ", `there is no "aliv"`, `did you mean "alive"?`},
		{"checkout.success", "checkout", `"checkout.success" is not a statement that holds or does not`, "compare it with something, such as >= 0.99"},
		{"checkout.success > 'x'", "> 'x'", "no matching overload", "compare numbers"},
		{"checkout.success > 0.9 && checkout >= 0.9", "checkout >= 0.9", "checkout is no number", ".success, .p50"},
		{"machines == 0", "machines", "machines is no number", ".alive, .total"},
		{"zones.lit.exists(z, z < 1)", "z, z < 1", "z is no number", ".name, .alive"},
		{"residue == 0", "residue", "residue is no number", ".count"},
		{"checkout.success >", "", "the expression ends too early", "write a comparison"},
		{"5 / 2 == 2.5", "5", `"5 / 2 == 2.5" speaks of nothing that is measured`, "name a probe, a target"},
		{"true", "true", `"true" speaks of nothing that is measured`, "name a probe, a target"},
		{"machines.total >= 1", "machines.total", `"machines.total >= 1" speaks of nothing that is measured`, "the plan knows .total before"},
		{"size(zones.lit) == 2", "size", "speaks of nothing that is measured", "name a probe"},
		{"zones.lit.all(z, z.total > 0)", "zones", "speaks of nothing that is measured", "name a probe"},
		{"zones.lit[0].name == 'zone-b'", "zones", "speaks of nothing that is measured", "name a probe"},
		{"machines.total >= 1 || machines.alive == 0", "", "a part of the expression holds, or does not, whatever is read", "leave that part out"},
		{"machines.alive == 0 || true", "true", "whatever is read", "leave that part out"},
		{"checkout.success > 0.9 || 1 < 2", "", "whatever is read", "leave that part out"},
		{"zones.lit.all(z, z.alive > 0 || machines.total > 1)", "", "whatever is read", "leave that part out"},
		{"1 < 2 && has(checkout.value)", "has(", "has(checkout.value) holds with data and without", "leave it out"},
		{"residue.cont == 0", "cont", `there is no "cont"`, `did you mean "count"?`},
	} {
		for _, style := range []string{"    check: %s\n", "    check: \"%s\"\n"} {
			text := head + "proof:\n  - name: it bit\n" + fmt.Sprintf(style, c.check)
			e, src, problems := experiments.Decode("trial.yaml", []byte(text))
			if problems != nil {
				t.Fatal(problems)
			}
			_, problems = judge.Compile(e, src)
			if len(problems) != 1 {
				t.Fatalf("%s: %d problems: %v", c.check, len(problems), problems)
			}
			p := problems[0]
			if !strings.Contains(p.GetMessage(), c.message) || !strings.Contains(p.GetFix(), c.fix) {
				t.Errorf("%s: %q, %q", c.check, p.GetMessage(), p.GetFix())
			}
			line := strings.Split(text, "\n")[p.GetLine()-1]
			if got := line[p.GetColumn()-1:]; !strings.HasPrefix(got, c.caret) {
				t.Errorf("%s: the place is %q, want %q", c.check, got, c.caret)
			}
			caret := strings.Split(p.GetExcerpt(), "\n")
			if at := strings.Index(caret[1], "^"); !strings.HasPrefix(caret[0][at:], c.caret) {
				t.Errorf("%s: the caret is elsewhere:\n%s", c.check, p.GetExcerpt())
			}
		}
	}
}

// measured holds windows by probe, zone and second.
type measured struct {
	windows map[string]*pb.Window
	residue int
}

func (m *measured) Window(probe, zone string, second int64) *pb.Window {
	return m.windows[fmt.Sprint(probe, " ", zone, " ", second)]
}

func (m *measured) Zones(string) []string { return nil }
func (m *measured) Residue() int          { return m.residue }

// put adds a window of so many successes out of n, by the first `hosts` hosts from bit `from` on.
func (m *measured) put(probe, zone string, second int64, success, n uint64, bits ...int) {
	w := &pb.Window{Probe: probe, Zone: zone, Second: second, Count: n, Success: success, Hosts: []byte{0}, Latency: &pb.Histogram{}}
	w.NewestUnixNanos = second*1e9 + 5e8
	for _, b := range bits {
		w.Hosts[0] |= 1 << b
	}
	for range success {
		hist.Add(w.Latency, 40e6)
	}
	m.windows[fmt.Sprint(probe, " ", zone, " ", second)] = w
}

func (m *measured) drop(probe, zone string, from, to int64) {
	for s := from; s < to; s++ {
		delete(m.windows, fmt.Sprint(probe, " ", zone, " ", s))
	}
}

// t0 is not a whole second, as in life.
const t0 = int64(1000)*1e9 + 250e6

// good is a run in which everything went well: the two machines die for the
// dark phase, and checkouts succeed all the time.
func good() (*pb.Run, *measured) {
	plan := &pb.Plan{
		Phases: []*pb.PlannedPhase{
			{Name: "calm", EndNanos: 10e9},
			{Name: "dark", StartNanos: 10e9, EndNanos: 30e9},
		},
		Steps: []*pb.PlannedStep{{Id: "dark.power.off", Phase: "dark", Slots: []*pb.HostSlot{
			{Host: "a1", StartNanos: 10e9, EndNanos: 30e9},
			{Host: "a2", StartNanos: 10e9, EndNanos: 30e9},
		}}},
		Probes: []*pb.PlannedProbe{
			{Name: "checkout", Probe: &pb.Probe{Every: &pb.Span{Nanos: 1e9}, Timeout: &pb.Span{Nanos: 1e9}}, Hosts: []string{"b1", "c1"}},
			{Name: "slow", Probe: &pb.Probe{Every: &pb.Span{Nanos: 10e9}, Timeout: &pb.Span{Nanos: 5e9}}, Control: true},
			{Name: "target/machines", Hosts: []string{"a1", "a2"}},
			{Name: "zone/lit", Hosts: []string{"b1", "c1"}},
		},
		Hosts: []*pb.PlannedHost{{Name: "a1", Zone: "zone-a"}, {Name: "a2", Zone: "zone-a"}, {Name: "b1", Zone: "zone-b"}, {Name: "c1", Zone: "zone-c"}},
	}
	held := func() *pb.StepStatus {
		return &pb.StepStatus{
			State: pb.StepState_STEP_STATE_REVERTED, Cause: pb.RevertCause_REVERT_CAUSE_END,
			Journal:  []*pb.JournalMark{{State: pb.StepState_STEP_STATE_HELD, ActualUnixNanos: t0 + 10e9}},
			Evidence: []*pb.Evidence{{Name: "alive", Text: "0 alive", Holds: true}, {Name: "clean", Holds: true, After: true}},
		}
	}
	run := &pb.Run{
		Plan: plan, T0UnixNanos: t0, State: pb.RunState_RUN_STATE_RECOVERING, EndCause: pb.EndCause_END_CAUSE_COMPLETE,
		EnteredUnixNanos: map[uint32]int64{uint32(pb.RunState_RUN_STATE_GATING): t0 - 20e9},
		Steps:            map[string]*pb.StepHosts{"dark.power.off": {Hosts: map[string]*pb.StepStatus{"a1": held(), "a2": held()}}},
	}
	m := &measured{windows: map[string]*pb.Window{}}
	for s := int64(980); s < 1060; s++ {
		m.put("checkout", "zone-b", s, 1, 1, 0)
		m.put("checkout", "zone-c", s, 1, 1, 1)
		m.put("zone/lit", "zone-b", s, 1, 1, 0)
		m.put("zone/lit", "zone-c", s, 1, 1, 1)
		alive := uint64(2)
		if s >= 1010 && s <= 1030 {
			alive = 0
		}
		m.put("target/machines", "zone-a", s, alive, 2, 0, 1)
		if s%10 == 0 {
			m.put("slow", "", s, 1, 1, 0)
		}
	}
	return run, m
}

const checks = `proof:
  - { name: it is dark, check: machines.alive == 0, during: dark }
expect:
  - { name: served, check: checkout.success >= 0.99 && checkout.p95 < 100, over: 5s, during: [calm, dark] }
  - { name: recovers, check: checkout.success == 1, within: 5s, after: dark }
revert: { verify: [residue.count == 0, machines.alive == machines.total] }
`

func TestVerdictIsEarned(t *testing.T) {
	const (
		pass, fail, inconclusive = pb.Verdict_VERDICT_PASS, pb.Verdict_VERDICT_FAIL, pb.Verdict_VERDICT_INCONCLUSIVE
	)
	for _, c := range []struct {
		name     string
		sections string
		change   func(*pb.Run, *measured)
		want     pb.Verdict
		finding  string
	}{
		{"everything holds", checks, nil, pass, "served HOLDS"},
		{"a failure in a phase's last whole second", checks, func(_ *pb.Run, m *measured) {
			m.put("checkout", "zone-b", 1029, 0, 1, 0)
		}, fail, "served BROKEN"},
		{"a failure in a second that is only partly in the phase", checks, func(_ *pb.Run, m *measured) {
			m.put("checkout", "zone-b", 1030, 0, 1, 0)
			m.put("checkout", "zone-b", 1000, 0, 1, 0)
		}, pass, "served HOLDS"},
		{"a failure that the trailing stretch dilutes away", strings.Replace(checks, "0.99 &&", "0.85 &&", 1), func(_ *pb.Run, m *measured) {
			m.put("checkout", "zone-b", 1006, 0, 1, 0)
		}, pass, "served HOLDS"},
		{"a machine that lives", checks, func(_ *pb.Run, m *measured) {
			m.put("target/machines", "zone-a", 1020, 1, 2, 0, 1)
		}, inconclusive, "it is dark BROKEN"},
		{"a machine not heard of for a second", checks, func(_ *pb.Run, m *measured) {
			m.put("target/machines", "zone-a", 1020, 0, 1, 0)
		}, pass, "it is dark HOLDS"},
		{"a machine never heard of", checks, func(_ *pb.Run, m *measured) {
			for s := int64(1011); s < 1030; s++ {
				m.put("target/machines", "zone-a", s, 0, 1, 0)
			}
		}, inconclusive, "it is dark UNKNOWN"},
		{"a probe that goes blind in one zone", checks, func(_ *pb.Run, m *measured) {
			m.drop("checkout", "zone-c", 1015, 1025)
		}, inconclusive, "served UNKNOWN"},
		{"a probe that is late for less than its limit", checks, func(_ *pb.Run, m *measured) {
			m.drop("checkout", "zone-c", 1015, 1017)
		}, pass, "served HOLDS"},
		{"a probe that goes blind as the fault starts", checks, func(_ *pb.Run, m *measured) {
			m.drop("checkout", "zone-b", 1010, 1060)
			m.drop("checkout", "zone-c", 1010, 1060)
		}, inconclusive, "recovers UNKNOWN"},
		{"late but within its limit", checks, func(_ *pb.Run, m *measured) {
			for s := int64(1010); s < 1013; s++ {
				m.put("checkout", "zone-b", s, 0, 1, 0)
			}
		}, fail, "recovers HOLDS"},
		{"later than its limit", checks, func(_ *pb.Run, m *measured) {
			for s := int64(1010); s < 1018; s++ {
				m.put("checkout", "zone-b", s, 0, 1, 0)
			}
		}, fail, "recovers BROKEN"},
		{"broken again after it held", checks, func(_ *pb.Run, m *measured) {
			m.put("checkout", "zone-b", 1028, 0, 1, 0)
		}, fail, "recovers BROKEN"},
		{"a host that lost the fault early", checks, func(run *pb.Run, _ *measured) {
			s := run.Steps["dark.power.off"].Hosts["a2"]
			s.Cause = pb.RevertCause_REVERT_CAUSE_LEASE
			s.Journal = append(s.Journal, &pb.JournalMark{State: pb.StepState_STEP_STATE_REVERTED, ActualUnixNanos: t0 + 20e9})
		}, inconclusive, "dark.power.off BROKEN"},
		{"a host undone by an order after its end", checks, func(run *pb.Run, _ *measured) {
			s := run.Steps["dark.power.off"].Hosts["a2"]
			s.Cause = pb.RevertCause_REVERT_CAUSE_ORDER
			s.Journal = append(s.Journal, &pb.JournalMark{State: pb.StepState_STEP_STATE_REVERTED, ActualUnixNanos: t0 + 30e9})
		}, pass, "dark.power.off HOLDS"},
		{"a host that refused", checks, func(run *pb.Run, _ *measured) {
			run.Steps["dark.power.off"].Hosts["a2"].State = pb.StepState_STEP_STATE_REFUSED
		}, inconclusive, "dark.power.off BROKEN"},
		{"a host not known to be reverted", checks, func(run *pb.Run, _ *measured) {
			run.Steps["dark.power.off"].Hosts["a2"].State = pb.StepState_STEP_STATE_HELD
		}, inconclusive, "dark.power.off UNKNOWN"},
		{"a host nobody heard of", checks, func(run *pb.Run, _ *measured) {
			delete(run.Steps["dark.power.off"].Hosts, "a2")
		}, inconclusive, "dark.power.off UNKNOWN"},
		{"residue is told apart", strings.Replace(checks, "residue.count == 0, ", "", 1), func(run *pb.Run, m *measured) {
			run.Steps["dark.power.off"].Hosts["a2"].Residue = []string{"a link"}
			m.residue = 1
		}, pass, "dark.power.off BROKEN"},
		{"what must hold after the revert does not", checks, func(_ *pb.Run, m *measured) { m.residue = 1 }, fail, "residue.count == 0 BROKEN"},
		{"no proof section, evidence holds", "", nil, pass, "dark.power.off HOLDS"},
		{"no proof section, no evidence", "", func(run *pb.Run, _ *measured) {
			run.Steps["dark.power.off"].Hosts["a1"].Evidence = nil
		}, inconclusive, "dark.power.off UNKNOWN"},
		{"no proof section, evidence says no", "", func(run *pb.Run, _ *measured) {
			run.Steps["dark.power.off"].Hosts["a1"].Evidence[0].Holds = false
		}, inconclusive, "dark.power.off BROKEN"},
		{"no proof section, facts alone", "", func(run *pb.Run, _ *measured) {
			run.Steps["dark.power.off"].Hosts["a1"].Evidence = []*pb.Evidence{{Name: "exempt", Holds: true, Fact: true}}
		}, inconclusive, "dark.power.off UNKNOWN"},
		{"no proof section, a fact that says no besides", "", func(run *pb.Run, _ *measured) {
			host := run.Steps["dark.power.off"].Hosts["a1"]
			host.Evidence = append(host.Evidence, &pb.Evidence{Name: "expired", Fact: true})
		}, pass, "dark.power.off HOLDS"},
		{"a broken promise outranks a proof without data", checks, func(_ *pb.Run, m *measured) {
			m.drop("target/machines", "zone-a", 1012, 1025)
			m.put("checkout", "zone-b", 1020, 0, 1, 0)
		}, fail, "it is dark UNKNOWN"},
		{"a slow probe that has not read in the phase yet", "expect: [{ name: slow, check: slow.success == 1, during: dark }]\n", nil, pass, "slow HOLDS"},
		{"a slow probe without one reading in the phase", "expect: [{ name: slow, check: slow.success == 1, during: dark }]\n", func(_ *pb.Run, m *measured) {
			m.drop("slow", "", 1001, 1060)
		}, inconclusive, "slow UNKNOWN"},
		{"aborted", checks, func(run *pb.Run, _ *measured) {
			run.EndCause, run.EndDetail = pb.EndCause_END_CAUSE_ABORT_RULE, "hurt"
			run.EnteredUnixNanos[uint32(pb.RunState_RUN_STATE_REVERTING)] = t0 + 15e9
		}, pb.Verdict_VERDICT_ABORTED, "hurt BROKEN"},
		{"halted before the phase", checks, func(run *pb.Run, _ *measured) {
			run.EndCause = pb.EndCause_END_CAUSE_HALT
			run.EnteredUnixNanos[uint32(pb.RunState_RUN_STATE_REVERTING)] = t0 + 5e9
		}, pb.Verdict_VERDICT_HALTED, "it is dark NOT_JUDGED: not judged: halted"},
		{"undone", checks, func(run *pb.Run, _ *measured) { run.EndCause = pb.EndCause_END_CAUSE_UNDO }, pb.Verdict_VERDICT_HALTED, ""},
		{"not armed in time", checks, func(run *pb.Run, _ *measured) {
			run.EndCause, run.EndDetail = pb.EndCause_END_CAUSE_NOT_READY, "not armed in time: a2"
		}, pb.Verdict_VERDICT_ERROR, "ready BROKEN: not armed in time: a2"},
		{"refused while getting ready", checks, func(run *pb.Run, _ *measured) {
			run.EndCause = pb.EndCause_END_CAUSE_NOT_READY
			run.Steps["dark.power.off"].Hosts["a2"] = &pb.StepStatus{State: pb.StepState_STEP_STATE_REFUSED, Refused: &pb.Problem{Message: "no tcx"}}
		}, pb.Verdict_VERDICT_ERROR, "STEP dark.power.off BROKEN: refused: no tcx"},
		{"steady state not met", "steady_state: { over: 5s, all: [checkout.success > 2] }\n", func(run *pb.Run, _ *measured) {
			run.EndCause = pb.EndCause_END_CAUSE_STEADY_STATE
		}, pb.Verdict_VERDICT_NOT_STARTED, "checkout.success > 2 BROKEN"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, j := compiled(t, c.sections)
			run, m := good()
			if c.change != nil {
				c.change(run, m)
			}
			got, findings := j.Verdict(run, m, time.Unix(1050, 0))
			if got != c.want {
				t.Errorf("verdict %v, want %v", got, c.want)
			}
			if list := told(findings); !strings.Contains(list, c.finding) {
				t.Errorf("no finding %q in:\n%s", c.finding, list)
			}
		})
	}
}

func told(findings []*pb.Finding) string {
	var b strings.Builder
	for _, f := range findings {
		state := strings.TrimPrefix(f.GetState().String(), "FINDING_STATE_")
		fmt.Fprintf(&b, "%s %s %s: %s (phase %s, at %d)\n", strings.TrimPrefix(f.GetKind().String(), "FINDING_KIND_"), f.GetName(), state, f.GetText(), f.GetPhase(), f.GetAtUnixNanos()/1e9)
	}
	return b.String()
}

func TestFindingsShowWorstValueAndWhenItBroke(t *testing.T) {
	_, j := compiled(t, checks)
	run, m := good()
	m.put("checkout", "zone-b", 1020, 0, 1, 0)
	_, findings := j.Verdict(run, m, time.Unix(1050, 0))
	list := told(findings)
	for _, want := range []string{
		"EXPECT served BROKEN: checkout.success worst 0.9, limit >= 0.99, checkout.p95 peak 40",
		"(phase dark, at 1021)",
		"PROOF it is dark HOLDS: machines.alive worst 0, limit == 0",
		"EXPECT recovers BROKEN: after 11s, limit 5s",
		"VERIFY machines.alive == machines.total HOLDS: machines.alive worst 2, limit == machines.total 2",
	} {
		if !strings.Contains(list, want) {
			t.Errorf("no %q in:\n%s", want, list)
		}
	}
}

func TestAbortNeedsAnUnbrokenStretch(t *testing.T) {
	const rules = `abort:
  - { name: hurt, when: checkout.success < 0.9, for: 5s }
  - { name: second zone, when: "zones.lit.exists(z, z.alive_share < 0.9)", for: 3s }
  - { name: blind, when: checkout.age > 8 }
`
	for _, c := range []struct {
		name   string
		change func(*pb.Run, *measured)
		now    int64
		want   string
	}{
		{"all is well", func(*pb.Run, *measured) {}, 1040, ""},
		{"true for long enough", func(_ *pb.Run, m *measured) {
			for s := int64(1015); s < 1021; s++ {
				m.put("checkout", "zone-b", s, 0, 1, 0)
			}
		}, 1021, "hurt"},
		{"not yet for long enough", func(_ *pb.Run, m *measured) {
			for s := int64(1015); s < 1019; s++ {
				m.put("checkout", "zone-b", s, 0, 1, 0)
			}
		}, 1019, ""},
		{"a break in between", func(_ *pb.Run, m *measured) {
			for _, s := range []int64{1013, 1014, 1015, 1019, 1020} {
				m.put("checkout", "zone-b", s, 0, 1, 0)
			}
		}, 1021, ""},
		{"no data counts as bad", func(_ *pb.Run, m *measured) {
			m.drop("checkout", "zone-b", 1010, 1060)
		}, 1019, "hurt"},
		{"blind in one zone", func(_ *pb.Run, m *measured) {
			m.drop("checkout", "zone-c", 1010, 1060)
			m.drop("checkout", "zone-b", 1010, 1060)
		}, 1021, "hurt"},
		{"a zone of several", func(_ *pb.Run, m *measured) {
			for s := int64(1015); s < 1021; s++ {
				m.put("zone/lit", "zone-c", s, 0, 1, 1)
			}
		}, 1021, "second zone"},
		{"before the run has fired", func(run *pb.Run, m *measured) {
			m.drop("checkout", "zone-b", 900, 1060)
			run.T0UnixNanos = 0
		}, 1021, ""},
		{"trouble from before T0", func(run *pb.Run, m *measured) {
			for s := int64(980); s < 1010; s++ {
				m.put("checkout", "zone-b", s, 0, 1, 0)
			}
		}, 1005, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, j := compiled(t, rules)
			run, m := good()
			c.change(run, m)
			if got := j.Abort(run, m, time.Unix(c.now, 3e8)).GetName(); got != c.want {
				t.Errorf("rule %q, want %q", got, c.want)
			}
		})
	}
}

func TestSteadyStateWantsEnoughData(t *testing.T) {
	_, j := compiled(t, "steady_state: { over: 20s, all: [checkout.success >= 0.95, machines.alive == machines.total] }\n")
	for _, c := range []struct {
		name   string
		change func(*measured)
		want   bool
	}{
		{"it holds", func(*measured) {}, true},
		{"a failure that the stretch allows", func(m *measured) { m.put("checkout", "zone-b", 990, 0, 1, 0) }, true},
		{"too many failures", func(m *measured) {
			for s := int64(990); s < 996; s++ {
				m.put("checkout", "zone-b", s, 0, 1, 0)
			}
		}, false},
		{"too little data", func(m *measured) { m.drop("checkout", "zone-b", 900, 990) }, false},
		{"none at all", func(m *measured) { m.windows = map[string]*pb.Window{} }, false},
		{"none lately", func(m *measured) { m.drop("checkout", "zone-b", 994, 1060) }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			run, m := good()
			c.change(m)
			if got, findings := j.Steady(run, m, time.Unix(1000, 0)); got != c.want {
				t.Errorf("steady %v, want %v:\n%s", got, c.want, told(findings))
			}
		})
	}
	_, none := compiled(t, "")
	if ok, _ := none.Steady(&pb.Run{Plan: &pb.Plan{}}, &measured{}, time.Unix(1000, 0)); !ok {
		t.Error("an experiment without the section is not steady")
	}
}

func TestNumbersAreDoubles(t *testing.T) {
	for _, check := range []string{
		"machines.alive == 2", "2 == machines.alive", "machines.alive / 4 == 0.5", "zones.lit.filter(z, z.alive > 0).size() == 2", "size(zones.lit) == machines.alive",
		"zones.lit[0].name == 'zone-b' && zones.lit[0].alive == 1", "zones.lit.exists_one(z, z.name == 'zone-c' && z.alive == 1)", "zones.lit.all(z, z.total == z.alive)",
		"residue.count == 5 / 2 - 2.5", "-1 < residue.count", "2u == machines.alive", "machines.alive + machines.total == 4", "checkout.ok == 1 && checkout.p50 > 39 && checkout.p99 < 41", "checkout.age < 2",
	} {
		_, j := compiled(t, fmt.Sprintf("revert: { verify: [%q] }\n", check))
		run, m := good()
		if ok, findings := j.Verify(run, m, time.Unix(1040, 0)); !ok {
			t.Errorf("%s does not hold:\n%s", check, told(findings))
		}
	}
}

func FuzzCompile(f *testing.F) {
	for _, text := range []string{"checkout.success >= 0.99", "zones.lit.exists(z, z.alive_share < 1)", "size(zones.lit) > 1 && residue.count == 0", "a ? b : c", "[1,2].map(x, x)"} {
		f.Add(text)
	}
	e, _, problems := experiments.Decode("trial.yaml", []byte(head))
	if problems != nil {
		f.Fatal(problems)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e.Revert = &pb.Revert{Verify: []string{text}}
		j, problems := judge.Compile(e, experiments.Source{})
		run, m := good()
		if problems == nil {
			j.Verify(run, m, time.Unix(1040, 0))
		}
	})
}

func TestSecondThatBeginsWithThePhaseIsNotJudged(t *testing.T) {
	_, j := compiled(t, checks)
	run, m := good()
	run.T0UnixNanos = 999_990e6 // the dark phase begins 10 ms before second 1010, and one machine is slow to die
	m.put("target/machines", "zone-a", 1010, 1, 2, 0, 1)
	m.put("target/machines", "zone-a", 1030, 2, 2, 0, 1)
	if got, findings := j.Verdict(run, m, time.Unix(1050, 0)); got != pb.Verdict_VERDICT_PASS {
		t.Errorf("verdict %v:\n%s", got, told(findings))
	}
}

func TestAbortShowsWhatItSaw(t *testing.T) {
	_, j := compiled(t, "abort: [{ name: hurt, when: checkout.success < 0.9 && slow.success == 1 }]\n")
	run, m := good()
	m.put("checkout", "zone-b", 1019, 0, 1, 0)
	f := j.Abort(run, m, time.Unix(1021, 0))
	if want := "checkout.success < 0.9 && slow.success == 1 (checkout.success 0.75, slow.success 1)"; f.GetText() != want {
		t.Errorf("text %q, want %q", f.GetText(), want)
	}
}
