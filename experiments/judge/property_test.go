package judge_test

import (
	"flag"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"squall/experiments"
	"squall/experiments/judge"
	"squall/proto/hist"
	pb "squall/proto/squall/v1"
)

var (
	cases = flag.Int("cases", 5_000, "how many random runs are judged twice")
	seed  = flag.Uint64("seed", 0, "of the random runs; 0 draws one")
)

// trial is an experiment at random, compiled once for many runs.
type trial struct {
	judge     *judge.Judge
	exp       *pb.Experiment
	proof     []statement
	expect    []statement
	abort     statement
	abortFor  int64
	probes    map[string]*plainProbe
	phases    []plainPhase // after T0
	darkens   bool
	bootLimit int64
}

// arrival is a host's window as it comes in.
type arrival struct {
	at     int64
	window *pb.Window
}

func TestJudgeIsThePlainModel(t *testing.T) {
	n := *cases
	if testing.Short() {
		n = min(n, 500)
	}
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	t.Logf("seed %d, %d cases", *seed, n)
	random := rand.New(rand.NewPCG(*seed, 0))
	var tr *trial
	for i := range n {
		if i%50 == 0 {
			tr = newTrial(t, random)
		}
		if diff := tr.run(rand.New(rand.NewPCG(*seed, uint64(i)))); diff != "" {
			t.Fatalf("-seed %d, case %d:\n%s%s", *seed, i, tr.text(), diff)
		}
	}
}

