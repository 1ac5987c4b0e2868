package bpf

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"squall/agent/host/hosttest/lack"
	pb "squall/proto/squall/v1"
)

// A pair is two hosts joined by a wire: here is the one that faults are put
// on, there its peer.
type pair struct{ here, there *space }

// A space is a network namespace that lives as long as its test.
type space struct {
	file *os.File
	nl   *netlink.Handle
}

const (
	here4, there4 = "10.99.0.1", "10.99.0.2"
	here6, there6 = "fd99::1", "fd99::2"
)

func newPair(t testing.TB) *pair {
	t.Helper()
	lack.OfRoot(t)
	p := &pair{newSpace(t), newSpace(t)}
	wire := &netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "eth0",
		PeerNamespace: netlink.NsFd(int(p.there.file.Fd())),
	}
	must(t, p.here.nl.LinkAdd(wire))
	p.here.address(t, here4+"/24", here6+"/64")
	p.there.address(t, there4+"/24", there6+"/64")
	p.meet(t)
	return p
}

// meet lets the two ends find each other: the first solicitations of a new
// interface may be lost, and cost a second.
func (p *pair) meet(t testing.TB) {
	t.Helper()
	for _, addr := range []string{there4, there6} {
		to := net.JoinHostPort(addr, "4")
		p.there.listenUDP(t, to)
		roundTrips(t, p.here, to, 1)
	}
}

func newSpace(t testing.TB) *space {
	t.Helper()
	var s space
	apart(func() {
		must(t, unix.Unshare(unix.CLONE_NEWNET))
		f, err := os.Open("/proc/thread-self/ns/net")
		must(t, err)
		s.file = f
	})
	h, err := netlink.NewHandleAt(netns.NsHandle(s.file.Fd()))
	must(t, err)
	s.nl = h
	t.Cleanup(func() { h.Close(); _ = s.file.Close() })
	lo, err := h.LinkByName("lo")
	must(t, err)
	must(t, h.LinkSetUp(lo))
	return &s
}

func (s *space) address(t testing.TB, addrs ...string) {
	t.Helper()
	l, err := s.nl.LinkByName("eth0")
	must(t, err)
	for _, a := range addrs {
		addr, err := netlink.ParseAddr(a)
		must(t, err)
		if addr.IP.To4() == nil {
			addr.Flags = unix.IFA_F_NODAD
		}
		must(t, s.nl.AddrAdd(l, addr))
	}
	must(t, s.nl.LinkSetUp(l))
}

// run does f in the namespace, on a thread that ends with it.
func (s *space) run(t testing.TB, f func()) {
	t.Helper()
	apart(func() {
		must(t, unix.Setns(int(s.file.Fd()), unix.CLONE_NEWNET))
		f()
	})
}

// command is a program in the namespace.
func (s *space) command(t testing.TB, name string, args ...string) *exec.Cmd {
	t.Helper()
	line := append([]string{fmt.Sprintf("--net=/proc/%d/fd/%d", os.Getpid(), s.file.Fd()), "--", name}, args...)
	return exec.Command("nsenter", line...)
}

func (s *space) sysctl(t testing.TB, name, value string) {
	t.Helper()
	s.run(t, func() { must(t, os.WriteFile("/proc/sys/net/"+name, []byte(value), 0)) })
}

// apart runs f on a thread of its own and lets the thread die. Where f ends the
// test, that ends the caller too.
func apart(f func()) {
	returned, done := false, make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		f()
		returned = true
	}()
	<-done
	if !returned {
		runtime.Goexit()
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newLoader(t testing.TB) *Loader {
	t.Helper()
	lack.OfRoot(t)
	loader, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = loader.Close() })
	return loader
}

// now is a gate that is open for a time.
func now(loader *Loader, d time.Duration) *pb.Gate {
	return &pb.Gate{EndBootNanos: int64(loader.Boot() + d), IgnoreLease: true}
}

// attachIn attaches in a namespace and detaches with the test.
func attachIn(t testing.TB, s *space, f func() (Attachment, error)) Attachment {
	t.Helper()
	var a Attachment
	s.run(t, func() {
		var err error
		a, err = f()
		must(t, err)
	})
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

// listenUDP opens an echo server in the namespace.
func (s *space) listenUDP(t testing.TB, addr string) {
	t.Helper()
	s.run(t, func() {
		c, err := net.ListenPacket("udp", addr)
		must(t, err)
		t.Cleanup(func() { _ = c.Close() })
		go echo(c)
	})
}

func echo(c net.PacketConn) {
	buf := make([]byte, 2048)
	for {
		n, from, err := c.ReadFrom(buf)
		if err != nil {
			return
		}
		_, _ = c.WriteTo(buf[:n], from)
	}
}

// inSpace dials one address in the namespace, whatever was asked for.
func inSpace(s *space, to string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (c net.Conn, err error) {
		apart(func() {
			if err = unix.Setns(int(s.file.Fd()), unix.CLONE_NEWNET); err == nil {
				c, err = net.Dial(network, to)
			}
		})
		return c, err
	}
}
