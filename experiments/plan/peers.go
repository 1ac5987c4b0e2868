package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"

	"squall/experiments/near"
	pb "squall/proto/squall/v1"
)

// peers resolves the other side of a connection to prefixes, adds them to the
// plan's sets, and gives their digest.
func (m *maker) peers(at string, to *pb.Peers) string {
	var prefixes []string
	before := len(m.p.GetProblems())
	for _, name := range m.peerHosts(at, to) {
		for _, address := range m.hosts[name].GetAddress() {
			prefixes = m.prefix(at, prefixes, address)
		}
	}
	for i, text := range to.GetPrefix() {
		prefixes = m.prefix(index(at+".prefix", i), prefixes, text)
	}
	slices.Sort(prefixes)
	prefixes = slices.Compact(prefixes)
	if len(prefixes) == 0 && len(m.p.GetProblems()) > before {
		return "" // what is wrong with the peers is told already
	}
	if len(prefixes) == 0 {
		m.problem(pb.Refusal_REFUSAL_EMPTY_TARGET, at, "the peers have no address", "name zones or hosts with addresses, or prefixes")
		return ""
	}
	return m.addressSet(prefixes)
}

// peerHosts are all hosts that `to` names: what is named is joined.
func (m *maker) peerHosts(at string, to *pb.Peers) []string {
	for i, host := range to.GetHost() {
		if m.hosts[host] == nil {
			m.problem(pb.Refusal_REFUSAL_UNKNOWN, index(at+".host", i), "there is no host "+quoted(host), near.Fix(host, "host", m.sorted))
		}
	}
	zones := m.expand(at+".zone", to.GetZone())
	var found []string
	for _, name := range m.sorted {
		h := m.hosts[name]
		if slices.Contains(zones, h.GetZone()) || slices.Contains(to.GetRoom(), h.GetRoom()) || slices.Contains(to.GetHost(), name) {
			found = append(found, name)
		}
	}
	return found
}

// prefix adds an address or prefix in its one spelling.
func (m *maker) prefix(path string, list []string, text string) []string {
	if !strings.Contains(text, "/") {
		if a, err := netip.ParseAddr(text); err == nil {
			a = a.Unmap().WithZone("")
			return append(list, netip.PrefixFrom(a, a.BitLen()).String())
		}
	} else if p, err := netip.ParsePrefix(text); err == nil {
		return append(list, p.Masked().String())
	}
	m.problem(pb.Refusal_REFUSAL_INVALID, path, quoted(text)+" is not an address or a prefix", "write 10.20.0.15, 10.20.0.0/16 or an IPv6 prefix")
	return list
}

func (m *maker) addressSet(prefixes []string) string {
	sum := sha256.Sum256([]byte(strings.Join(prefixes, "\n")))
	digest := hex.EncodeToString(sum[:])
	if !slices.ContainsFunc(m.p.GetAddressSets(), func(s *pb.AddressSet) bool { return s.GetDigest() == digest }) {
		m.p.AddressSets = append(m.p.AddressSets, &pb.AddressSet{Digest: digest, Prefix: prefixes})
	}
	return digest
}