func newTrial(t *testing.T, r *rand.Rand) *trial {
	t.Helper()
	tr := &trial{probes: map[string]*plainProbe{}, darkens: r.IntN(2) == 0, bootLimit: int64(1+r.IntN(3)) * second}
	hosts, zone := []string{"a1", "a2", "b1", "b2", "c1"}, []string{"zone-a", "zone-a", "zone-b", "zone-b", "zone-c"}
	for _, name := range []string{"p", "q"} {
		p := &plainProbe{name: name, every: pick[int64](r, 500e6, 1e9, 1e9, 2e9, 3e9), timeout: pick[int64](r, 500e6, 1e9, 2e9)}
		for i, h := range hosts {
			if r.IntN(2) == 0 || i == 4 && p.hosts == nil {
				p.hosts, p.zone = append(p.hosts, h), append(p.zone, zone[i])
			}
		}
		tr.probes[name] = p
	}
	tr.probes["target/m"] = &plainProbe{name: "target/m", every: second, timeout: 3 * second, counts: true, hosts: hosts[:3], zone: zone[:3]}
	at := int64(0)
	for _, name := range []string{"one", "two", "three"} {
		length := int64(2+r.IntN(7))*second + pick[int64](r, 0, 0, 300e6)
		tr.phases = append(tr.phases, plainPhase{name: name, start: at, end: at + length})
		at += length
	}
	tr.compile(t, r)
	return tr
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

func (tr *trial) compile(t *testing.T, r *rand.Rand) {
	t.Helper()
	e := &pb.Experiment{Version: 1, Name: "trial", Targets: map[string]*pb.Target{"m": {}}, Probes: map[string]*pb.Probe{"p": {}, "q": {}}}
	span := func() *pb.Span { return pick(r, nil, &pb.Span{Nanos: int64(1+r.IntN(6)) * second}) }
	for i := range 2 {
		s := anyStatement(r, 2)
		tr.proof = append(tr.proof, s)
		e.Proof = append(e.Proof, &pb.Proof{Name: fmt.Sprint("proof ", i), Check: show(s), Over: span(), During: pick(r, nil, []string{"two"}, []string{"two", "three"}), Stays: r.IntN(4) == 0})
		s = anyStatement(r, 2)
		tr.expect = append(tr.expect, s)
		x := &pb.Expectation{Name: fmt.Sprint("expect ", i), Check: show(s), Over: span(), During: pick(r, []string{"one"}, []string{"two", "three"})}
		if i == 1 {
			x.During, x.After, x.Within = nil, pick(r, "one", "two", "three"), &pb.Span{Nanos: int64(1+r.IntN(9)) * second}
		}
		e.Expect = append(e.Expect, x)
	}
	tr.abort, tr.abortFor = anyStatement(r, 1), int64(1+r.IntN(4))
	e.Abort = []*pb.AbortRule{{Name: "rule", When: show(tr.abort), For: &pb.Span{Nanos: tr.abortFor * second}}}
	j, problems := judge.Compile(e, experiments.Source{})
	if problems != nil {
		t.Fatal(problems)
	}
	tr.judge, tr.exp = j, e
}

func anyStatement(r *rand.Rand, depth int) statement {
	switch r.IntN(6) {
	case 0:
		if depth > 0 {
			return both{anyStatement(r, depth-1), anyStatement(r, depth-1)}
		}
	case 1:
		if depth > 0 {
			return either{anyStatement(r, depth-1), anyStatement(r, depth-1)}
		}
	case 2:
		if depth > 0 {
			return not{anyStatement(r, depth-1)}
		}
	case 3:
		return pick[statement](r, compare{"target/m", "alive", "==", 0, ""}, compare{"target/m", "alive", "==", 0, "total"}, compare{"target/m", "alive", "<", 2, ""})
	}
	field := pick(r, "success", "success", "ok", "value", "age", "p50")
	limit := map[string]float64{"success": 0.5, "ok": 0.5, "value": 3, "age": 2, "p50": 50}[field]
	return compare{pick(r, "p", "q"), field, pick(r, "<", "<=", ">", ">=", "!="), limit, ""}
}

func show(s statement) string {
	switch s := s.(type) {
	case compare:
		name, right := strings.TrimPrefix(s.probe, "target/"), fmt.Sprint(s.limit)
		if s.other != "" {
			right = name + "." + s.other
		}
		return fmt.Sprintf("%s.%s %s %s", name, s.field, s.op, right)
	case not:
		return "!(" + show(s.a) + ")"
	case both:
		return "(" + show(s.a) + " && " + show(s.b) + ")"
	case either:
		return "(" + show(s.a) + " || " + show(s.b) + ")"
	}
	return ""
}

func (tr *trial) text() string {
	var b strings.Builder
	for _, p := range tr.probes {
		fmt.Fprintf(&b, "%s every %v timeout %v on %v\n", p.name, time.Duration(p.every), time.Duration(p.timeout), p.hosts)
	}
	fmt.Fprintf(&b, "phases %v, darkens %v\n%v\n", tr.phases, tr.darkens, tr.exp)
	return b.String()
}

// run plays one run: both judges follow it as its windows come in.
func (tr *trial) run(r *rand.Rand) string {
	start := 100*second + r.Int64N(second)
	if r.IntN(4) == 0 {
		start = 100 * second
	}
	run := tr.planned(r, start)
	arrivals := tr.windows(r, start)
	model := tr.model(run, start)
	track, live := tr.judge.Track(), arrived{model.known}
	rule := &plainRule{is: tr.abort, lasts: tr.abortFor, t0: start / second, end: start / second}
	end := start + tr.phases[2].end
	for now := (start/second + 1) * second; ; now += second {
		for len(arrivals) > 0 && arrivals[0].at <= now {
			arrive(model.known, arrivals[0].window)
			arrivals = arrivals[1:]
		}
		track.Follow(run, live, time.Unix(0, now))
		model.follow(now)
		got, want := track.Abort(run, live, time.Unix(0, now)) != nil, rule.fires(model, now/second-1)
		if got != want {
			return fmt.Sprintf("at %d the abort rule fires: %v, by the model %v", now/second, got, want)
		}
		if now > end+2*second {
			_, findings := track.Verdict(run, live, time.Unix(0, now))
			model.finish(now)
			return tr.compare(findings, model)
		}
	}
}

// plainRule is an abort rule: true without a break since a second.
type plainRule struct {
	is                     statement
	lasts, t0, end, lasted int64
}

func (r *plainRule) fires(m *plainModel, end int64) bool {
	for ; r.end < end; r.end++ {
		switch ofAny(r.is, look{m: m, from: m.known, end: r.end + 1}) {
		case yes, unknown:
			r.lasted++
		default:
			r.lasted = 0
		}
	}
	return r.lasted >= r.lasts
}

func (tr *trial) planned(r *rand.Rand, start int64) *pb.Run {
	plan := &pb.Plan{}
	zone := map[string]string{}
	for _, name := range []string{"p", "q", "target/m"} {
		p := tr.probes[name]
		planned := &pb.PlannedProbe{Name: name, Hosts: p.hosts}
		if !p.counts {
			planned.Probe = &pb.Probe{Every: &pb.Span{Nanos: p.every}, Timeout: &pb.Span{Nanos: p.timeout}}
		}
		plan.Probes = append(plan.Probes, planned)
		for i, h := range p.hosts {
			zone[h] = p.zone[i]
		}
	}
	for h, z := range zone {
		plan.Hosts = append(plan.Hosts, &pb.PlannedHost{Name: h, Zone: z})
	}
	for _, p := range tr.phases {
		plan.Phases = append(plan.Phases, &pb.PlannedPhase{Name: p.name, StartNanos: p.start, EndNanos: p.end})
	}
	step := &pb.PlannedStep{Id: "two.power.off", Phase: "two", Target: "m", BootLimitNanos: tr.bootLimit, Fault: &pb.Fault{Kind: &pb.Fault_PowerOff{PowerOff: &pb.PowerOff{}}}}
	if !tr.darkens {
		step.Workload = []string{"web"}
	}
	statuses := map[string]*pb.StepStatus{}
	for _, h := range []string{"a1", "a2"} {
		step.Slots = append(step.Slots, &pb.HostSlot{Host: h, StartNanos: tr.phases[1].start, EndNanos: tr.phases[1].end})
		statuses[h] = &pb.StepStatus{}
		if r.IntN(2) == 0 {
			statuses[h] = &pb.StepStatus{ReadyAgain: true, ReadyUnixNanos: start + tr.phases[1].end + r.Int64N(2*second)}
		}
	}
	plan.Steps = []*pb.PlannedStep{step}
	return &pb.Run{
		Plan: plan, T0UnixNanos: start, EndCause: pb.EndCause_END_CAUSE_COMPLETE, State: pb.RunState_RUN_STATE_HOLDING,
		EnteredUnixNanos: map[uint32]int64{uint32(pb.RunState_RUN_STATE_GATING): start - int64(r.IntN(9))*second},
		Steps:            map[string]*pb.StepHosts{step.Id: {Hosts: statuses}},
	}
}

// model is the plain one of a run.
func (tr *trial) model(run *pb.Run, start int64) *plainModel {
	m := &plainModel{since: run.EnteredUnixNanos[uint32(pb.RunState_RUN_STATE_GATING)] / second, probes: tr.probes, dark: map[string][][2]int64{}, known: plainStore{}, frozen: plainStore{}}
	m.next = m.since
	for h, s := range run.Steps["two.power.off"].Hosts {
		until := start + tr.phases[1].end + tr.bootLimit
		if s.ReadyAgain {
			until = s.ReadyUnixNanos
		}
		if tr.darkens {
			m.dark[h] = [][2]int64{{start + tr.phases[1].start, until}}
		}
	}
	for i, p := range tr.exp.Proof {
		c := tr.check(tr.proof[i], p.Over, p.During, start)
		c.beforeAt = (start + tr.phases[1].start) / second // the fault is in phase two
		if p.During == nil {
			c.beforeAt = start / second
		}
		m.checks = append(m.checks, c)
	}
	for i, x := range tr.exp.Expect {
		during := x.During
		if x.After != "" {
			during = []string{x.After}
		}
		c := tr.check(tr.expect[i], x.Over, during, start)
		if c.within = x.After != ""; c.within {
			c.due = max((c.phases[0].start+x.Within.Nanos)/second, c.phases[0].begin()+1)
		}
		m.checks = append(m.checks, c)
	}
	return m
}

func (tr *trial) check(s statement, over *pb.Span, during []string, start int64) *plainCheck {
	c := &plainCheck{is: s, over: over.GetNanos() / second, judged: map[string]int{}, before: tooEarly}
	c.heard, c.gone, c.out = map[string]map[int]bool{}, map[string]map[int]bool{}, map[string]map[int]bool{}
	for _, p := range tr.phases {
		if during == nil || slices.Contains(during, p.name) {
			c.phases = append(c.phases, plainPhase{p.name, start + p.start, start + p.end})
		}
	}
	return c
}

// windows are what each host makes, with holes, silences, late and lost
// batches, in the order in which they come in.
func (tr *trial) windows(r *rand.Rand, start int64) []arrival {
	var all []arrival
	for _, name := range []string{"p", "q", "target/m"} {
		p := tr.probes[name]
		for bit := range p.hosts {
			all = append(all, hostWindows(r, p, bit, start-9*second, start+tr.phases[2].end+3*second)...)
		}
	}
	slices.SortStableFunc(all, func(a, b arrival) int { return int((a.at - b.at) / 1e6) })
	return all
}

func hostWindows(r *rand.Rand, p *plainProbe, bit int, from, to int64) []arrival {
	silentFrom := from + r.Int64N(to-from)
	silentTo := silentFrom + r.Int64N(pick[int64](r, 1, 5, 15)*second)
	trouble, lossy := r.IntN(2) == 0, r.IntN(4) == 0
	made := map[int64]*pb.Window{}
	for at := p.firstAttempt(from); at < to; at += p.every {
		if at >= silentFrom && at < silentTo && trouble || lossy && r.IntN(5) == 0 {
			continue
		}
		ended := at + r.Int64N(pick(r, p.timeout/10, p.timeout))
		count(r, made, p, bit, ended)
	}
	var out []arrival
	for _, sec := range slices.Sorted(maps.Keys(made)) {
		late := pick[int64](r, 300e6, 500e6, 900e6)
		switch r.IntN(40) {
		case 0:
			late = r.Int64N(14 * second)
		case 1:
			continue // lost
		}
		out = append(out, arrival{(sec+1)*second + late, made[sec]})
	}
	return out
}

func count(r *rand.Rand, made map[int64]*pb.Window, p *plainProbe, bit int, ended int64) {
	w := made[ended/second]
	if w == nil {
		w = &pb.Window{Probe: p.name, Zone: p.zone[bit], Second: ended / second, Hosts: []byte{1 << bit}, Latency: &pb.Histogram{}}
		made[ended/second] = w
	}
	w.Count++
	if r.IntN(3) > 0 {
		w.Success++
		hist.Add(w.Latency, r.Int64N(100e6))
	}
	if r.IntN(2) == 0 {
		v := pick(r, 1, 2, 3, 4, 5, math.NaN(), math.Inf(1))
		w.HasValue, w.Lowest, w.Highest = true, v, v
	}
	if r.IntN(400) == 0 {
		w.Count, w.Success = 1e9, 1e9
	}
	w.NewestUnixNanos = max(w.NewestUnixNanos, ended)
}

// arrived are the windows that have come in, as the judge reads them.
type arrived struct{ plainStore }

func (a arrived) Window(probe, zone string, second int64) *pb.Window {
	return a.at(probe, zone, second)
}
func (arrived) Zones(string) []string { return nil }
func (arrived) Residue() int          { return 0 }

// arrive joins a host's window to its second's.
func arrive(known plainStore, w *pb.Window) {
	if have := known.at(w.Probe, w.Zone, w.Second); have != nil {
		w = hist.Join(have, w)
	}
	known.put(w.Probe, w.Zone, w.Second, w)
}

// compare tells in what the findings are not the model's.
func (tr *trial) compare(findings []*pb.Finding, m *plainModel) string {
	var diff strings.Builder
	i := 0
	for _, f := range findings {
		isProof := f.Kind == pb.FindingKind_FINDING_KIND_PROOF && strings.HasPrefix(f.Name, "proof")
		if !isProof && f.Kind != pb.FindingKind_FINDING_KIND_EXPECT {
			continue
		}
		c := m.checks[i]
		state, phase, at := c.state()
		if isProof && tr.exp.Proof[i].Stays {
			state, at = staying(c)
		}
		i++
		if f.State != state || f.Phase != phase || f.AtUnixNanos != at {
			fmt.Fprintf(&diff, "%s: %v in %q at %d, by the model %v in %q at %d\n", f.Name, f.State, f.Phase, f.AtUnixNanos, state, phase, at)
		}
		if got, want := basisText(f.Basis), c.basisText(m); got != want {
			fmt.Fprintf(&diff, "%s rests on\n%sby the model on\n%s", f.Name, got, want)
		}
	}
	return diff.String()
}

// staying is what a proof of scope comes to: it must hold before as well.
func staying(c *plainCheck) (pb.FindingState, int64) {
	turning := c.before
	c.before = no
	state, _, at := c.state()
	if c.before = turning; state == pb.FindingState_FINDING_STATE_HOLDS && turning != yes {
		return pb.FindingState_FINDING_STATE_UNKNOWN, c.beforeAt * second
	}
	return state, at
}

func basisText(list []*pb.Basis) string {
	var lines []string
	for _, b := range list {
		lines = append(lines, fmt.Sprintf("%s heard %v missing %v dark %v\n", b.Probe, bits(b.Heard), bits(b.Missing), bits(b.Dark)))
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

func bits(bitmap []byte) []int {
	out := []int{}
	for i := range 8 * len(bitmap) {
		if bitmap[i/8]&(1<<(i%8)) != 0 {
			out = append(out, i)
		}
	}
	return out
}

func (c *plainCheck) basisText(m *plainModel) string {
	var lines []string
	judged := 0
	for _, n := range c.judged {
		judged += n
	}
	for name := range namesIn(c.is) {
		set := func(bits map[int]bool) []int {
			out := []int{}
			for i := range m.probes[name].hosts {
				if bits[i] {
					out = append(out, i)
				}
			}
			return out
		}
		if judged > 0 || len(c.heard[name])+len(c.gone[name])+len(c.out[name]) > 0 {
			lines = append(lines, fmt.Sprintf("%s heard %v missing %v dark %v\n", name, set(c.heard[name]), set(c.gone[name]), set(c.out[name])))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}
