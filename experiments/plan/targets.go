package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"squall/experiments/near"
	"squall/experiments/quantity"
	pb "squall/proto/squall/v1"
)

// resolve gives the hosts that a target's faults touch, sorted by name.
func (m *maker) resolve(name string) []string {
	if hosts, ok := m.targets[name]; ok {
		return hosts
	}
	path, t, before := "targets."+name, m.e.GetTargets()[name], len(m.p.GetProblems())
	hosts := m.allowed(path, t, m.selected(path, t))
	hosts = m.pick(path, name, t, hosts)
	m.present(path, hosts)
	m.targets[name], m.spoilt[name] = hosts, len(m.p.GetProblems()) > before
	return hosts
}

// selected are the hosts that a target's lists select.
func (m *maker) selected(path string, t *pb.Target) []string {
	for i, host := range t.GetHost() {
		if m.hosts[host] == nil {
			m.problem(pb.Refusal_REFUSAL_UNKNOWN, index(path+".host", i), "there is no host "+quoted(host), near.Fix(host, "host", m.sorted))
		}
	}
	zones, out := m.expand(path+".zone", t.GetZone()), m.expand(path+".exclude.zone", t.GetExclude().GetZone())
	var found []string
	for _, name := range m.sorted {
		h := m.hosts[name]
		if in(h, zones, t.GetRoom(), t.GetRole(), t.GetHost(), t.GetLabels()) && carries(h, t.GetWorkload()) && !excluded(h, out, t.GetExclude()) {
			found = append(found, name)
		}
	}
	return found
}

// expand puts the zones of a role in its place. A name that is neither stays:
// it selects nothing, where an empty list would select every zone.
func (m *maker) expand(path string, names []string) []string {
	var zones []string
	for i, name := range names {
		if role, ok := m.e.GetZones()[name]; ok {
			zones = append(zones, role.GetZone()...)
			continue
		}
		m.knownRole(index(path, i), name)
		zones = append(zones, name)
	}
	return zones
}

// knownRole tells of a name that is no zone. Its fix knows the roles too.
func (m *maker) knownRole(path, name string) {
	if slices.Contains(m.zones, name) {
		return
	}
	names := slices.AppendSeq(slices.Clone(m.zones), maps.Keys(m.e.GetZones()))
	m.problem(pb.Refusal_REFUSAL_UNKNOWN, path, "there is no zone "+quoted(name), near.Fix(name, "zone", names))
}

// in tells whether a host matches every list that is given.
func in(h *pb.Host, zones, rooms, roles, hosts []string, labels map[string]string) bool {
	return any1(zones, h.GetZone()) && any1(rooms, h.GetRoom()) && any1(roles, h.GetRole()...) && any1(hosts, h.GetName()) && labelled(h, labels)
}

// any1 tells whether a list is left out, or has any of the values.
func any1(list []string, values ...string) bool {
	return len(list) == 0 || slices.ContainsFunc(values, func(v string) bool { return slices.Contains(list, v) })
}

func labelled(h *pb.Host, labels map[string]string) bool {
	for key, value := range labels {
		if have, ok := h.GetLabels()[key]; !ok || have != value {
			return false
		}
	}
	return true
}

// carries tells whether a host has all of the workloads.
func carries(h *pb.Host, workloads []string) bool {
	for _, name := range workloads {
		if !slices.ContainsFunc(h.GetWorkloads(), func(w *pb.HostWorkload) bool { return w.GetName() == name }) {
			return false
		}
	}
	return true
}

// excluded tells whether any list of an exclude has the host.
func excluded(h *pb.Host, zones []string, x *pb.Exclude) bool {
	listed := func(list []string, values ...string) bool { return len(list) > 0 && any1(list, values...) }
	return listed(zones, h.GetZone()) || listed(x.GetRoom(), h.GetRoom()) || listed(x.GetRole(), h.GetRole()...) ||
		listed(x.GetHost(), h.GetName()) || len(x.GetLabels()) > 0 && labelled(h, x.GetLabels())
}

// allowed takes out the hosts that must not be touched. One that the target
// names is a problem; the others are told of.
func (m *maker) allowed(path string, t *pb.Target, hosts []string) []string {
	var kept, servers []string
	left := map[string][]string{}
	for _, name := range hosts {
		why, refusal := m.untouchable(m.hosts[name], t)
		switch {
		case why == "":
			kept = append(kept, name)
		case slices.Contains(t.GetHost(), name):
			m.problem(refusal, path+".host", fmt.Sprintf("%s can't be touched: %s", name, why), "take it out of the target")
		case why == m.serverWhy() && slices.Contains(t.GetRole(), serverRole):
			servers = append(servers, name)
		default:
			left[why] = append(left[why], name)
		}
	}
	if len(servers) > 0 {
		m.problem(pb.Refusal_REFUSAL_GUARDRAIL, path+".role", some(servers)+" part of the control plane, and "+whyNotServers(m.w.Command), fixServers(m.w.Command))
	}
	for _, why := range slices.Sorted(maps.Keys(left)) {
		if why != m.serverWhy() {
			m.warn(path, fmt.Sprintf("%s left out: %s", some(left[why]), why), "")
		}
	}
	return kept
}

