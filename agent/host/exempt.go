package host

import (
	"slices"
	"strings"

	pb "squall/proto/squall/v1"
)

// Exempt implements Host.
func (r *Real) Exempt(servers []string) error {
	fresh := r.addServers(servers)
	if r.loader == nil {
		return nil // nothing is in their way
	}
	return wrap(r.loader.Exempt(fresh), "exempt servers")
}

// addServers notes those that are new, and returns them. No fault is in the way to
// a socket of this host.
func (r *Real) addServers(servers []string) (fresh []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range servers {
		if !strings.HasPrefix(s, "unix:") && !slices.Contains(r.servers, s) {
			r.servers, fresh = append(r.servers, s), append(fresh, s)
		}
	}
	return fresh
}

// exempted are the servers that are exempt.
func (r *Real) exempted() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.servers)
}

// exemption is what every fault leaves alone.
func (r *Real) exemption() *pb.Exempt {
	e := r.options.Exempt
	return &pb.Exempt{Mark: e.GetMark(), Servers: r.exempted(), Management: e.GetManagement()}
}
