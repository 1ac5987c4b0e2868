package bpf

import (
	"net/netip"
	"testing"

	pb "squall/proto/squall/v1"
)

// TestPrefixesOfBothFamiliesShareOneTrie.
func TestPrefixesOfBothFamiliesShareOneTrie(t *testing.T) {
	tests := []struct {
		in   string
		bits uint32
		addr string
	}{
		{"10.1.2.3/16", 112, "::ffff:10.1.0.0"},
		{"10.1.2.3", 128, "::ffff:10.1.2.3"},
		{"0.0.0.0/0", 96, "::ffff:0.0.0.0"},
		{"fd00:1::/32", 32, "fd00:1::"},
		{"fd00::1", 128, "fd00::1"},
		{"::/0", 0, "::"},
	}
	for _, tt := range tests {
		got, err := prefixOf(tt.in)
		if err != nil || got.Bits != tt.bits || got.Addr != netip.MustParseAddr(tt.addr).As16() {
			t.Errorf("prefixOf(%q) = %v, %v", tt.in, got, err)
		}
	}
	for _, bad := range []string{"", "10.0.0.0/33", "host", "10.0.0.0/-1"} {
		if _, err := prefixOf(bad); err == nil {
			t.Errorf("prefixOf(%q) succeeds", bad)
		}
	}
}

// FuzzExempt: no text breaks the parsers, and what they accept fits a trie.
func FuzzExempt(f *testing.F) {
	f.Add("10.0.0.1:7000", "10.0.0.0/8")
	f.Add("[fe80::1%eth0]:1", "::ffff:10.0.0.0/104")
	f.Fuzz(func(t *testing.T, server, prefix string) {
		x, err := exemptOf(&pb.Exempt{Servers: []string{server}, Management: []*pb.ManagementPeer{{Prefix: prefix, Port: 22}}})
		if err == nil && x.peers[0].Bits > portBits+128 {
			t.Errorf("prefix %q has %d bits", prefix, x.peers[0].Bits)
		}
	})
}