func (m *maker) serverWhy() string {
	return "it runs the control plane, and " + whyNotServers(m.w.Command)
}

// untouchable says why no fault of a target may touch a host; "" where it may.
func (m *maker) untouchable(h *pb.Host, t *pb.Target) (string, pb.Refusal) {
	if h.GetSquall() == pb.SquallPolicy_SQUALL_POLICY_NEVER {
		return "its own config says `squall: never`", pb.Refusal_REFUSAL_HOST
	}
	named := meansServers(t, m.w.Command)
	if isServer(h, t.GetWorkload()) && !named {
		return m.serverWhy(), pb.Refusal_REFUSAL_GUARDRAIL
	}
	for _, g := range []*pb.Guardrails{m.w.Guardrails, m.e.GetGuardrails()} {
		for _, rule := range g.GetProtect() {
			if protects(rule, h) && (!named || rule != "role="+serverRole) {
				return "protected by " + rule, pb.Refusal_REFUSAL_GUARDRAIL
			}
		}
	}
	return "", 0
}

// protects tells whether a rule such as role=db speaks of a host.
func protects(rule string, h *pb.Host) bool {
	key, value, _ := strings.Cut(rule, "=")
	switch key {
	case "role":
		return slices.Contains(h.GetRole(), value)
	case "zone":
		return h.GetZone() == value
	case "room":
		return h.GetRoom() == value
	case "host":
		return h.GetName() == value
	case "squall":
		return value == "never" && h.GetSquall() == pb.SquallPolicy_SQUALL_POLICY_NEVER
	}
	have, ok := h.GetLabels()[key]
	return ok && have == value
}

// pick keeps as many hosts as the target asks for.
func (m *maker) pick(path, name string, t *pb.Target, hosts []string) []string {
	if t.GetPick() == nil {
		return hosts
	}
	n := m.portion(path+".pick", "pick", t.GetPick(), len(hosts))
	return slices.Sorted(slices.Values(shuffled(m.e.GetSeed(), "pick/"+name, hosts)[:n]))
}

// portion is a count, or a share, of hosts that a field asks for. One that
// can't be had is a problem: it never shrinks to what there is.
func (m *maker) portion(path, what string, a *pb.Amount, hosts int) int {
	n := portion(a, hosts)
	switch {
	case a == nil || hosts == 0: // an empty target is told of elsewhere
		return 0
	case n == 0:
		m.problem(pb.Refusal_REFUSAL_EMPTY_TARGET, path, fmt.Sprintf("%s: %s of %d hosts is none, since shares round down", what, quantity.FormatAmount(a), hosts), "ask for a larger share, or for a count")
	case n > hosts:
		m.problem(pb.Refusal_REFUSAL_EMPTY_TARGET, path, fmt.Sprintf("%s: %d hosts are asked for, and there are %d", what, n, hosts), "ask for at most "+number(uint64(hosts))+", or widen the target")
	}
	return min(n, hosts)
}

// portion is a count, or a share rounded down, of n things; a count may be more.
func portion(a *pb.Amount, n int) int {
	if s := a.GetShare(); s != nil {
		return int(int64(n) * int64(s.GetPpm()) / 1_000_000)
	}
	return int(a.GetCount())
}

// present refuses hosts that are not connected.
func (m *maker) present(path string, hosts []string) {
	var lost []string
	for _, name := range hosts {
		if m.hosts[name].GetPresence() == pb.Presence_PRESENCE_LOST {
			lost = append(lost, name)
		}
	}
	if len(lost) > 0 {
		m.problem(pb.Refusal_REFUSAL_ABSENT, path, some(lost)+" not connected", "start the agent there, or exclude the host")
	}
}

// usable resolves a step's target. An empty one stops the run, or only the step.
func (m *maker) usable(ref stepRef) ([]string, bool) {
	name := ref.step.GetTarget()
	t, ok := m.e.GetTargets()[name]
	if !ok {
		m.problem(pb.Refusal_REFUSAL_UNKNOWN, ref.path+".target", "there is no target "+quoted(name),
			near.Fix(name, "target", slices.Collect(maps.Keys(m.e.GetTargets()))))
		return nil, false
	}
	hosts := m.resolve(name)
	if len(hosts) > 0 || m.spoilt[name] || m.astray(t) {
		return hosts, len(hosts) > 0
	}
	why, fix := m.whyEmpty(t)
	switch {
	case m.e.GetGuardrails().GetEmptyTarget() == pb.EmptyTarget_EMPTY_TARGET_SKIP:
		m.warn("targets."+name, "target "+quoted(name)+" selects no host, so step "+ref.id+" is skipped: "+why, "")
	case m.w.Command:
		m.problem(pb.Refusal_REFUSAL_EMPTY_TARGET, "", "the target selects no host: "+why, fix)
	default:
		m.problem(pb.Refusal_REFUSAL_EMPTY_TARGET, "targets."+name, "target "+quoted(name)+" of step "+ref.id+" selects no host: "+why, fix+"; or set `empty_target: skip`")
	}
	return nil, false
}
