package plan_test

import (
	"fmt"
	"strings"
	"testing"

	"squall/experiments"
	"squall/experiments/plan"
	pb "squall/proto/squall/v1"
)

const t0 = int64(1000e9)

// running is a run of a plan that fired at t0.
func running(t *testing.T, id, text string, hosts []*pb.Host) plan.Active {
	t.Helper()
	p, e := planned(t, text, plan.World{Hosts: hosts})
	if len(p.GetProblems()) > 0 {
		t.Fatal(experiments.Problems(p.GetProblems()).Error())
	}
	return plan.Active{Run: id, Plan: p, Guardrails: e.GetGuardrails(), T0UnixNanos: t0}
}

// admission judges an experiment five seconds after t0 and joins what it says.
func admission(t *testing.T, text string, w plan.World) string {
	t.Helper()
	if w.Hosts == nil {
		w.Hosts = region()
	}
	p, e := planned(t, text, plan.World{Hosts: w.Hosts, Command: w.Command})
	if w.NowUnixNanos == 0 {
		w.NowUnixNanos = t0 + 5e9
	}
	var said []string
	for _, problem := range plan.Admissible(p, e, w) {
		said = append(said, problem.GetMessage())
	}
	return strings.Join(said, "\n")
}

const plainDark = "dns.fail: { target: it, for: 30s }"

func TestGuardrailsOfAHeldRunStandAgainstNewOnes(t *testing.T) {
	for _, c := range []struct{ name, held, fresh, says string }{
		{"max_zones", with("max_zones: 1", "zone: zone-a", plainDark), with("", "zone: zone-b", plainDark), "guardrail max_zones of run held: 2 zones with a fault at one time, and at most 1"},
		{"max_hosts as a count", with("max_hosts: 3", "zone: zone-a", plainDark), with("", "host: web-b1", plainDark), "guardrail max_hosts of run held: 4 hosts"},
		{"max_hosts as a share", with("max_hosts: 40%", "zone: zone-a", plainDark), with("", "host: web-b1", plainDark), "guardrail max_hosts of run held: 4 of 9 (44%)"},
		{"keep", with("keep: { role: db, count: 2 }", "zone: zone-a", plainDark), with("", "host: db-b3", plainDark), "guardrail keep of run held: only 1 connected hosts of role db"},
		{"the same zone again", with("max_zones: 1", "host: web-a1", plainDark), with("max_zones: 1", "host: web-a2", plainDark), ""},
		{"each by the limits of one that rolls", rolling, with("", "host: db-c3, workload: db", plainDark), "guardrail max_zones of run held: 2 zones"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := admission(t, c.fresh, plan.World{Active: []plan.Active{running(t, "held", c.held, region())}})
			if c.says == "" && got != "" || !strings.Contains(got, c.says) {
				t.Errorf("says %q", got)
			}
		})
	}
}

// elsewhere is the region with a second environment, of other hosts in the same zones.
func elsewhere() []*pb.Host {
	hosts := region()
	for _, h := range region() {
		h.Name, h.Environment = "prod-"+h.GetName(), "prod"
		hosts = append(hosts, h)
	}
	return hosts
}

func TestRunsOfOtherEnvironmentsDoNotCount(t *testing.T) {
	w := plan.World{Hosts: elsewhere(), Active: []plan.Active{
		running(t, "held", with("max_zones: 1", "zone: zone-a, exclude: { host: [prod-web-a1, prod-web-a2, prod-db-a3] }", plainDark), elsewhere()),
	}}
	if got := admission(t, with("max_zones: 1", "host: prod-web-b1", plainDark), w); got != "" {
		t.Errorf("refused by a run in another environment: %s", got)
	}
	cluster := w
	cluster.Guardrails = &pb.Guardrails{MaxHosts: &pb.Amount{Of: &pb.Amount_Share{Share: &pb.Share{Ppm: 400_000}}}}
	cluster.Active = nil
	const most = "host: [prod-web-a1, prod-web-a2, prod-db-a3, prod-web-b1, prod-web-b2, web-a1]"
	if got := admission(t, with("", most, plainDark), cluster); !strings.Contains(got, "guardrail max_hosts of the cluster: 5 of 9 (55%)") {
		t.Errorf("five of nine hosts of production, diluted by the lab: %q", got)
	}
}

