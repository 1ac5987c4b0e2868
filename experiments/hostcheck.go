package experiments

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	pb "squall/proto/squall/v1"
)

func (d *decoder) checkFleet(f *pb.Fleet) {
	hosts := map[string]bool{}
	for i, h := range f.GetHosts() {
		path := fmt.Sprintf("hosts[%d]", i)
		d.checkTaken(path+".name", "host", h.GetName(), hosts)
		d.checkRefused(path, h.GetRefuse())
		d.checkAddresses(path, h.GetAddress())
		workloads := map[string]bool{}
		for j, w := range h.GetWorkloads() {
			d.checkTaken(fmt.Sprintf("%s.workloads[%d].name", path, j), "workload", w.GetName(), workloads)
		}
	}
}

func (d *decoder) checkHostConfig(h *pb.HostConfig) {
	d.checkRefused("", h.GetRefuse())
	d.checkAddresses("", h.GetAddress())
	for i, m := range h.GetManagement() {
		d.checkPrefix(fmt.Sprintf("management[%d].prefix", i), m.GetPrefix())
	}
	d.checkWorkloads("workloads", h.GetWorkloads())
}

func (d *decoder) checkLab(l *pb.Lab) {
	zones, hosts := map[string]bool{}, map[string]bool{}
	for i, z := range l.GetZones() {
		path := fmt.Sprintf("zones[%d]", i)
		d.checkTaken(path+".name", "zone", z.GetName(), zones)
		for j, h := range z.GetHosts() {
			d.checkTaken(fmt.Sprintf("%s.hosts[%d].name", path, j), "host", h.GetName(), hosts)
		}
	}
	for i, z := range l.GetZones() {
		for j, h := range z.GetHosts() {
			path := fmt.Sprintf("zones[%d].hosts[%d].workloads", i, j)
			d.checkWorkloads(path, h.GetWorkloads())
			d.checkHostRefs(path, h.GetWorkloads(), hosts)
		}
	}
}

func (d *decoder) checkTaken(path, kind, name string, seen map[string]bool) {
	if name != "" && seen[name] {
		d.badPath(path, fmt.Sprintf("%s %s stands twice", kind, quoted(name)), fmt.Sprintf("give each %s its own name", kind))
	}
	seen[name] = true
}

// checkRefused wants names of faults: a misspelt refusal would protect nothing.
func (d *decoder) checkRefused(path string, names []string) {
	for i, name := range names {
		if _, ok := NewFault(name); !ok {
			d.unknownName(join(path, fmt.Sprintf("refuse[%d]", i)), "fault", name, FaultNames())
		}
	}
}

func (d *decoder) checkAddresses(path string, addresses []string) {
	for i, text := range addresses {
		if _, err := netip.ParseAddr(text); err != nil && text != "" {
			d.badPath(join(path, fmt.Sprintf("address[%d]", i)), fmt.Sprintf("%s is not an IP address", quoted(text)), "write one such as 10.0.1.11 or 2001:db8::1")
		}
	}
}

func (d *decoder) checkWorkloads(path string, workloads []*pb.Workload) {
	names := map[string]bool{}
	for i, w := range workloads {
		at := fmt.Sprintf("%s[%d]", path, i)
		d.checkTaken(at+".name", "workload", w.GetName(), names)
		d.checkProcesses(at, w)
		if w.GetReady() != nil {
			d.checkAim(at+".ready", w.GetReady())
		}
	}
}

// checkProcesses wants one way to find a workload's processes.
func (d *decoder) checkProcesses(path string, w *pb.Workload) {
	switch {
	case w.GetUnit() != "" && (w.GetCgroup() != "" || len(w.GetStart()) > 0):
		d.badPath(path+".unit", `"unit" stands beside "cgroup" or "start", which come from the unit`, "keep `unit` alone, or take it out")
	case w.GetUnit() == "" && w.GetCgroup() == "" && len(w.GetStart()) == 0 && !d.anyWrongBelow(path):
		d.badPath(path, fmt.Sprintf("workload %s does not say which processes it has", quoted(w.GetName())), "add unit, cgroup or start")
	}
	if c := w.GetCgroup(); strings.HasPrefix(c, "/") || slices.Contains(strings.Split(c, "/"), "..") {
		d.badPath(path+".cgroup", fmt.Sprintf("cgroup %s leaves the cgroup mount", quoted(c)), "write it relative to the cgroup v2 mount, such as app/web")
	}
}

var hostRef = regexp.MustCompile(`\$\{ip:([^}]*)\}`)

// checkHostRefs finds ${ip:HOST} of hosts that the lab does not have.
func (d *decoder) checkHostRefs(path string, workloads []*pb.Workload, hosts map[string]bool) {
	for i, w := range workloads {
		for j, arg := range w.GetStart() {
			d.checkHostRef(fmt.Sprintf("%s[%d].start[%d]", path, i, j), arg, hosts)
		}
		for key, value := range w.GetEnv() {
			d.checkHostRef(fmt.Sprintf("%s[%d].env.%s", path, i, key), value, hosts)
		}
	}
}

func (d *decoder) checkHostRef(path, text string, hosts map[string]bool) {
	for _, ref := range hostRef.FindAllStringSubmatch(text, -1) {
		if !hosts[ref[1]] {
			d.unknownName(path, "host", ref[1], sortedNames(hosts))
		}
	}
}

func sortedNames(set map[string]bool) []string {
	var names []string
	for name := range set {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
