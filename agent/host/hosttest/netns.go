package hosttest

import (
	"fmt"
	"net/netip"
	"os"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Loopback is an address of the machine's loopback that is this process's alone. A
// port that was let go of there is free when it is taken again: no other test
// listens on it meanwhile, and no connection begins there.
func Loopback() string {
	pid := os.Getpid()
	return netip.AddrFrom4([4]byte{127, byte(64 + pid>>16&63), byte(pid >> 8), byte(pid)}).String()
}

// NetNS is a network namespace of a test, with its loopback up. It has no
// name: it is gone with the test, however that ends.
type NetNS struct{ f *os.File }

// NewNetNS makes a namespace.
func NewNetNS(t testing.TB) *NetNS {
	t.Helper()
	RequireRoot(t)
	ns := &NetNS{}
	err := onThread(func() (err error) {
		if err = unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		if ns.f, err = os.Open("/proc/thread-self/ns/net"); err != nil {
			return err
		}
		return up("lo")
	})
	if err != nil {
		t.Fatalf("make a network namespace: %v", err)
	}
	t.Cleanup(func() { ns.f.Close() })
	return ns
}

// Do runs f on a thread inside the namespace. Sockets that f opens stay there,
// and processes that it starts live there; goroutines that it starts don't.
func (n *NetNS) Do(f func() error) error {
	return onThread(func() error {
		if err := unix.Setns(int(n.f.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter network namespace: %w", err)
		}
		return f()
	})
}

// File is the namespace's descriptor, for who must enter it by itself.
func (n *NetNS) File() *os.File { return n.f }

// Pair is two namespaces with a veth between them: eth0 on either side.
type Pair struct {
	A, B *NetNS
	// Addresses of eth0 in A and B.
	A4, B4, A6, B6 netip.Addr
}

// NewPair makes two connected namespaces.
func NewPair(t testing.TB) *Pair {
	t.Helper()
	p := &Pair{
		A: NewNetNS(t), B: NewNetNS(t),
		A4: netip.MustParseAddr("10.77.0.1"), B4: netip.MustParseAddr("10.77.0.2"),
		A6: netip.MustParseAddr("fd77::1"), B6: netip.MustParseAddr("fd77::2"),
	}
	if err := p.connect(); err != nil {
		t.Fatalf("connect two namespaces: %v", err)
	}
	return p
}

func (p *Pair) connect() error {
	err := p.A.Do(func() error {
		return netlink.LinkAdd(&netlink.Veth{
			LinkAttrs:     netlink.LinkAttrs{Name: "eth0"},
			PeerName:      "eth0",
			PeerNamespace: netlink.NsFd(p.B.f.Fd()),
		})
	})
	if err != nil {
		return err
	}
	if err := p.A.Do(func() error { return p.address(p.A4, p.A6) }); err != nil {
		return err
	}
	return p.B.Do(func() error { return p.address(p.B4, p.B6) })
}

// address sets eth0 up, without waiting for duplicate address detection.
func (p *Pair) address(v4, v6 netip.Addr) error {
	link, err := netlink.LinkByName("eth0")
	if err != nil {
		return err
	}
	for _, cidr := range []string{v4.String() + "/24", v6.String() + "/64"} {
		a, err := netlink.ParseAddr(cidr)
		if err != nil {
			return err
		}
		if a.IP.To4() == nil {
			a.Flags = unix.IFA_F_NODAD
		}
		if err := netlink.AddrAdd(link, a); err != nil {
			return fmt.Errorf("add %s: %w", cidr, err)
		}
	}
	return up("eth0")
}

func up(name string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(link)
}