func TestUnknownHostsCountAsHurtUntilTheirDeadline(t *testing.T) {
	held := running(t, "held", with("max_zones: 1", "zone: zone-a", plainDark), region())
	held.Done = true
	step := held.Plan.GetSteps()[0]
	held.Over = func(on plan.On) bool { return on.Host != "web-a1" } // the only one not heard from
	other := with("max_zones: 1", "zone: zone-b", plainDark)
	same := with("", "host: web-a1", plainDark)
	came := with("", "host: web-a2", plainDark)
	after := t0 + step.GetSlots()[0].GetDeadlineNanos()
	for _, c := range []struct {
		name, text, says string
		now              int64
		over             func(plan.On) bool
	}{
		{"another zone", other, "2 zones with a fault at one time", after - 1, held.Over},
		{"another zone, after the deadline", other, "", after, held.Over},
		{"another zone, all heard from", other, "", after - 1, func(plan.On) bool { return true }},
		{"what it may still hold", same, "which run held may still hold", after - 1, held.Over},
		{"what it may still hold, after the deadline", same, "", after, held.Over},
		{"what was given back", came, "", after - 1, held.Over},
	} {
		t.Run(c.name, func(t *testing.T) {
			held.Over = c.over
			got := admission(t, c.text, plan.World{Active: []plan.Active{held}, NowUnixNanos: c.now})
			if c.says == "" && got != "" || !strings.Contains(got, c.says) {
				t.Errorf("says %q", got)
			}
		})
	}
}

// ghosts are hosts that were lost long ago.
func ghosts(n int) []*pb.Host {
	hosts := region()
	for i := range n {
		hosts = append(hosts, &pb.Host{
			Name: fmt.Sprintf("ghost-%d", i), Zone: fmt.Sprintf("gone-%d", i), Environment: "lab", Role: []string{"db"},
			Workloads: []*pb.HostWorkload{{Name: "web"}}, Presence: pb.Presence_PRESENCE_LOST,
		})
	}
	return hosts
}

func street(workload, role string) []*pb.Host {
	h := &pb.Host{Name: "shopper-1", Zone: "street", Environment: "lab", Role: []string{"walker"}}
	if workload != "" {
		h.Workloads = []*pb.HostWorkload{{Name: workload, Role: role}}
	}
	return append(region(), h)
}

func TestSharesAreOfHostsThatServeAndAreThere(t *testing.T) {
	const everywhere, six = "zone: [zone-a, zone-b, zone-c], role: db", "host: [web-a1, web-a2, db-a3, web-b1, web-b2, db-b3]"
	for _, c := range []struct {
		name, text, says string
		hosts            []*pb.Host
	}{
		{"lost hosts do not dilute a share", with("max_hosts: 40%", six, plainDark), "max_hosts: 6 of 9 (66%)", ghosts(30)},
		{"lost zones do not survive", with("", everywhere, plainDark), "allow_region_wide: all 3 zones", ghosts(2)},
		{"lost hosts of a role are not kept", with("keep: { role: db, count: 3 }", "host: db-a3", plainDark), "only 2 connected hosts of role db", ghosts(9)},
		{"a street without workloads does not survive", with("", everywhere, plainDark), "allow_region_wide: all 3 zones", street("", "")},
		{"a street of customers does not survive", with("", everywhere, plainDark), "allow_region_wide: all 3 zones", street("shopper", "client")},
		{"customers do not dilute a share", with("max_hosts: 66%", six, plainDark), "max_hosts: 6 of 9 (66%)", street("shopper", "client")},
		{"a street that serves survives", with("", everywhere, plainDark), "", street("kiosk", "web")},
		{"a street that is hit counts", with("max_hosts: 10%", "host: shopper-1", plainDark), "", street("shopper", "client")},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := admission(t, c.text, plan.World{Hosts: c.hosts})
			if c.says == "" && got != "" || !strings.Contains(got, c.says) {
				t.Errorf("says %q", got)
			}
		})
	}
}

