package fault_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"squall/agent/fault"
	"squall/agent/host"
	kind "squall/experiments/fault"
	pb "squall/proto/squall/v1"
)

var update = flag.Bool("update", false, "write the golden files anew")

func facts() *pb.Facts {
	return &pb.Facts{
		Config: &pb.HostConfig{Name: "web-a1", Zone: "zone-a", MaxHold: &pb.Span{Nanos: int64(24 * time.Hour)}},
		Workloads: []*pb.WorkloadFacts{
			{Name: "web", Cgroup: "squall/web", Ports: []uint32{8443, 8080}, CanStart: true, Runs: true},
			{Name: "db", Cgroup: "squall/db", Ports: []uint32{5432, 8080}, CanStart: true, Runs: true},
			{Name: "batch", Cgroup: "squall/batch", Runs: true},
			{Name: "sentry", Cgroup: "squall/sentry", CanStart: true, Protect: true},
		},
		Exempt: &pb.Exempt{Mark: 7, Servers: []string{"10.0.0.1:7000"}},
	}
}

func step(task *pb.Task) *fault.Step {
	task.Run, task.Step = "r1", "dark.fault"
	return &fault.Step{Task: task, Start: 100 * time.Second, End: 160 * time.Second, Deadline: 300 * time.Second}
}

func powerOff(p *pb.PowerOff, workload ...string) *pb.Task {
	return &pb.Task{Fault: &pb.Fault{Kind: &pb.Fault_PowerOff{PowerOff: p}}, Workload: workload}
}

func dnsFail(p *pb.DNSFail, workload ...string) *pb.Task {
	return &pb.Task{Fault: &pb.Fault{Kind: &pb.Fault_DnsFail{DnsFail: p}}, Workload: workload, Seed: 91}
}

func netDelay(p *pb.NetDelay, workload ...string) *pb.Task {
	p.Delay = &pb.Span{Nanos: 40e6}
	return &pb.Task{Fault: &pb.Fault{Kind: &pb.Fault_NetDelay{NetDelay: p}}, Workload: workload}
}

func freeze(workload ...string) *pb.Task {
	return &pb.Task{Fault: &pb.Fault{Kind: &pb.Fault_ProcessFreeze{ProcessFreeze: &pb.ProcessFreeze{}}}, Workload: workload}
}

// none is a way back that starts nothing: the batch workload has no other.
var none = &pb.WayBack{Start: pb.BackStart_BACK_START_NONE}

func TestPlansReadAsTheyDid(t *testing.T) {
	token := powerOff(&pb.PowerOff{}, "web")
	token.NeedsToken = true
	hold := dnsFail(&pb.DNSFail{})
	hold.HoldWithoutLease = true
	for name, c := range map[string]*fault.Step{
		"power.off.host":          step(powerOff(&pb.PowerOff{Back: none})),
		"power.off.l2":            step(powerOff(&pb.PowerOff{Back: none, L2: true})),
		"power.off.workload":      step(powerOff(&pb.PowerOff{}, "web", "db")),
		"power.off.idle":          step(powerOff(&pb.PowerOff{}, "web", "db")),
		"power.off.token":         step(token),
		"dns.fail.host":           step(dnsFail(&pb.DNSFail{})),
		"dns.fail.workload":       step(dnsFail(&pb.DNSFail{Share: &pb.Ramp{Unit: pb.Unit_UNIT_SHARE, From: 300_000, To: 300_000}}, "web")),
		"net.delay.all":           step(netDelay(&pb.NetDelay{})),
		"process.freeze.host":     step(freeze()),
		"process.freeze.workload": step(freeze("web")),
		"net.delay.peers": {
			Task: step(netDelay(&pb.NetDelay{To: &pb.Peers{}, Direction: pb.Direction_DIRECTION_BOTH})).Task,
			End:  time.Second, Prefixes: []string{"10.0.2.0/24", "fd00:2::/64"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := facts()
			f.Config.AllowHold = true
			f.Workloads[1].Runs = !strings.HasSuffix(name, ".idle")
			for _, w := range f.GetWorkloads() {
				if !c.NeedsPorts() { // then nobody looks for them
					w.Ports = nil
				}
			}
			changes, err := fault.Plan(f, c)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name, render(t, changes))
		})
	}
}

