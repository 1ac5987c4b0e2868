package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// hostDevice is the one interface of a host beside loopback.
const hostDevice = "eth0"

// routerSettings make a network namespace a router. Duplicate address
// detection would cost every link a second and can find nothing here.
var routerSettings = map[string]string{
	"net/ipv4/ip_forward":              "1",
	"net/ipv6/conf/all/forwarding":     "1",
	"net/ipv6/conf/all/accept_dad":     "0",
	"net/ipv6/conf/default/accept_dad": "0",
}

// hostSettings are those of a host.
var hostSettings = map[string]string{
	"net/ipv6/conf/all/accept_dad":     "0",
	"net/ipv6/conf/default/accept_dad": "0",
	"net/ipv6/conf/all/accept_ra":      "0",
	"net/ipv6/conf/default/accept_ra":  "0",
	// A program may bind :53 and the like without more rights than it has.
	"net/ipv4/ip_unprivileged_port_start": "0",
}

// sysctl writes settings of this process's own network namespace.
func sysctl(settings map[string]string) error {
	var errs []error
	for key, value := range settings {
		errs = append(errs, os.WriteFile("/proc/sys/"+key, []byte(value), 0))
	}
	return errors.Join(errs...)
}

// setUpRouter turns this process's network namespace into the region's router.
func setUpRouter() error {
	if err := sysctl(routerSettings); err != nil {
		return fmt.Errorf("set up router: %w", err)
	}
	return linkUp("lo")
}

// plug makes a host's wire: one end here, the other in the namespace of process pid.
func (l *Link) plug(pid int) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = l.RouterDevice
	attrs.HardwareAddr = mac(l.RouterMAC)
	veth := &netlink.Veth{
		LinkAttrs: attrs, PeerName: hostDevice, PeerHardwareAddr: mac(l.MAC), PeerNamespace: netlink.NsPid(pid),
	}
	if err := netlink.LinkAdd(veth); err != nil {
		return fmt.Errorf("add wire %s: %w", l.RouterDevice, err)
	}
	end := wireEnd{
		device: l.RouterDevice, own: []netip.Addr{l.Router4, l.Router6},
		peers: []netip.Addr{l.V4, l.V6}, peerMAC: mac(l.MAC),
	}
	return end.setUp()
}

// configure sets up the host's own end, in the host's own namespace.
func (l *Link) configure() error {
	if err := errors.Join(sysctl(hostSettings), linkUp("lo")); err != nil {
		return fmt.Errorf("set up network: %w", err)
	}
	end := wireEnd{
		device: hostDevice, own: []netip.Addr{l.V4, l.V6},
		peers: []netip.Addr{l.Router4, l.Router6}, peerMAC: mac(l.RouterMAC), gateway: true,
	}
	return end.setUp()
}

// wireEnd is one end of a wire: its addresses, and who is at the other.
type wireEnd struct {
	device  string
	own     []netip.Addr
	peers   []netip.Addr
	peerMAC net.HardwareAddr
	// gateway says that the other end is the way to everywhere.
	gateway bool
}

func (e *wireEnd) setUp() error {
	link, err := netlink.LinkByName(e.device)
	if err != nil {
		return fmt.Errorf("find wire %s: %w", e.device, err)
	}
	for _, addr := range e.own {
		a := &netlink.Addr{IPNet: hostNet(addr), Flags: unix.IFA_F_NODAD}
		if err := netlink.AddrAdd(link, a); err != nil {
			return fmt.Errorf("add address %v to %s: %w", addr, e.device, err)
		}
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("set %s up: %w", e.device, err)
	}
	for _, peer := range e.peers {
		if err := e.reach(link, peer); err != nil {
			return fmt.Errorf("reach %v by %s: %w", peer, e.device, err)
		}
	}
	return nil
}

// reach adds the neighbour for good, its route and, behind a gateway, all other routes.
func (e *wireEnd) reach(link netlink.Link, peer netip.Addr) error {
	index := link.Attrs().Index
	neigh := &netlink.Neigh{
		LinkIndex: index, State: netlink.NUD_PERMANENT, IP: peer.AsSlice(), HardwareAddr: e.peerMAC,
	}
	if err := netlink.NeighSet(neigh); err != nil {
		return fmt.Errorf("add neighbour: %w", err)
	}
	route := &netlink.Route{LinkIndex: index, Dst: hostNet(peer), Scope: netlink.SCOPE_LINK}
	if err := netlink.RouteReplace(route); err != nil {
		return fmt.Errorf("add route: %w", err)
	}
	if !e.gateway {
		return nil
	}
	all := &netlink.Route{LinkIndex: index, Gw: peer.AsSlice(), Flags: int(netlink.FLAG_ONLINK)}
	if err := netlink.RouteReplace(all); err != nil {
		return fmt.Errorf("add default route: %w", err)
	}
	return nil
}

func linkUp(name string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find %s: %w", name, err)
	}
	return netlink.LinkSetUp(link)
}

func hostNet(a netip.Addr) *net.IPNet {
	return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())}
}

// mac parses an address of our own making.
func mac(text string) net.HardwareAddr {
	m, err := net.ParseMAC(text)
	if err != nil {
		panic("lab: " + err.Error())
	}
	return m
}
