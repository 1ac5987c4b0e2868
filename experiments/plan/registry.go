package plan

import (
	"cmp"
	"maps"
	"slices"

	pb "squall/proto/squall/v1"
)

// clientRole is the role of workloads that stand for customers. They are no
// part of what a region serves: a street of them is no zone that survives.
const clientRole = "client"

// Registry is the hosts that guardrails judge, found by name. It is made once
// for a list of hosts and never changes, so that many may read it.
type Registry struct {
	hosts map[string]*pb.Host
	// serves are the names of hosts that carry workloads, by environment.
	serves map[string][]string
	// all are the names of hosts, by environment.
	all map[string][]string
	// servers are the names of hosts of control servers, sorted.
	servers []string
}

// NewRegistry indexes hosts, which must not change afterwards.
func NewRegistry(hosts []*pb.Host) *Registry {
	r := &Registry{hosts: make(map[string]*pb.Host, len(hosts)), serves: map[string][]string{}, all: map[string][]string{}}
	for _, h := range hosts {
		r.hosts[h.GetName()] = h
	}
	for _, name := range slices.Sorted(maps.Keys(r.hosts)) {
		h := r.hosts[name]
		env := environment(h)
		r.all[env] = append(r.all[env], name)
		if serves(h) {
			r.serves[env] = append(r.serves[env], name)
		}
		if isServer(h, nil) {
			r.servers = append(r.servers, name)
		}
	}
	return r
}

// counted are the hosts of an environment that shares are taken of: those that
// carry its workloads. Where nobody has declared any, every host counts.
func (r *Registry) counted(env string) []string {
	if names := r.serves[env]; len(names) > 0 {
		return names
	}
	return r.all[env]
}

// serves tells whether a host carries workloads that serve somebody.
func serves(h *pb.Host) bool {
	return slices.ContainsFunc(h.GetWorkloads(), func(w *pb.HostWorkload) bool {
		return w.GetRole() != clientRole
	}) && !slices.Contains(h.GetRole(), clientRole)
}

func environment(h *pb.Host) string { return cmp.Or(h.GetEnvironment(), "default") }

func connected(h *pb.Host) bool {
	return h != nil && h.GetPresence() != pb.Presence_PRESENCE_LOST
}