// render is the plan for people, then the operations for the kernel.
func render(t *testing.T, changes []*pb.Change) string {
	t.Helper()
	var b strings.Builder
	for _, line := range host.Describe(changes) {
		b.WriteString(line + "\n")
	}
	for _, c := range changes {
		text, err := protojson.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		// protojson varies its spaces on purpose.
		b.WriteString("\n" + strings.ReplaceAll(string(text), " ", ""))
	}
	return b.String() + "\n"
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s reads\n%s\nwant\n%s", name, got, want)
	}
}

// The host has the last word, and says which.
// TestOnlyAWholeHostForgets: a workload that loses its power does not take the
// host's memory with it.
func TestOnlyAWholeHostForgets(t *testing.T) {
	f := facts()
	f.Config.Volatile = []string{"/tmp", "/run"}
	for name, task := range map[string]*pb.Task{
		"[/tmp /run]": powerOff(&pb.PowerOff{Back: none}),
		"[]":          powerOff(&pb.PowerOff{}, "web"),
	} {
		changes, err := fault.Plan(f, step(task))
		if err != nil {
			t.Fatal(err)
		}
		kill := changes[len(changes)-1].GetDo().GetKillWorkloads()
		if kill == nil || fmt.Sprint(kill.GetVolatile()) != name {
			t.Errorf("it empties %v, want %s", kill.GetVolatile(), name)
		}
	}
}

