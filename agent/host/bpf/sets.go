package bpf

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"

	pb "squall/proto/squall/v1"
)

// Keys of the programs' maps, laid out as in the C sources. Addresses are
// IPv6, IPv4 ones mapped.
type (
	endpointKey struct {
		Addr [16]byte
		Port [2]byte
		_    [2]byte
	}
	peerKey struct {
		Bits uint32
		Port [2]byte
		Addr [16]byte
	}
	prefixKey struct {
		Bits uint32
		Addr [16]byte
	}
)

// portBits precede the address in a peerKey.
const portBits = 16

// sized makes room for n entries.
func sized(spec *ebpf.CollectionSpec, name string, n int) {
	spec.Maps[name].MaxEntries = uint32(max(1, n))
}

// fill puts keys into a set.
func fill[K any](m *ebpf.Map, keys []K) error {
	for _, k := range keys {
		if err := m.Put(k, uint8(1)); err != nil {
			return fmt.Errorf("fill a BPF map: %w", err)
		}
	}
	return nil
}

// netPort is a port in network order.
func netPort(p uint16) (b [2]byte) {
	binary.BigEndian.PutUint16(b[:], p)
	return b
}

// exempt is what a fault leaves alone, parsed.
type exempt struct {
	mark    uint32
	servers []endpointKey
	peers   []peerKey
}

// exemptOf parses the exemption of an operation.
func exemptOf(e *pb.Exempt) (exempt, error) {
	x := exempt{mark: e.GetMark()}
	for _, s := range e.GetServers() {
		key, err := serverOf(s)
		if err != nil {
			return x, err
		}
		x.servers = append(x.servers, key)
	}
	for _, m := range e.GetManagement() {
		p, err := prefixOf(m.GetPrefix())
		if err != nil {
			return x, err
		}
		x.peers = append(x.peers, peerKey{p.Bits + portBits, netPort(uint16(m.GetPort())), p.Addr})
	}
	return x, nil
}

// serverOf reads address:port.
func serverOf(s string) (endpointKey, error) {
	ap, err := netip.ParseAddrPort(s)
	if err != nil {
		return endpointKey{}, fmt.Errorf("read server %q: %w", s, err)
	}
	return endpointKey{Addr: ap.Addr().As16(), Port: netPort(ap.Port())}, nil
}

// declare sizes the map and sets the mark before the programs are loaded.
func (x exempt) declare(spec *ebpf.CollectionSpec) error {
	sized(spec, silenceMapManagement, len(x.peers))
	return setVars(spec, map[string]any{silenceVarExemptMark: x.mark})
}

// apply fills the map of management peers once it exists.
func (x exempt) apply(coll *ebpf.Collection) error {
	return fill(coll.Maps[silenceMapManagement], x.peers)
}

// prefixOf reads a prefix or a single address.
func prefixOf(s string) (prefixKey, error) {
	p, err := netip.ParsePrefix(s)
	if a, e := netip.ParseAddr(s); e == nil {
		p, err = netip.PrefixFrom(a.WithZone(""), a.BitLen()), nil
	}
	if err != nil {
		return prefixKey{}, fmt.Errorf("read prefix %q: %w", s, err)
	}
	bits := p.Bits()
	if p.Addr().Is4() {
		bits += 96
	}
	return prefixKey{uint32(bits), p.Masked().Addr().As16()}, nil
}
