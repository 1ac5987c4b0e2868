package experiments

import (
	"fmt"
	"maps"
	"net/netip"
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
	d.checkCommands("commands", h.GetCommands())
	for i, w := range h.GetWorkloads() {
		if len(w.GetFiles()) > 0 {
			d.badPath(fmt.Sprintf("workloads[%d].files", i), `"files" are for lab files`, "take them out, and put the files where the workload finds them")
		}
	}
}

// checkCommands wants names that an experiment can write.
func (d *decoder) checkCommands(path string, commands map[string]*pb.HostCommand) {
	for name := range commands {
		if !commandName().MatchString(name) {
			d.badPath(path+"."+name, fmt.Sprintf("%s is no name for a command", quoted(name)), "use lower-case letters, digits, `_`, `.` and `-`")
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
		d.checkUser(at, w)
		if w.GetReady() != nil {
			d.checkAim(at+".ready", w.GetReady())
		}
	}
	d.checkOrder(path, workloads, names)
}

// checkUser refuses an account where nothing is started as it.
func (d *decoder) checkUser(path string, w *pb.Workload) {
	if w.GetUser() != "" && len(w.GetStart()) == 0 {
		d.badPath(path+".user", `"user" is the account that "start" runs as, and there is no "start"`, "take it out; a unit names its own user")
	}
}

// checkOrder wants an order in `after` that has a beginning.
func (d *decoder) checkOrder(path string, workloads []*pb.Workload, names map[string]bool) {
	after := map[string][]string{}
	for i, w := range workloads {
		for j, name := range w.GetAfter() {
			if !names[name] {
				d.unknownName(fmt.Sprintf("%s[%d].after[%d]", path, i, j), "workload", name, sortedNames(names))
			}
		}
		after[w.GetName()] = w.GetAfter()
	}
	for i, w := range workloads {
		if waitsFor(w.GetName(), w.GetName(), after, map[string]bool{}) {
			d.badPath(fmt.Sprintf("%s[%d].after", path, i), fmt.Sprintf("workload %s waits for itself", quoted(w.GetName())), "take one of the names in the circle out")
		}
	}
}

// waitsFor reports whether a workload waits, perhaps by way of others, for another.
func waitsFor(name, other string, after map[string][]string, seen map[string]bool) bool {
	for _, next := range after[name] {
		if next == other {
			return true
		}
		if !seen[next] {
			seen[next] = true
			if waitsFor(next, other, after, seen) {
				return true
			}
		}
	}
	return false
}

func sortedNames(set map[string]bool) []string { return slices.Sorted(maps.Keys(set)) }

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
