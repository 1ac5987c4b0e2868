package conduct

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
	"squall/server/state"
)

var update = flag.Bool("update", false, "rewrite the golden traces")

// scene is a run with everything that goes wrong in it.
type scene struct {
	hosts      []string
	experiment func(*pb.Experiment)
	plan       func(*pb.Plan)
	play       func(*world)
	success    func(probe string, second int) float64
}

func good(string, int) float64 { return 1 }

var abc = []string{"a", "b", "c"}

// scenes are named after the golden traces in testdata.
var scenes = map[string]scene{
	"complete":             {hosts: abc},
	"measured":             {hosts: abc, experiment: measured, plan: probed},
	"steady state not met": {hosts: abc, experiment: measured, plan: probed, success: func(string, int) float64 { return 0.5 }},
	"abort": {hosts: abc, experiment: measured, plan: probed, success: func(_ string, second int) float64 {
		if second > 8 {
			return 0.2
		}
		return 1
	}},
	"expectation broken": {
		hosts: abc, experiment: func(e *pb.Experiment) { measured(e); e.Abort = nil }, plan: probed,
		success: func(_ string, second int) float64 {
			if second == 12 {
				return 0.5
			}
			return 1
		},
	},
	"slot is left out": {hosts: abc, experiment: unlessHurt, plan: probed, success: func(string, int) float64 { return 0.5 }},
	"slot is left out in mid-gate": {
		hosts: abc, experiment: func(e *pb.Experiment) { measured(e); unlessHurt(e) }, plan: probed,
		success: func(_ string, second int) float64 { return map[bool]float64{true: 0.5, false: 1}[second == 3] },
	},
	"slot is not left out":       {hosts: abc, experiment: unlessHurt, plan: probed},
	"slot may be to be left out": {hosts: abc, experiment: unlessHurt, plan: probed, success: func(string, int) float64 { return -1 }},
	"proof is true before": {hosts: abc, experiment: func(e *pb.Experiment) {
		measured(e)
		e.Proof = []*pb.Proof{{Name: "shoppers are hurt", Check: "shop.success > 0.9", During: []string{"dark"}}}
	}, plan: probed},
	"host refuses":        {hosts: abc, play: func(w *world) { w.host("b").refuses = true }},
	"host is absent":      {hosts: abc, play: func(w *world) { w.host("b").mute = true; w.after(0, func() { w.lose("b") }) }},
	"host is mute":        {hosts: abc, play: func(w *world) { w.host("c").mute = true }},
	"host does not arm":   {hosts: abc, play: func(w *world) { w.host("c").slow = true }},
	"ad hoc arms late":    {hosts: abc, play: func(w *world) { w.adHoc, w.host("c").late = true, time.Second }},
	"ad hoc does not arm": {hosts: abc, play: func(w *world) { w.adHoc, w.host("c").slow = true, true }},
	"host vanishes":       {hosts: abc, play: func(w *world) { w.host("a").gone = w.start.Add(4 * time.Second) }},
	"halt":                {hosts: abc, play: func(w *world) { w.after(4*time.Second, func() { w.whenLed(w.halt) }) }},
	"halt before it fires": {
		hosts: abc, experiment: measured, plan: probed,
		play: func(w *world) { w.after(2*time.Second, func() { w.whenLed(w.halt) }) },
	},
	"undo": {hosts: abc, play: func(w *world) { w.after(4*time.Second, func() { w.whenLed(w.undo) }) }},
	"runtime": {hosts: abc, experiment: func(e *pb.Experiment) {
		e.Guardrails = &pb.Guardrails{MaxRuntime: spanOf(12 * time.Second)}
	}, plan: func(p *pb.Plan) {
		p.Steps[0].BootTokens, p.Steps[0].BootLimitNanos = 1, int64(time.Minute)
	}},
	"guardrail is tightened": {hosts: abc, play: func(w *world) {
		w.after(2*time.Second, func() { w.whenLed(func() { w.guard(&pb.Guardrails{MaxZones: 2}) }) })
	}},
	"guardrail is tightened before it fires": {hosts: abc, experiment: measured, plan: probed, play: func(w *world) {
		w.after(2*time.Second, func() { w.whenLed(func() { w.guard(&pb.Guardrails{MaxZones: 2}) }) })
	}},
	"others are lost": {hosts: abc, experiment: func(e *pb.Experiment) {
		e.Guardrails = &pb.Guardrails{AllowRegionWide: true, MaxHosts: &pb.Amount{Of: &pb.Amount_Share{Share: &pb.Share{Ppm: 750_000}}}}
	}, play: func(w *world) { w.after(2*time.Second, func() { w.whenLed(func() { w.lose("bystander") }) }) }},
	"others are away for a moment": {hosts: abc, experiment: func(e *pb.Experiment) {
		e.Guardrails = &pb.Guardrails{AllowRegionWide: true, MaxHosts: &pb.Amount{Of: &pb.Amount_Share{Share: &pb.Share{Ppm: 750_000}}}}
	}, play: func(w *world) {
		w.after(2*time.Second, func() { w.whenLed(func() { w.lose("bystander") }) })
		w.after(4*time.Second, func() { w.whenLed(func() { w.comes("bystander", "zone-z") }) })
	}},
	"boot tokens": {hosts: []string{"a", "b", "c", "d", "e"}, plan: func(p *pb.Plan) {
		p.Steps[0].BootTokens, p.Steps[0].BootLimitNanos = 2, int64(time.Minute)
	}},
	"token is not given back": {hosts: abc, plan: func(p *pb.Plan) {
		p.Steps[0].BootTokens, p.Steps[0].BootLimitNanos = 1, int64(2*time.Second)
	}},
	"never back": {hosts: abc, plan: func(p *pb.Plan) {
		s := p.Steps[0].Slots[1]
		p.LengthNanos = int64(15 * time.Second)
		s.NeverBack, s.EndNanos = true, p.LengthNanos
	}},
	"later step": {hosts: abc, plan: func(p *pb.Plan) {
		for _, s := range p.Steps[0].Slots[1:] {
			s.StartNanos = int64(5 * time.Second)
		}
	}},
}

