package lab

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"squall/experiments"
	pb "squall/proto/squall/v1"
)

// Environment is that of every host of a lab: never protected, and it never asks.
const Environment = "lab"

// ServerRole is the role of hosts and workloads that are control servers.
const ServerRole = "squall-server"

// Region is a lab file with every host in its place.
type Region struct {
	Name  string
	Say   string
	Hosts []*Host
}

// Host is one host of a region.
type Host struct {
	Name, Zone, Room string
	Roles            []string
	Labels           map[string]string
	Link             Link
	// Workloads are as in the file, with nothing replaced.
	Workloads []*pb.Workload `json:"-"`
	// Commands, AllowUndeclaredKill and AllowHold go into the host's config.
	Commands                       map[string]*pb.HostCommand `json:"-"`
	AllowUndeclaredKill, AllowHold bool                       `json:"-"`
}

// Link is a host's wire to the router. Both ends know each other's hardware
// address beforehand, so nothing is ever asked for.
type Link struct {
	V4, V6       netip.Addr
	Router4      netip.Addr
	Router6      netip.Addr
	MAC          string
	RouterMAC    string
	RouterDevice string
}

const (
	serverNumber = 5
	firstNumber  = 11
	lastNumber   = 99
	lastZone     = 99
)

// NewRegion puts the hosts of a lab file in their places. It refuses what has
// no place: too many zones or hosts, or two of one name.
func NewRegion(file *pb.Lab) (*Region, error) {
	r := &Region{Name: file.GetName(), Say: file.GetSay()}
	if len(file.GetZones()) > lastZone {
		return nil, fmt.Errorf("lab %s: %d zones, at most %d have an address", r.Name, len(file.GetZones()), lastZone)
	}
	for i, zone := range file.GetZones() {
		if err := r.addZone(i+1, zone, hostsOf(file, zone)); err != nil {
			return nil, fmt.Errorf("lab %s: %w", r.Name, err)
		}
	}
	return r, r.checkNames()
}

// hostsOf are the hosts of a zone: its own, then those that are alike, each
// under a name of its own.
func hostsOf(file *pb.Lab, zone *pb.LabZone) []*pb.LabHost {
	hosts := slices.Clone(zone.GetHosts())
	for _, a := range file.GetHosts() {
		if !slices.Contains(a.GetZones(), zone.GetName()) {
			continue
		}
		for n := range int(max(a.GetInstances(), 1)) {
			hosts = append(hosts, &pb.LabHost{
				Name: experiments.AlikeName(a, zone.GetName(), n+1), Room: a.GetRoom(), Role: a.GetRole(), Labels: a.GetLabels(),
				Workloads: a.GetWorkloads(), Commands: a.GetCommands(),
				AllowUndeclaredKill: a.GetAllowUndeclaredKill(), AllowHold: a.GetAllowHold(),
			})
		}
	}
	return hosts
}

func (r *Region) addZone(number int, zone *pb.LabZone, hosts []*pb.LabHost) error {
	if n := len(hosts); n > lastNumber-firstNumber+1 {
		return fmt.Errorf("zone %s: %d hosts, at most %d have an address", zone.GetName(), n, lastNumber-firstNumber+1)
	}
	if zone.Server == nil || zone.GetServer() {
		r.Hosts = append(r.Hosts, &Host{
			Name: "server-" + lastPart(zone.GetName()), Zone: zone.GetName(), Roles: []string{ServerRole},
			Link:      newLink(number, serverNumber),
			Workloads: []*pb.Workload{serverWorkload()},
		})
	}
	for j, h := range hosts {
		r.Hosts = append(r.Hosts, &Host{
			Name: h.GetName(), Zone: zone.GetName(), Room: h.GetRoom(), Roles: h.GetRole(), Labels: h.GetLabels(),
			Link:      newLink(number, firstNumber+j),
			Workloads: h.GetWorkloads(), Commands: h.GetCommands(),
			AllowUndeclaredKill: h.GetAllowUndeclaredKill(), AllowHold: h.GetAllowHold(),
		})
	}
	return nil
}