// withServers is the region with a control server in each zone.
func withServers() []*pb.Host {
	hosts := region()
	for _, zone := range []string{"a", "b", "c"} {
		hosts = append(hosts, &pb.Host{
			Name: "server-" + zone, Zone: "zone-" + zone, Environment: "lab", Role: []string{"squall-server"},
			Workloads: []*pb.HostWorkload{{Name: "server", Role: "squall-server"}, {Name: "web", Role: "web"}},
		})
	}
	return hosts
}

func TestServersAreNoTargetUnlessAFileNamesTheirRole(t *testing.T) {
	one, all := "zone: zone-a, role: squall-server", "role: squall-server"
	held := running(t, "held", with("", one, plainDark), withServers())
	for _, c := range []struct {
		name, text, says string
		command          bool
		active           []plan.Active
	}{
		{"a command names the role", with("", one, plainDark), "server-a is part of the control plane, and only a file may aim at those", true, nil},
		{"a command names the host", with("", "host: server-a", plainDark), "server-a can't be touched: it runs the control plane, and only a file", true, nil},
		{"a file names the host", with("", "host: server-a", plainDark), "server-a can't be touched: it runs the control plane, and the target does not name the role", false, nil},
		{"a file names the role", with("", one, plainDark), "", false, nil},
		{"a file names most of them", with("allow_region_wide: true", all, plainDark), "only 0 of 3 control servers stay untouched", false, nil},
		{"a file names one, another run has one", with("", "zone: zone-b, role: squall-server", plainDark), "only 1 of 3 control servers stay untouched, with run held", false, []plan.Active{held}},
		{"a workload beside the server", with("", "host: server-a, workload: web", plainDark), "", true, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, _ := planned(t, c.text, plan.World{Hosts: withServers(), Command: c.command, Active: c.active, NowUnixNanos: t0 + 5e9})
			got := experiments.Problems(p.GetProblems()).Error()
			if c.says == "" && len(p.GetProblems()) > 0 || !strings.Contains(got, c.says) {
				t.Errorf("says %q", got)
			}
		})
	}
}

func TestAdmissionKnowsServersWhateverThePlanSays(t *testing.T) {
	p, e := planned(t, with("", "zone: zone-a, role: squall-server", plainDark), plan.World{Hosts: withServers()})
	said := func(e *pb.Experiment, command bool) string {
		return fmt.Sprint(plan.Admissible(p, e, plan.World{Hosts: withServers(), Command: command}))
	}
	if got := said(e, false); got != "[]" {
		t.Errorf("a file that names them: %s", got)
	}
	if got := said(e, true); !strings.Contains(got, "only a file may aim") {
		t.Errorf("a command: %s", got)
	}
	e.Targets["it"].Role = nil
	if got := said(e, false); !strings.Contains(got, "does not name the role") {
		t.Errorf("a file that does not: %s", got)
	}
}

func TestCountsNeverShrinkAndSharesRoundDown(t *testing.T) {
	const never = "power.off: { target: it, for: 30s, back: { never: %s } }"
	for _, c := range []struct {
		name, target, fault, says string
		hosts                     int
	}{
		{"a count of more than there are", "host: web-a1, pick: 5", dark, "pick: 5 hosts are asked for, and there are 1", 1},
		{"a share rounds down", "zone: zone-a, pick: 34%", dark, "", 1},
		{"a share of none", "host: web-a1, pick: 34%", dark, "pick: 34% of 1 hosts is none, since shares round down", 0},
		{"more that never return than there are", "zone: zone-a", fmt.Sprintf(never, "4"), "never: 4 hosts are asked for, and there are 3", 3},
		{"a share that never returns of none", "zone: zone-a", fmt.Sprintf(never, "10%"), "never: 10% of 3 hosts is none", 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, _ := planned(t, with("", c.target, c.fault), plan.World{})
			got := experiments.Problems(p.GetProblems()).Error()
			if c.says == "" && len(p.GetProblems()) > 0 || !strings.Contains(got, c.says) || len(p.GetProblems()) > 1 {
				t.Errorf("says %q", got)
			}
			if len(p.GetSteps()) == 1 && len(p.GetSteps()[0].GetSlots()) != c.hosts {
				t.Errorf("hits %v", p.GetSteps()[0].GetSlots())
			}
		})
	}
}
