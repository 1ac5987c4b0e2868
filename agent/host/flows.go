package host

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"squall/agent/host/bpf"
)

// flows are those of the sockets that processes of cgroups hold in the caller's
// network namespace: TCP, and UDP where it is connected, v4 and v6.
func (c cgroups) flows(groups []string) ([]bpf.Flow, error) {
	inodes := map[string]bool{}
	for _, cgroup := range groups {
		pids, err := c.pids(cgroup)
		if err != nil {
			return nil, err
		}
		for _, pid := range pids {
			socketInodes(pid, inodes)
		}
	}
	if len(inodes) == 0 {
		return nil, nil
	}
	var all []bpf.Flow
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		for proto, list := range map[uint32]func(uint8) ([]*netlink.Socket, error){
			unix.IPPROTO_TCP: netlink.SocketDiagTCP, unix.IPPROTO_UDP: netlink.SocketDiagUDP,
		} {
			sockets, err := list(family)
			if err != nil {
				return nil, fmt.Errorf("list sockets: %w", err)
			}
			all = append(all, flowsOf(sockets, inodes, proto)...)
		}
	}
	return all, nil
}

// flowsOf picks the sockets with one of the inodes that have a far end.
func flowsOf(sockets []*netlink.Socket, inodes map[string]bool, proto uint32) []bpf.Flow {
	var flows []bpf.Flow
	for _, s := range sockets {
		if s.ID.DestinationPort == 0 || !inodes[strconv.FormatUint(uint64(s.INode), 10)] {
			continue
		}
		flows = append(flows, bpf.Flow{
			Local: endpoint(s.ID.Source, s.ID.SourcePort), Remote: endpoint(s.ID.Destination, s.ID.DestinationPort), Proto: proto,
		})
	}
	return flows
}

func endpoint(ip net.IP, port uint16) netip.AddrPort {
	addr, _ := netip.AddrFromSlice(ip)
	return netip.AddrPortFrom(addr, port)
}