func spanOf(d time.Duration) *pb.Span { return &pb.Span{Nanos: int64(d)} }

func measured(e *pb.Experiment) {
	e.Probes = map[string]*pb.Probe{"shop": {Every: spanOf(time.Second), Timeout: spanOf(time.Second), From: []string{"control"}}}
	e.SteadyState = &pb.SteadyState{Over: spanOf(5 * time.Second), All: []string{"shop.success > 0.9"}}
	e.Expect = []*pb.Expectation{{Name: "shoppers are served", Check: "shop.success > 0.9", During: []string{"dark"}}}
	e.Abort = []*pb.AbortRule{{Name: "really hurt", When: "shop.success < 0.4", For: spanOf(2 * time.Second)}}
	e.Revert = &pb.Revert{Timeout: spanOf(20 * time.Second), Verify: []string{"residue.count == 0", "shop.success > 0.9"}}
}

// unlessHurt is a schedule that leaves slots out.
func unlessHurt(e *pb.Experiment) {
	e.Probes = map[string]*pb.Probe{"shop": {Every: spanOf(time.Second), Timeout: spanOf(time.Second), From: []string{"control"}}}
	e.Schedule = &pb.Schedule{Every: "day at 10:00", Timezone: "UTC", SkipWhen: "shop.success < 0.9"}
}

func probed(p *pb.Plan) {
	p.Probes = []*pb.PlannedProbe{{
		Name: "shop", Hosts: []string{"b"},
		Probe: &pb.Probe{Every: spanOf(time.Second), Timeout: spanOf(time.Second)},
	}}
}

func planOf(hosts []string) *pb.Plan {
	const length, deadline = int64(10 * time.Second), int64(20 * time.Second)
	step := &pb.PlannedStep{
		Id: "dark.dns.fail", Phase: "dark", Target: "all", EndNanos: length,
		Fault: &pb.Fault{Kind: &pb.Fault_DnsFail{DnsFail: &pb.DNSFail{}}},
	}
	p := &pb.Plan{
		Experiment: "scene", Steps: []*pb.PlannedStep{step}, LengthNanos: length, DeadlineNanos: deadline,
		LeaseNanos: int64(10 * time.Second),
		Phases: []*pb.PlannedPhase{
			{Name: "dark", EndNanos: length}, {Name: "whole", StartNanos: length, EndNanos: length + int64(2*time.Second)},
		},
	}
	for i, h := range hosts {
		p.Hosts = append(p.Hosts, &pb.PlannedHost{Name: h, Zone: fmt.Sprintf("zone-%c", 'a'+i%3), Hit: true})
		step.Slots = append(step.Slots, &pb.HostSlot{Host: h, EndNanos: length, DeadlineNanos: deadline})
	}
	return p
}

func (w *world) lose(host string) {
	w.commit(&pb.Command{Kind: &pb.Command_UpdateHosts{UpdateHosts: &pb.UpdateHosts{
		Hosts: []*pb.HostUpdate{{Name: host, Session: 1}},
	}}})
}

func (w *world) comes(host, zone string) {
	w.commit(&pb.Command{Kind: &pb.Command_UpdateHosts{UpdateHosts: &pb.UpdateHosts{
		Hosts: []*pb.HostUpdate{{Name: host, Server: "s1", Session: 2, Host: &pb.Host{Name: host, Zone: zone}}},
	}}})
}

func (w *world) guard(g *pb.Guardrails) {
	w.commit(&pb.Command{Id: "guard", Kind: &pb.Command_SetGuardrails{SetGuardrails: &pb.SetGuardrails{Guardrails: g}}})
}

func (w *world) halt() {
	w.commit(&pb.Command{Id: "halt", Kind: &pb.Command_Halt{Halt: &pb.Halt{Id: "h", Reason: "smoke"}}})
}