// metricsPort is where a lab's servers tell how they are, on their own addresses.
const metricsPort = "7449"

// serverWorkload is a control server: a workload like any other.
func serverWorkload() *pb.Workload {
	return &pb.Workload{
		Name: "server", Role: ServerRole, ReadyWithin: &pb.Span{Nanos: int64(30 * time.Second)},
		Start: []string{"${squall}", "server", "--bundle", "${bundle}", "--dir", "${data}", "--socket", "${socket}", "--metrics-listen", "${ip}:" + metricsPort},
	}
}

func lastPart(zone string) string { return zone[strings.LastIndex(zone, "-")+1:] }

// newLink is the wire of host number host in zone number zone, as README.md lists them.
func newLink(zone, host int) Link {
	return Link{
		V4:      netip.MustParseAddr(fmt.Sprintf("10.77.%d.%d", zone, host)),
		V6:      netip.MustParseAddr(fmt.Sprintf("fd77:%d::%d", zone, host)),
		Router4: netip.MustParseAddr(fmt.Sprintf("10.77.%d.1", zone)),
		Router6: netip.MustParseAddr(fmt.Sprintf("fd77:%d::1", zone)),
		MAC:     net.HardwareAddr{0x02, 0x77, 0, 0, byte(zone), byte(host)}.String(),
		// The first bits say "locally administered", the third byte which end.
		RouterMAC:    net.HardwareAddr{0x02, 0x77, 1, 0, byte(zone), byte(host)}.String(),
		RouterDevice: fmt.Sprintf("z%dh%d", zone, host),
	}
}

func (r *Region) checkNames() error {
	seen := map[string]bool{}
	for _, h := range r.Hosts {
		if seen[h.Name] {
			return fmt.Errorf("lab %s: two hosts are named %q", r.Name, h.Name)
		}
		seen[h.Name] = true
	}
	return nil
}

// Host is the host of that name, or nil.
func (r *Region) Host(name string) *Host {
	for _, h := range r.Hosts {
		if h.Name == name {
			return h
		}
	}
	return nil
}

// Servers are the hosts that run a control server.
func (r *Region) Servers() []*Host {
	var servers []*Host
	for _, h := range r.Hosts {
		if h.IsServer() {
			servers = append(servers, h)
		}
	}
	return servers
}

// IsServer reports whether the host runs a control server.
func (h *Host) IsServer() bool { return h.hasRole(ServerRole) }

func (h *Host) hasRole(role string) bool {
	return slices.Contains(h.Roles, role)
}

// Fleet is the region as a fleet file, to plan against while no lab is up.
func Fleet(file *pb.Lab) (*pb.Fleet, error) {
	r, err := NewRegion(file)
	if err != nil {
		return nil, err
	}
	fleet := &pb.Fleet{Version: 1}
	for _, h := range r.Hosts {
		fleet.Hosts = append(fleet.Hosts, h.registry())
	}
	return fleet, nil
}

func (h *Host) registry() *pb.Host {
	host := &pb.Host{
		Name: h.Name, Zone: h.Zone, Room: h.Room, Environment: Environment, Role: h.Roles, Labels: h.Labels,
		Address:  []string{h.Link.V4.String(), h.Link.V6.String()},
		Squall:   pb.SquallPolicy_SQUALL_POLICY_ALLOW,
		Commands: slices.Sorted(maps.Keys(h.Commands)), AllowUndeclaredKill: h.AllowUndeclaredKill, AllowHold: h.AllowHold,
		Presence: pb.Presence_PRESENCE_CONNECTED,
	}
	for _, w := range h.Workloads {
		canStart := len(w.GetStart()) > 0 || w.GetUnit() != ""
		host.Workloads = append(host.Workloads, &pb.HostWorkload{
			Name: w.GetName(), Role: w.GetRole(), CanStart: &canStart, Protect: w.GetProtect(),
		})
	}
	return host
}