func TestHostRefusesAndSaysWhy(t *testing.T) {
	never := facts()
	never.Config.Squall = pb.SquallPolicy_SQUALL_POLICY_NEVER
	refuses := facts()
	refuses.Config.Refuse = []string{"dns.fail"}
	old := facts()
	old.Abilities = []*pb.Ability{{
		Name: "dns.drop", State: pb.AbilityState_ABILITY_STATE_MISSING, Detail: "the kernel has no tcx (needs 6.6)",
	}}
	short := facts()
	short.Config.MaxHold = &pb.Span{Nanos: int64(time.Minute) - 1}
	waiting := facts()
	waiting.Config.MaxHold = &pb.Span{Nanos: int64(time.Minute)}
	token := dnsFail(&pb.DNSFail{})
	token.NeedsToken = true
	holding := dnsFail(&pb.DNSFail{})
	holding.HoldWithoutLease = true
	for _, c := range []struct {
		facts *pb.Facts
		task  *pb.Task
		why   pb.Refusal
		text  string
	}{
		{never, dnsFail(&pb.DNSFail{}), pb.Refusal_REFUSAL_HOST, "squall: never"},
		{refuses, dnsFail(&pb.DNSFail{}), pb.Refusal_REFUSAL_HOST, "refuses dns.fail in its config"},
		{old, dnsFail(&pb.DNSFail{}), pb.Refusal_REFUSAL_HOST, "the kernel has no tcx (needs 6.6)"},
		{short, dnsFail(&pb.DNSFail{}), pb.Refusal_REFUSAL_HOST, "at most 59.999999999s, and this one lasts 1m0s"},
		{waiting, token, pb.Refusal_REFUSAL_HOST, "at most 1m0s, and this one lasts"},
		{facts(), holding, pb.Refusal_REFUSAL_HOST, "lost_contact: hold"},
		{facts(), powerOff(&pb.PowerOff{}), pb.Refusal_REFUSAL_NO_WAY_BACK, "workload batch on host web-a1 has no way back"},
		{facts(), powerOff(&pb.PowerOff{}, "sentry"), pb.Refusal_REFUSAL_HOST, "workload sentry on host web-a1 is protected"},
		{facts(), powerOff(&pb.PowerOff{}, "wbe"), pb.Refusal_REFUSAL_UNKNOWN, `no workload "wbe"`},
		{facts(), powerOff(&pb.PowerOff{Mode: pb.PowerMode_POWER_MODE_RESET}), pb.Refusal_REFUSAL_UNSUPPORTED, "no power.off mode reset"},
		{facts(), powerOff(&pb.PowerOff{Undeclared: pb.Undeclared_UNDECLARED_KILL}), pb.Refusal_REFUSAL_HOST, "undeclared: kill"},
		{facts(), powerOff(&pb.PowerOff{Undeclared: pb.Undeclared_UNDECLARED_KILL}, "web"), pb.Refusal_REFUSAL_INVALID, "names workloads"},
		{facts(), dnsFail(&pb.DNSFail{Names: []string{"a.test"}}), pb.Refusal_REFUSAL_UNSUPPORTED, "no dns.fail for single names"},
		{facts(), dnsFail(&pb.DNSFail{Answer: &pb.AnswerMix{Servfail: &pb.Share{Ppm: 1e6}}}), pb.Refusal_REFUSAL_UNSUPPORTED, "no dns.fail answer servfail"},
		{facts(), dnsFail(&pb.DNSFail{}, "sentry"), pb.Refusal_REFUSAL_HOST, "workload sentry on host web-a1 is protected"},
		{facts(), netDelay(&pb.NetDelay{}, "web"), pb.Refusal_REFUSAL_UNSUPPORTED, "net.delay can't be narrowed to a workload"},
		{facts(), &pb.Task{Fault: &pb.Fault{Kind: &pb.Fault_NetDelay{NetDelay: &pb.NetDelay{}}}}, pb.Refusal_REFUSAL_INVALID, `"delay" is missing`},
		{facts(), netDelay(&pb.NetDelay{To: &pb.Peers{Zone: []string{"x"}}}), pb.Refusal_REFUSAL_EMPTY_TARGET, "has no peer"},
		{facts(), &pb.Task{Fault: &pb.Fault{Kind: &pb.Fault_DiskStall{DiskStall: &pb.DiskStall{}}}}, pb.Refusal_REFUSAL_UNSUPPORTED, "can't inject disk.stall"},
		{facts(), freeze("sentry"), pb.Refusal_REFUSAL_HOST, "workload sentry on host web-a1 is protected"},
		{&pb.Facts{Config: facts().GetConfig()}, freeze(), pb.Refusal_REFUSAL_EMPTY_TARGET, "has no workload to freeze"},
		{facts(), &pb.Task{}, pb.Refusal_REFUSAL_INVALID, "no fault"},
		{around("web"), powerOff(&pb.PowerOff{}, "web"), pb.Refusal_REFUSAL_HOST, "workload web on host web-a1 has the protected workload sentry in its cgroup squall/web"},
		{around("web"), powerOff(&pb.PowerOff{Back: none}), pb.Refusal_REFUSAL_HOST, "has the protected workload sentry in its cgroup"},
		{around("web"), freeze(), pb.Refusal_REFUSAL_HOST, "has the protected workload sentry in its cgroup"},
		{around("web"), dnsFail(&pb.DNSFail{}, "web"), pb.Refusal_REFUSAL_HOST, "has the protected workload sentry in its cgroup"},
		{aroundServer("web"), powerOff(&pb.PowerOff{}, "web"), pb.Refusal_REFUSAL_HOST, "workload web on host web-a1 has the control server db in its cgroup squall/web"},
		{aroundServer("web"), freeze("web"), pb.Refusal_REFUSAL_HOST, "has the control server db in its cgroup"},
		{aroundServer("web"), dnsFail(&pb.DNSFail{}, "batch", "web"), pb.Refusal_REFUSAL_HOST, "has the control server db in its cgroup"},
		{contained("web"), powerOff(&pb.PowerOff{}, "web"), pb.Refusal_REFUSAL_UNSUPPORTED, "workload web on host web-a1 is in a network namespace of its own"},
		{contained("web"), dnsFail(&pb.DNSFail{}, "db", "web"), pb.Refusal_REFUSAL_UNSUPPORTED, "workload web on host web-a1 is in a network namespace of its own"},
		{unresolved("web"), powerOff(&pb.PowerOff{}, "web"), pb.Refusal_REFUSAL_HOST, "can't tell where workload web runs: no answer"},
		{unresolved("web"), dnsFail(&pb.DNSFail{}, "web"), pb.Refusal_REFUSAL_HOST, "can't tell where workload web runs"},
		{unresolved("db"), freeze(), pb.Refusal_REFUSAL_HOST, "can't tell where workload db runs"},
		{undeclared(unresolved("sentry")), powerOff(&pb.PowerOff{Undeclared: pb.Undeclared_UNDECLARED_KILL, Back: none}), pb.Refusal_REFUSAL_HOST, "can't tell where workload sentry runs"},
		{absent("web", false), powerOff(&pb.PowerOff{}, "web"), pb.Refusal_REFUSAL_HOST, "there is no cgroup squall/web"},
		{absent("web", false), dnsFail(&pb.DNSFail{}, "web"), pb.Refusal_REFUSAL_HOST, "there is no cgroup squall/web"},
		{absent("web", false), freeze("web"), pb.Refusal_REFUSAL_HOST, "there is no cgroup squall/web"},
	} {
		changes, err := fault.Plan(c.facts, step(c.task))
		var refused *fault.Refused
		if !errors.As(err, &refused) {
			t.Errorf("%q: planned %v, error %v", c.text, changes, err)
			continue
		}
		if refused.Problem.GetRefusal() != c.why || !strings.Contains(err.Error(), c.text) {
			t.Errorf("want %s %q, got %s %q", c.why, c.text, refused.Problem.GetRefusal(), err)
		}
		if refused.Problem.GetFix() == "" {
			t.Errorf("%q comes without a fix", c.text)
		}
	}
}