func (w *world) undo() {
	w.commit(&pb.Command{Id: "undo", Kind: &pb.Command_EndRun{EndRun: &pb.EndRun{Run: "r", Cause: pb.EndCause_END_CAUSE_UNDO}}})
}

// stage sets a scene.
func stage(t *testing.T, s scene) *world {
	w := newWorld(t, s.hosts...)
	w.success = good
	if s.success != nil {
		w.success = s.success
	}
	e, p := &pb.Experiment{Version: 1, Name: "scene", Timeline: []*pb.Phase{{Phase: "dark"}, {Phase: "whole"}}}, planOf(s.hosts)
	if s.experiment != nil {
		s.experiment(e)
	}
	if s.plan != nil {
		s.plan(p)
	}
	if s.play != nil {
		s.play(w)
	}
	w.admit(e, p)
	return w
}

func TestRunGoesAsItsTraceSays(t *testing.T) {
	for name, s := range scenes {
		t.Run(name, func(t *testing.T) {
			w := stage(t, s)
			w.play()
			w.checkHosts()
			compare(t, filepath.Join("testdata", strings.ReplaceAll(name, " ", "-")+".txt"), w.trace.String())
		})
	}
}

func compare(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; run with -update and look at the change. got:\n%s", file, got)
	}
}

// checkHosts holds every host against the promises.
func (w *world) checkHosts() {
	w.t.Helper()
	for _, h := range w.hosts {
		for step, n := range h.injected {
			if n > 1 {
				w.t.Errorf("%s was injected %d times on %s", step, n, h.name)
			}
		}
		for step, s := range h.steps {
			if h.injected[step] > 0 && !state.Ended(s) && !h.isGone() {
				w.t.Errorf("%s on %s is %v although the run is done", step, h.name, s.GetState())
			}
		}
	}
}

// TestNewLeaderGoesOnWhereTheOldOneStopped kills the leader at each decision
// of each scene, before it leaves, after it was committed, and so that the
// next leader sends it again: the run comes to the same end.
func TestNewLeaderGoesOnWhereTheOldOneStopped(t *testing.T) {
	for name, s := range scenes {
		t.Run(name, func(t *testing.T) {
			whole := stage(t, s)
			whole.play()
			for _, how := range []accident{lost, silenced, repeated, delayed} {
				for at := range whole.decisions {
					w := stage(t, s)
					w.crash = func(decision int) accident {
						if decision == at+1 {
							return how
						}
						return none
					}
					w.play()
					w.checkHosts()
					w.sameEnd(whole, how, at+1)
				}
			}
		})
	}
}

func (w *world) sameEnd(whole *world, how accident, at int) {
	w.t.Helper()
	got, want := w.run(), whole.run()
	if got.GetVerdict() != want.GetVerdict() || got.GetEndCause() != want.GetEndCause() {
		w.t.Errorf("leader killed (%d) at decision %d: got %v by %v, want %v by %v\n%s", how, at,
			got.GetVerdict(), got.GetEndCause(), want.GetVerdict(), want.GetEndCause(), w.trace.String())
	}
}

// TestEveryLeaderDies kills the leader at every decision of one run.
func TestEveryLeaderDies(t *testing.T) {
	for _, name := range []string{"complete", "measured", "boot tokens", "never back"} {
		w := stage(t, scenes[name])
		w.crash = func(decision int) accident { return silenced }
		w.play()
		w.checkHosts()
		if got := w.run().GetVerdict(); got != pb.Verdict_VERDICT_PASS {
			t.Errorf("%s: the verdict is %v\n%s", name, got, w.trace.String())
		}
	}
}

func TestDecideIsPure(t *testing.T) {
	for name, s := range scenes {
		w := stage(t, s)
		for range 200 {
			v := w.m.View()
			a, b := Decide(w.now, v, "r"), Decide(w.now, v, "r")
			if len(a.Record) != len(b.Record) || !a.Wake.Equal(b.Wake) {
				t.Fatalf("%s: two decisions differ: %v, %v", name, a, b)
			}
			for i := range a.Record {
				if !proto.Equal(a.Record[i], b.Record[i]) {
					t.Fatalf("%s: two decisions differ: %v, %v", name, a.Record[i], b.Record[i])
				}
			}
			if !w.step() {
				break
			}
		}
	}
}

// step plays one event.
func (w *world) step() bool {
	w.lead()
	if len(w.queue) == 0 || w.run().GetState() == pb.RunState_RUN_STATE_DONE {
		return false
	}
	next := w.queue[0]
	w.queue, w.now = w.queue[1:], next.at
	next.do()
	return true
}

func TestUnknownRunNeedsNothing(t *testing.T) {
	if d := Decide(time.Unix(1, 0), state.New().View(), "nobody"); len(d.Record) != 0 || !d.Wake.IsZero() {
		t.Errorf("got %v", d)
	}
}
