package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"squall/experiments/near"
	pb "squall/proto/squall/v1"
)

// serverRole is the role of the control plane's own servers. No target has
// them, unless it names them.
const serverRole = "squall-server"

// resolve gives the hosts that a target's faults touch, sorted by name.
func (m *maker) resolve(name string) []string {
	if hosts, ok := m.targets[name]; ok {
		return hosts
	}
	path, t := "targets."+name, m.e.GetTargets()[name]
	hosts := m.allowed(path, t, m.selected(path, t))
	hosts = m.pick(path, name, t, hosts)
	m.present(path, hosts)
	m.targets[name] = hosts
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

// expand puts the zones of a role in its place.
func (m *maker) expand(path string, names []string) []string {
	var zones []string
	for i, name := range names {
		if role, ok := m.e.GetZones()[name]; ok {
			zones = append(zones, role.GetZone()...)
		} else if m.knownRole(index(path, i), name) {
			zones = append(zones, name)
		}
	}
	return zones
}

// knownRole checks that a name is a zone. Its fix knows the roles too.
func (m *maker) knownRole(path, name string) bool {
	if slices.Contains(m.zones, name) {
		return true
	}
	names := slices.AppendSeq(slices.Clone(m.zones), maps.Keys(m.e.GetZones()))
	m.problem(pb.Refusal_REFUSAL_UNKNOWN, path, "there is no zone "+quoted(name), near.Fix(name, "zone", names))
	return false
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
	var kept []string
	left := map[string][]string{}
	for _, name := range hosts {
		why, refusal := m.untouchable(m.hosts[name], t)
		switch {
		case why == "":
			kept = append(kept, name)
		case slices.Contains(t.GetHost(), name):
			m.problem(refusal, path+".host", fmt.Sprintf("%s can't be touched: %s", name, why), "take it out of the target")
		default:
			left[why] = append(left[why], name)
		}
	}
	for _, why := range slices.Sorted(maps.Keys(left)) {
		if why != serverWhy {
			m.warn(path, fmt.Sprintf("%s left out: %s", some(left[why]), why), "")
		}
	}
	return kept
}

const serverWhy = "it runs the control plane, and the target does not name the role " + serverRole

// untouchable says why no fault of a target may touch a host; "" where it may.
func (m *maker) untouchable(h *pb.Host, t *pb.Target) (string, pb.Refusal) {
	if h.GetSquall() == pb.SquallPolicy_SQUALL_POLICY_NEVER {
		return "its own config says `squall: never`", pb.Refusal_REFUSAL_HOST
	}
	named := slices.Contains(t.GetRole(), serverRole) || slices.Contains(t.GetHost(), h.GetName())
	if isServer(h, t.GetWorkload()) && !named {
		return serverWhy, pb.Refusal_REFUSAL_GUARDRAIL
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

// isServer tells whether a host, or one of the workloads, is a control server.
func isServer(h *pb.Host, workloads []string) bool {
	if slices.Contains(h.GetRole(), serverRole) {
		return true
	}
	return slices.ContainsFunc(h.GetWorkloads(), func(w *pb.HostWorkload) bool {
		return w.GetRole() == serverRole && any1(workloads, w.GetName())
	})
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
	n := portion(t.GetPick(), len(hosts))
	if c := t.GetPick().GetCount(); int(c) > len(hosts) && len(hosts) > 0 {
		m.warn(path+".pick", fmt.Sprintf("picks %d of %d hosts", c, len(hosts)), "")
	}
	return slices.Sorted(slices.Values(shuffled(m.e.GetSeed(), "pick/"+name, hosts)[:n]))
}

// portion is a count, or a share rounded up, of n things.
func portion(a *pb.Amount, n int) int {
	if s := a.GetShare(); s != nil {
		return int((int64(n)*int64(s.GetPpm()) + 999_999) / 1_000_000)
	}
	return min(int(a.GetCount()), n)
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
func (m *maker) usable(path, name string) ([]string, bool) {
	if _, ok := m.e.GetTargets()[name]; !ok {
		m.problem(pb.Refusal_REFUSAL_UNKNOWN, path+".target", "there is no target "+quoted(name),
			near.Fix(name, "target", slices.Collect(maps.Keys(m.e.GetTargets()))))
		return nil, false
	}
	hosts := m.resolve(name)
	if len(hosts) > 0 {
		return hosts, true
	}
	const message = " selects no host"
	if m.e.GetGuardrails().GetEmptyTarget() == pb.EmptyTarget_EMPTY_TARGET_SKIP {
		m.warn("targets."+name, "target "+quoted(name)+message+": its steps are skipped", "")
	} else {
		m.problem(pb.Refusal_REFUSAL_EMPTY_TARGET, "targets."+name, "target "+quoted(name)+message, "widen it, or set `empty_target: skip`")
	}
	return nil, false
}
