package host

import (
	"net"
	"os"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
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
	if strings.HasPrefix(i.Name, bpf.TapPrefix) {
		return true
	}
	for _, where := range []ebpf.AttachType{ebpf.AttachTCXIngress, ebpf.AttachTCXEgress} {
		result, err := link.QueryPrograms(link.QueryOptions{Target: i.Index, Attach: where})
		if err != nil {
			continue // no tcx here, so nothing of ours
		}
		if slices.ContainsFunc(result.Programs, r.notHeld) {
			return true
		}
	}
	return false
}

func (r *Real) notHeld(p link.AttachedProgram) bool {
	id, ok := p.LinkID()
	if ok && r.loader != nil && r.loader.Holds(id) {
		return false
	}
	return strings.HasPrefix(programName(p.ID), bpf.ProgramPrefix)
}

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
