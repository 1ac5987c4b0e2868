package plan

import (
	"cmp"
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
	// environments are what shares are taken of, by name.
	environments map[string]*populace
	// servers are the names of hosts of control servers.
	servers []string
}

// populace is the hosts of an environment that are connected and carry its
// workloads. Where nobody there has declared any, every connected host counts.
type populace struct {
	serve  bool // only hosts that carry workloads count
	hosts  int
	zones  map[string]bool
	roles  map[string]int // connected hosts of each role, whatever they carry
	known  map[string]int // hosts of each role, lost ones included
	inZone map[string]int // hosts that count in each zone
}

// counts tells whether a host is one of them.
func (p *populace) counts(h *pb.Host) bool { return connected(h) && (!p.serve || serves(h)) }

// NewRegistry indexes hosts, which must not change afterwards.
func NewRegistry(hosts []*pb.Host) *Registry {
	r := &Registry{hosts: make(map[string]*pb.Host, len(hosts)), environments: map[string]*populace{}}
	for _, h := range hosts {
		r.hosts[h.GetName()] = h
		env := r.environments[environment(h)]
		if env == nil {
			env = &populace{zones: map[string]bool{}, roles: map[string]int{}, known: map[string]int{}, inZone: map[string]int{}}
			r.environments[environment(h)] = env
		}
		env.serve = env.serve || serves(h)
		if isServer(h, nil) {
			r.servers = append(r.servers, h.GetName())
		}
	}
	for _, h := range r.hosts {
		r.environments[environment(h)].add(h)
	}
	return r
}

func (p *populace) add(h *pb.Host) {
	for i, role := range h.GetRole() {
		if slices.Contains(h.GetRole()[:i], role) {
			continue
		}
		if p.known[role]++; connected(h) {
			p.roles[role]++
		}
	}
	if p.counts(h) {
		p.hosts++
		p.inZone[h.GetZone()]++
		p.zones[h.GetZone()] = true
	}
}

// populace is that of an environment, empty where there is none.
func (r *Registry) populace(env string) *populace {
	if p := r.environments[env]; p != nil {
		return p
	}
	return &populace{}
}

// serves tells whether a host carries workloads that serve somebody.
func serves(h *pb.Host) bool {
	return slices.ContainsFunc(h.GetWorkloads(), func(w *pb.HostWorkload) bool {
		return w.GetRole() != clientRole
	}) && !slices.Contains(h.GetRole(), clientRole)
}

// Environment is the one that a host belongs to.
func Environment(h *pb.Host) string { return environment(h) }

func environment(h *pb.Host) string { return cmp.Or(h.GetEnvironment(), "default") }

func connected(h *pb.Host) bool {
	return h != nil && h.GetPresence() != pb.Presence_PRESENCE_LOST
}