// around is a host where the protected workload is in another's cgroup.
func around(name string) *pb.Facts {
	f := facts()
	f.Workloads[3].Cgroup = "squall/" + name + "/sentry"
	return f
}

// aroundServer is a host where a control server is in another's cgroup.
func aroundServer(name string) *pb.Facts {
	f := facts()
	f.Workloads[1].Cgroup = "squall/" + name + "/db"
	f.Config.Workloads = []*pb.Workload{{Name: "db", Role: "squall-server"}}
	return f
}

// TestServersAreHitWhereTheyAreAimedAt: whole hosts, or workloads that name the
// server itself, are what servers have admitted.
func TestServersAreHitWhereTheyAreAimedAt(t *testing.T) {
	for _, task := range []*pb.Task{powerOff(&pb.PowerOff{Back: none}), freeze(), freeze("web", "db"), freeze("db"), freeze("batch")} {
		if _, err := fault.Plan(aroundServer("web"), step(task)); err != nil {
			t.Errorf("%v: %v", task, err)
		}
	}
}

// contained is a host where a workload has a network of its own.
func contained(name string) *pb.Facts {
	f := facts()
	for _, w := range f.GetWorkloads() {
		if w.GetName() == name {
			w.NetNamespace = []uint64{4026532000}
		}
	}
	return f
}

// What is no fault of a workload's own network does not ask for it.
func TestContainedWorkloadFallsWithItsHost(t *testing.T) {
	for _, task := range []*pb.Task{
		powerOff(&pb.PowerOff{Back: none}), powerOff(&pb.PowerOff{}, "db"), dnsFail(&pb.DNSFail{}), freeze("web"),
	} {
		if _, err := fault.Plan(contained("web"), step(task)); err != nil {
			t.Errorf("%v: %v", task, err)
		}
	}
}

// unresolved is a host that can't tell where a workload runs.
func unresolved(name string) *pb.Facts {
	f := facts()
	for _, w := range f.GetWorkloads() {
		if w.GetName() == name {
			w.Unresolved, w.Cgroup, w.Runs = "no answer", "", false
		}
	}
	return f
}

// undeclared lets everything on a host die.
func undeclared(f *pb.Facts) *pb.Facts {
	f.Config.AllowUndeclaredKill = true
	return f
}

// absent is a host where a workload has no cgroup now.
func absent(name string, runs bool) *pb.Facts {
	f := facts()
	for _, w := range f.GetWorkloads() {
		if w.GetName() == name {
			w.Absent, w.Runs = true, runs
		}
	}
	return f
}

