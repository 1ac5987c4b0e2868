package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"squall/experiments/near"
	pb "squall/proto/squall/v1"
	"squall/proto/text"
)

// selector is one of the lists that narrow a target.
type selector struct {
	// with says what the hosts have that it selects: "in zone zone-a"; has says
	// it of one of them: "is in zone zone-a".
	with, has string
	selects   func(*pb.Host) bool
	// wanted are its names, kind what they name, and of which of them a host has.
	// Without names, fix says what to do.
	wanted    []string
	kind, fix string
	of        func(*pb.Host) []string
}

// whyEmpty says which list of a target leaves no host, of which hosts, and what
// there is to select instead.
func (m *maker) whyEmpty(t *pb.Target) (why, fix string) {
	left := m.sorted
	var with []string
	for _, s := range m.selectors(t) {
		kept := m.keep(left, s.selects)
		if len(kept) == 0 {
			return noneOf(left, with) + s.has, m.instead(s, left)
		}
		left, with = kept, append(with, s.with)
	}
	return "none of the " + text.Count(len(left), "host") + " " + strings.Join(with, " ") + " may be touched",
		"aim at hosts that neither a guardrail protects nor their own config"
}

func noneOf(left, with []string) string {
	switch {
	case len(with) == 0:
		return "no host "
	case len(left) == 1:
		return "no host " + strings.Join(with, " ") + " "
	}
	return fmt.Sprintf("none of the %d hosts %s ", len(left), strings.Join(with, " "))
}

// instead is the fix: what the hosts that were left could have been selected by.
func (m *maker) instead(s selector, left []string) string {
	if s.of == nil {
		return s.fix
	}
	var names []string
	for _, name := range left {
		names = append(names, s.of(m.hosts[name])...)
	}
	return near.Fix(s.wanted[0], s.kind, names)
}

func (m *maker) keep(hosts []string, selects func(*pb.Host) bool) (kept []string) {
	for _, name := range hosts {
		if selects(m.hosts[name]) {
			kept = append(kept, name)
		}
	}
	return kept
}

// selectors are the lists that a target gives, in the order in which they are told.
func (m *maker) selectors(t *pb.Target) (all []selector) {
	listed := func(kind, with, has string, wanted []string, of func(*pb.Host) []string) {
		if len(wanted) > 0 {
			names := strings.Join(wanted, ", ")
			all = append(all, selector{
				with: with + " " + names, has: has + " " + names, wanted: wanted, kind: kind, of: of,
				selects: func(h *pb.Host) bool { return any1(wanted, of(h)...) },
			})
		}
	}
	zones := m.zonesOf(t.GetZone())
	listed("zone", "in zone", "is in zone", zones, func(h *pb.Host) []string { return []string{h.GetZone()} })
	listed("room", "in room", "is in room", t.GetRoom(), func(h *pb.Host) []string { return []string{h.GetRoom()} })
	listed("host", "named", "is named", t.GetHost(), func(h *pb.Host) []string { return []string{h.GetName()} })
	listed("role", "with role", "has role", t.GetRole(), (*pb.Host).GetRole)
	for _, key := range slices.Sorted(maps.Keys(t.GetLabels())) {
		listed("label", "with label", "has label", []string{key + "=" + t.GetLabels()[key]}, labels)
	}
	for _, w := range t.GetWorkload() {
		listed("workload", "with workload", "has workload", []string{w}, workloads)
	}
	out := m.zonesOf(t.GetExclude().GetZone())
	return append(all, selector{
		with: "that exclude leaves", has: "is left by exclude", fix: "exclude less, or widen the target",
		selects: func(h *pb.Host) bool { return !excluded(h, out, t.GetExclude()) },
	})
}

func labels(h *pb.Host) (all []string) {
	for key, value := range h.GetLabels() {
		all = append(all, key+"="+value)
	}
	return all
}

func workloads(h *pb.Host) (all []string) {
	for _, w := range h.GetWorkloads() {
		all = append(all, w.GetName())
	}
	return all
}

// zonesOf puts the zones of a role in its place.
func (m *maker) zonesOf(names []string) (zones []string) {
	for _, name := range names {
		if role, ok := m.e.GetZones()[name]; ok {
			zones = append(zones, role.GetZone()...)
			continue
		}
		zones = append(zones, name)
	}
	return zones
}

// astray says that a target is in a zone that nobody knows, which is told of
// where the zone is named.
func (m *maker) astray(t *pb.Target) bool {
	return slices.ContainsFunc(m.zonesOf(t.GetZone()), func(zone string) bool { return !slices.Contains(m.zones, zone) })
}
