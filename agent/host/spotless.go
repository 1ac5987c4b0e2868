package host

import (
	"net"
	"os"
	"slices"
	"strings"

	"github.com/cilium/ebpf/link"

	"squall/agent/host/bpf"
)

// spotless tells at a glance that no process but this one has anything of ours in
// this network namespace, and that no other is a helper in the agent's cgroup.
// Every step ends with this look, also on hosts with thousands of processes. It
// accuses nobody: what stands out is for strayObjects to judge.
func (r *Real) spotless() bool {
	links, err := net.Interfaces()
	return err == nil && !slices.ContainsFunc(links, r.standsOut) && r.helpless()
}

// standsOut tells whether an interface is the TAP of a delay line, or has a program
// of ours that is none of the entries which this process holds.
func (r *Real) standsOut(i net.Interface) bool {
	return strings.HasPrefix(i.Name, bpf.TapPrefix) || len(ourPrograms(i, r.holds)) > 0
}

// holds tells whether a link is that of an entry which this process holds.
func (r *Real) holds(id link.ID) bool { return r.loader != nil && r.loader.Holds(id) }

// helpless tells whether no helper lives in the agent's own cgroup, which is where
// helpers are born, but those of this process.
func (r *Real) helpless() bool {
	b, err := os.ReadFile(r.workloads.cgroups.path(r.workloads.cgroups.own(), "cgroup.procs"))
	if err != nil {
		return false
	}
	return !slices.ContainsFunc(parsePids(b), func(pid int) bool {
		if pid == os.Getpid() || roleOf(pid) == "" {
			return false
		}
		s, lives := processOf(pid)
		return lives && !s.zombie() && s.parent != os.Getpid()
	})
}