// One workload that can't be resolved keeps faults from no other, and not from
// the host's network.
func TestUnresolvedWorkloadIsItsOwnMatter(t *testing.T) {
	for _, task := range []*pb.Task{
		powerOff(&pb.PowerOff{}, "db"), dnsFail(&pb.DNSFail{}), dnsFail(&pb.DNSFail{}, "db"), netDelay(&pb.NetDelay{}), freeze("db"),
	} {
		if _, err := fault.Plan(unresolved("web"), step(task)); err != nil {
			t.Errorf("%v: %v", task, err)
		}
	}
}

// What has no cgroup is not killed; it is held down all the same, and started
// afterwards where its unit was about to start it.
func TestAbsentWorkloadIsNotKilled(t *testing.T) {
	for runs, want := range map[bool]string{true: "[web db]", false: "[db]"} {
		f := absent("web", runs)
		f.Workloads = f.Workloads[:2]
		changes, err := fault.Plan(f, step(powerOff(&pb.PowerOff{})))
		if err != nil {
			t.Fatal(err)
		}
		back, hold, kill := changes[0].GetUndo(), changes[1].GetDo(), changes[3].GetDo()
		if got := fmt.Sprint(back.GetStartWorkloads().GetWorkload()); got != want {
			t.Errorf("it starts %s, want %s", got, want)
		}
		if got := fmt.Sprint(hold.GetHoldDown().GetCgroups()); got != "[squall/web squall/db]" {
			t.Errorf("it holds down %s", got)
		}
		if got := fmt.Sprint(kill.GetKillWorkloads().GetWorkload()); got != "[db]" {
			t.Errorf("it kills %s", got)
		}
	}
}

// What has no cgroup is frozen when it comes, and undone by name; where there is
// nothing but that, there is nothing to freeze.
func TestAbsentWorkloadIsFrozenWhenItComes(t *testing.T) {
	for runs, names := range map[bool][]string{true: {"web"}, false: nil} {
		f := absent("web", runs)
		f.Workloads = f.Workloads[:2]
		changes, err := fault.Plan(f, step(freeze(names...)))
		if err != nil {
			t.Fatal(err)
		}
		do, undo := changes[0].GetDo().GetFreeze().GetCgroups(), changes[0].GetUndo().GetDetach().GetCgroups()
		if !slices.Contains(do, "squall/web") || !slices.Equal(do, undo) {
			t.Errorf("it freezes %v, and its undo names %v", do, undo)
		}
		f.Workloads = f.Workloads[:1]
		if _, err := fault.Plan(f, step(freeze())); (err == nil) != runs {
			t.Errorf("runs %t: nothing else is there, and %v", runs, err)
		}
	}
}

// Every kind that the language offers has its planner and a golden file; what
// it does not offer is refused as one that this build lacks.
func TestEveryFaultIsPlannedOrRefused(t *testing.T) {
	golden, err := filepath.Glob("testdata/*.golden")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range kind.All() {
		f, _ := kind.New(name)
		_, err := fault.Plan(facts(), step(&pb.Task{Fault: f, Workload: []string{"web"}}))
		lacking := err != nil && strings.Contains(err.Error(), "this build can't inject "+name)
		if offered := kind.ByName(name) != nil; offered == lacking {
			t.Errorf("%s: offered %t, planned with %v", name, offered, err)
		}
		shown := slices.ContainsFunc(golden, func(file string) bool { return strings.HasPrefix(filepath.Base(file), name+".") })
		if kind.ByName(name) != nil && !shown {
			t.Errorf("%s has no golden file", name)
		}
	}
}

// Each operation's undo takes back what it did: same tag, or a start for a kill.
func TestEveryOperationHasItsUndo(t *testing.T) {
	for _, task := range []*pb.Task{powerOff(&pb.PowerOff{}, "web"), dnsFail(&pb.DNSFail{}), netDelay(&pb.NetDelay{})} {
		changes, err := fault.Plan(facts(), step(task))
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range changes {
			if c.GetDo().GetTag() != c.GetUndo().GetTag() || c.GetDo().GetTag() != "" && c.GetUndo().GetDetach() == nil {
				t.Errorf("%v is undone by %v", c.GetDo(), c.GetUndo())
			}
		}
	}
}
