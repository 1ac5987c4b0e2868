package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"squall/experiments/near"
	"squall/experiments/quantity"
	pb "squall/proto/squall/v1"
)

// probes says where every probe runs, and which hosts are counted: those of
// every target and role that a step or an expression names.
func (m *maker) probes() {
	for _, name := range slices.Sorted(maps.Keys(m.e.GetProbes())) {
		m.probe(name, m.e.GetProbes()[name])
	}
	counted := map[string]bool{}
	for _, s := range m.p.GetSteps() {
		counted[s.GetTarget()] = true
	}
	for _, name := range m.judge.Targets() {
		counted[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(counted)) {
		m.count("target/"+name, m.resolve(name), m.e.GetTargets()[name].GetWorkload())
	}
	for _, role := range m.judge.Roles() {
		m.countZones(role)
	}
	for i, x := range m.e.GetExpect() {
		m.hang(index("expect", i), x.GetCheck(), x.GetDuring())
	}
	for i, p := range m.e.GetProof() {
		m.hang(index("proof", i), p.GetCheck(), p.GetDuring())
	}
}

// countZones counts the hosts of a role's zones. One that is not connected would
// be no part of the count, and what is said of all hold without it.
func (m *maker) countZones(role string) {
	zones := m.e.GetZones()[role].GetZone()
	m.count("zone/"+role, m.inZones(zones), nil)
	for i, zone := range zones {
		if lost := m.lost(m.inZones([]string{zone})); len(lost) > 0 {
			m.problem(pb.Refusal_REFUSAL_ABSENT, index("zones."+role+".zone", i),
				some(lost)+" not connected, and an expression counts the hosts of "+quoted(role),
				"start the agent there, take it out for good with `squall forget host "+lost[0]+"`, or count a target that excludes it")
		}
	}
}

// hang refuses phases that are over before an attempt that hangs in them is: it
// counts where it ends, so that the phase shows none that failed so.
func (m *maker) hang(path, check string, during []string) {
	for _, name := range m.judge.ProbesIn(check) {
		timeout := m.e.GetProbes()[name].GetTimeout().GetNanos()
		for i, p := range m.p.GetPhases() {
			lasts := p.GetEndNanos() - p.GetStartNanos()
			if !slices.Contains(during, p.GetName()) || lasts >= timeout+int64(time.Second) {
				continue
			}
			m.problem(pb.Refusal_REFUSAL_INVALID, path+".during", fmt.Sprintf("phase %s lasts %s, and an attempt of %s up to %s: one that hangs counts in none of its seconds",
				quoted(m.e.Timeline[i].GetPhase()), quantity.FormatSpan(lasts), name, quantity.FormatSpan(timeout)),
				fmt.Sprintf("give the probe a shorter timeout, or the phase `at_least: %s`", quantity.FormatSpan(timeout+int64(time.Second))))
		}
	}
}

func (m *maker) probe(name string, p *pb.Probe) {
	planned := &pb.PlannedProbe{Name: name, Probe: p}
	hosts, before := map[string]bool{}, len(m.p.GetProblems())
	for i, from := range p.GetFrom() {
		if from == "control" {
			planned.Control = true
			continue
		}
		for _, host := range m.from(index("probes."+name+".from", i), from) {
			hosts[host] = true
		}
	}
	planned.Hosts = m.heard("probes."+name, slices.Sorted(maps.Keys(hosts)))
	if len(planned.GetHosts()) == 0 && !planned.GetControl() && len(m.p.GetProblems()) == before {
		m.problem(pb.Refusal_REFUSAL_EMPTY_TARGET, "probes."+name+".from", "probe "+quoted(name)+" runs nowhere", "name a target, a role, a zone, or control")
	}
	if p.GetExec() != nil {
		m.commands("probes."+name+".exec", p.GetExec().GetArgv(), planned.GetHosts())
	}
	m.p.Probes = append(m.p.Probes, planned)
}

// commands wants the command of an exec probe in the config of every host that runs it.
func (m *maker) commands(path string, argv, hosts []string) {
	var lack []string
	for _, host := range hosts {
		if len(argv) != 1 || !slices.Contains(m.hosts[host].GetCommands(), argv[0]) {
			lack = append(lack, host)
		}
	}
	if len(lack) > 0 {
		m.problem(pb.Refusal_REFUSAL_HOST, path, some(lack)+" without command "+quoted(strings.Join(argv, " ")),
			"list it under `commands` in the host's config, or run the probe elsewhere")
	}
}

// from resolves a place to run at: a target, a role of zones, or a zone.
func (m *maker) from(path, name string) []string {
	if t, ok := m.e.GetTargets()[name]; ok {
		return m.observers(name, t)
	}
	if role, ok := m.e.GetZones()[name]; ok {
		return m.inZones(role.GetZone())
	}
	if slices.Contains(m.zones, name) {
		return m.inZones([]string{name})
	}
	known := slices.Concat(m.zones, slices.Collect(maps.Keys(m.e.GetTargets())), slices.Collect(maps.Keys(m.e.GetZones())), []string{"control"})
	m.problem(pb.Refusal_REFUSAL_UNKNOWN, path, "there is no target, role or zone "+quoted(name), near.Fix(name, "target, role or zone", known))
	return nil
}

// observers are the hosts of a target that a probe runs on. Probes touch
// nothing, so that protection does not matter, unless faults use it too.
func (m *maker) observers(name string, t *pb.Target) []string {
	if hosts, ok := m.targets[name]; ok {
		return hosts
	}
	hosts := m.pick("targets."+name, name, t, m.selected("targets."+name, t))
	return hosts
}

// inZones are the hosts of some zones, but for those of the control plane.
func (m *maker) inZones(zones []string) []string {
	var found []string
	for _, name := range m.sorted {
		if h := m.hosts[name]; slices.Contains(zones, h.GetZone()) && !isServer(h, nil) {
			found = append(found, name)
		}
	}
	return found
}

// heard leaves out hosts that are not connected, and says so.
func (m *maker) heard(path string, hosts []string) []string {
	lost := m.lost(hosts)
	if len(lost) > 0 {
		m.warn(path, some(lost)+" not connected: no readings from there", "")
	}
	return slices.DeleteFunc(slices.Clone(hosts), func(name string) bool { return slices.Contains(lost, name) })
}

// lost are those of some hosts that are not connected.
func (m *maker) lost(hosts []string) []string {
	return slices.DeleteFunc(slices.Clone(hosts), func(name string) bool {
		return m.hosts[name].GetPresence() != pb.Presence_PRESENCE_LOST
	})
}

func (m *maker) count(name string, hosts, workloads []string) {
	kept := m.heard("", hosts)
	m.p.Probes = append(m.p.Probes, &pb.PlannedProbe{Name: name, Hosts: kept, Workload: workloads})
	if len(kept) == 0 && len(m.p.GetProblems()) == 0 { // else why there is none is told already
		m.problem(pb.Refusal_REFUSAL_EMPTY_TARGET, "", fmt.Sprintf("there is no host to count for %s", quoted(name)), "name zones and targets with hosts")
	}
}
