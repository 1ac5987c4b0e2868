package bpf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"squall/agent/host/hosttest/late"
	pb "squall/proto/squall/v1"
)

const (
	upperHere4, upperThere4 = "10.97.0.1", "10.97.0.2"
	upperHere6, upperThere6 = "fd97::1", "fd97::2"
)

// stacks are interfaces over eth0, by kind. Each returns the top one.
var stacks = map[string]func(t *testing.T, s *space, peer string) netlink.Link{
	"a VLAN": func(t *testing.T, s *space, _ string) netlink.Link {
		return s.vlan(t, "eth0", 7, netlink.VLAN_PROTOCOL_8021Q)
	},
	"a VLAN in a VLAN": func(t *testing.T, s *space, _ string) netlink.Link {
		outer := s.vlan(t, "eth0", 7, netlink.VLAN_PROTOCOL_8021AD)
		return s.vlan(t, outer.Attrs().Name, 8, netlink.VLAN_PROTOCOL_8021Q)
	},
	"macvlan": func(t *testing.T, s *space, _ string) netlink.Link {
		return s.over(t, "eth0", func(a netlink.LinkAttrs) netlink.Link {
			return &netlink.Macvlan{LinkAttrs: a, Mode: netlink.MACVLAN_MODE_BRIDGE}
		})
	},
	"vxlan": func(t *testing.T, s *space, peer string) netlink.Link {
		return s.over(t, "eth0", func(a netlink.LinkAttrs) netlink.Link {
			a.ParentIndex = 0
			return &netlink.Vxlan{LinkAttrs: a, VxlanId: 9, Group: net.ParseIP(peer), Port: 4789}
		})
	},
	"a bridge": func(t *testing.T, s *space, _ string) netlink.Link {
		return s.bridge(t, "eth0")
	},
	"a pair of which one end is in a bridge": func(t *testing.T, s *space, _ string) netlink.Link {
		must(t, s.nl.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "in"}, PeerName: "end"}))
		s.bridge(t, "eth0", "end")
		return s.link(t, "in")
	},
}

func (s *space) link(t *testing.T, name string) netlink.Link {
	t.Helper()
	l, err := s.nl.LinkByName(name)
	must(t, err)
	return l
}

// over makes an interface over another.
func (s *space) over(t *testing.T, lower string, kind func(netlink.LinkAttrs) netlink.Link) netlink.Link {
	t.Helper()
	name := lower + "u"
	l := kind(netlink.LinkAttrs{Name: name, ParentIndex: s.link(t, lower).Attrs().Index})
	err := s.nl.LinkAdd(l)
	if errors.Is(err, unix.EOPNOTSUPP) {
		t.Skipf("MISSING IN THIS KERNEL: interfaces of type %s", l.Type())
	}
	must(t, err)
	must(t, s.nl.LinkSetUp(l))
	return s.link(t, name)
}

func (s *space) vlan(t *testing.T, lower string, id int, kind netlink.VlanProtocol) netlink.Link {
	return s.over(t, lower, func(a netlink.LinkAttrs) netlink.Link {
		return &netlink.Vlan{LinkAttrs: a, VlanId: id, VlanProtocol: kind}
	})
}

func (s *space) bridge(t *testing.T, ports ...string) netlink.Link {
	t.Helper()
	must(t, s.nl.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}}))
	b := s.link(t, "br0")
	for _, p := range ports {
		must(t, s.nl.LinkSetMaster(s.link(t, p), b))
		must(t, s.nl.LinkSetUp(s.link(t, p)))
	}
	must(t, s.nl.LinkSetUp(b))
	return b
}

// stack builds the same at both ends, and gives them addresses.
func (p *pair) stack(t *testing.T, build func(*testing.T, *space, string) netlink.Link) {
	t.Helper()
	for _, e := range []struct {
		s     *space
		peer  string
		addrs []string
	}{
		{p.here, there4, []string{upperHere4 + "/24", upperHere6 + "/64"}},
		{p.there, here4, []string{upperThere4 + "/24", upperThere6 + "/64"}},
	} {
		l := build(t, e.s, e.peer)
		for _, a := range e.addrs {
			addr, err := netlink.ParseAddr(a)
			must(t, err)
			if addr.IP.To4() == nil {
				addr.Flags = unix.IFA_F_NODAD
			}
			must(t, e.s.nl.AddrAdd(l, addr))
		}
		must(t, e.s.nl.LinkSetUp(l))
	}
}

// TestStackedInterfacesDelayOnce: each packet has the delay once, whatever it
// passes through, and a stream of large segments arrives as it was sent.
func TestStackedInterfacesDelayOnce(t *testing.T) {
	const delay = 50 * time.Millisecond
	for name, build := range stacks {
		t.Run(name, func(t *testing.T) {
			p, loader := newPair(t), newLoader(t)
			p.stack(t, build)
			to4, to6 := net.JoinHostPort(upperThere4, echoPort), net.JoinHostPort(upperThere6, echoPort)
			for _, to := range []string{to4, to6} {
				p.there.listenUDP(t, to)
				p.there.listenTCP(t, to)
				p.knows(t, to)
			}
			a := attachIn(t, p.here, func() (Attachment, error) {
				return loader.Delay(now(loader, time.Minute), &pb.DelayLine{
					DelayNanos: int64(delay), Direction: pb.Direction_DIRECTION_BOTH,
				})
			})
			for _, to := range []string{to4, to6} {
				if took := roundTrips(t, p.here, to, 5); took[0] < 2*delay || took[0] > 3*delay {
					t.Errorf("%s: round trips %v, want %v", to, took, 2*delay)
				}
			}
			n, err := a.Counters()
			if err != nil || n["delayed_out"] < 10 || n["delayed_in"] < 10 || n["lost"]+n["stale"] != 0 {
				t.Errorf("counters %v, %v", n, err)
			}
			for _, to := range []string{to4, to6} {
				echoesStream(t, p.here, to)
			}
		})
	}
}

// knows waits until a way is there.
func (p *pair) knows(t *testing.T, to string) {
	t.Helper()
	for deadline := time.Now().Add(enough); ; {
		heard := false
		p.here.run(t, func() {
			c, err := net.Dial("udp", to)
			must(t, err)
			defer c.Close()
			_, _ = c.Write([]byte{0})
			_ = c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
			_, err = c.Read(make([]byte, 1))
			heard = err == nil
		})
		if heard {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("no way to %s", to)
		}
	}
}

// listenTCP opens an echo server in the namespace.
func (s *space) listenTCP(t *testing.T, addr string) {
	t.Helper()
	s.run(t, func() {
		l, err := net.Listen("tcp", addr)
		must(t, err)
		t.Cleanup(func() { _ = l.Close() })
		go func() {
			for c, err := l.Accept(); err == nil; c, err = l.Accept() {
				go func() { _, _ = io.Copy(c, c); _ = c.Close() }()
			}
		}()
	})
}

// echoesStream sends a stream there and back.
func echoesStream(t *testing.T, s *space, to string) {
	t.Helper()
	sent := make([]byte, 1<<20)
	for i := range sent {
		sent[i] = byte(rand.N(256))
	}
	s.run(t, func() {
		c, err := net.Dial("tcp", to)
		must(t, err)
		defer c.Close()
		go func() { _, _ = c.Write(sent); _ = c.(*net.TCPConn).CloseWrite() }()
		must(t, c.SetReadDeadline(time.Now().Add(20*time.Second)))
		got, err := io.ReadAll(c)
		if err != nil || !bytes.Equal(got, sent) {
			t.Errorf("%s: %d of %d bytes came back, as sent: %v, %v", to, len(got), len(sent), bytes.Equal(got, sent), err)
		}
	})
}

// tagsBefore are the tags of frames of a kind, outermost first.
var tagsBefore = map[string][]byte{
	"untagged":      nil,
	"802.1Q":        {0x81, 0, 0x20, 7},
	"priority only": {0x81, 0, 0xe0, 0},
	"QinQ":          {0x88, 0xa8, 0, 7, 0x81, 0, 0, 8},
	"three tags":    {0x88, 0xa8, 0, 7, 0x81, 0, 0, 8, 0x81, 0, 0, 9},
}

// TestTaggedFramesAreHeldAsTheyAre: once each, and byte for byte the same.
func TestTaggedFramesAreHeldAsTheyAre(t *testing.T) {
	const delay = 50 * time.Millisecond
	for _, way := range []pb.Direction{pb.Direction_DIRECTION_OUT, pb.Direction_DIRECTION_IN} {
		t.Run(way.String(), func(t *testing.T) {
			p, loader := newPair(t), newLoader(t)
			attachIn(t, p.here, func() (Attachment, error) {
				return loader.Delay(now(loader, time.Minute), &pb.DelayLine{DelayNanos: int64(delay), Direction: way})
			})
			from, copies := p.here, 1
			listener := p.there
			if way == pb.Direction_DIRECTION_IN { // seen as it comes, and as it comes back
				from, listener, copies = p.there, p.here, 2
			}
			ear := listener.tap(t)
			heldFor := func() (took []time.Duration) {
				for name, tags := range tagsBefore {
					for _, v6 := range []bool{false, true} {
						frame := p.frame(t, from, tags, v6)
						start := time.Now()
						from.sendFrame(t, frame)
						var last time.Time
						for i := range copies {
							got, at := ear.hear(t, frame[len(frame)-16:], enough)
							last = at
							if !bytes.Equal(got, frame) {
								t.Errorf("%s, v6 %v, copy %d:\n%x, want\n%x", name, v6, i, got, frame)
							}
						}
						took = append(took, last.Sub(start))
					}
				}
				return took
			}
			late.Excuse(t, lateBy, func() string {
				took := heldFor()
				slices.Sort(took)
				if took[0] < delay {
					t.Errorf("held for %v, want %v", took, delay)
				}
				return above("the quickest quarter of frames", pick(took, 0.25), delay+10*time.Millisecond)
			})
		})
	}
}

// frame is a datagram as one end sends it, ending in 16 bytes that no other has.
func (p *pair) frame(t *testing.T, from *space, tags []byte, v6 bool) []byte {
	t.Helper()
	to := p.there
	if from == p.there {
		to = p.here
	}
	b := append([]byte{}, to.link(t, "eth0").Attrs().HardwareAddr...)
	b = append(b, from.link(t, "eth0").Attrs().HardwareAddr...)
	b = append(b, tags...)
	body := binary.BigEndian.AppendUint64([]byte{0, 9, 0, 9, 0, 24, 0, 0}, rand.Uint64())
	body = binary.BigEndian.AppendUint64(body, rand.Uint64())
	if v6 {
		b = append(b, 0x86, 0xdd, 0x60, 0, 0, 0, 0, byte(len(body)), unix.IPPROTO_UDP, 64)
		b = append(b, net.ParseIP(there6)...)
		b = append(b, net.ParseIP(here6)...)
	} else {
		b = append(b, 8, 0, 0x45, 0, 0, byte(20+len(body)), 0, 1, 0, 0, 64, unix.IPPROTO_UDP, 0, 0)
		b = append(b, net.ParseIP(there4).To4()...)
		b = append(b, net.ParseIP(here4).To4()...)
	}
	return append(b, body...)
}

// sendFrame puts a frame out by eth0.
func (s *space) sendFrame(t *testing.T, frame []byte) {
	t.Helper()
	s.run(t, func() {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		must(t, err)
		defer func() { _ = unix.Close(fd) }()
		must(t, unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{
			Ifindex: s.link(t, "eth0").Attrs().Index, Protocol: binary.LittleEndian.Uint16(frame[12:]),
		}))
	})
}

// An ear hears frames that arrive at eth0.
type ear int

func (s *space) tap(t *testing.T) ear {
	t.Helper()
	var fd int
	s.run(t, func() {
		const all = unix.ETH_P_ALL << 8
		var err error
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, all)
		must(t, err)
		must(t, unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1))
		must(t, unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: s.link(t, "eth0").Attrs().Index, Protocol: all}))
	})
	t.Cleanup(func() { _ = unix.Close(fd) })
	return ear(fd)
}

// hear waits for a frame that ends in some bytes, and returns it with its
// outermost tag, which the kernel has beside it, or nothing after a while.
func (e ear) hear(t *testing.T, end []byte, patience time.Duration) ([]byte, time.Time) {
	t.Helper()
	limit := unix.NsecToTimeval(int64(patience))
	must(t, unix.SetsockoptTimeval(int(e), unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit))
	buf, control := make([]byte, 2048), make([]byte, 256)
	for {
		n, c, from, err := receive(int(e), buf, control)
		if err != nil {
			return nil, time.Now()
		}
		if l, ok := from.(*unix.SockaddrLinklayer); ok && l.Pkttype == unix.PACKET_OUTGOING {
			continue
		}
		if at := time.Now(); bytes.HasSuffix(buf[:n], end) {
			return withTag(t, buf[:n], control[:c]), at
		}
	}
}

// withTag puts the tag in that the kernel tells beside the frame.
func withTag(t *testing.T, frame, control []byte) []byte {
	t.Helper()
	messages, err := unix.ParseSocketControlMessage(control)
	must(t, err)
	for _, m := range messages {
		status := binary.NativeEndian.Uint32(m.Data)
		if m.Header.Type != unix.PACKET_AUXDATA || status&unix.TP_STATUS_VLAN_VALID == 0 {
			continue
		}
		tag := binary.BigEndian.AppendUint16(nil, binary.NativeEndian.Uint16(m.Data[18:]))
		tag = binary.BigEndian.AppendUint16(tag, binary.NativeEndian.Uint16(m.Data[16:]))
		return append(append(append([]byte{}, frame[:addresses]...), tag...), frame[addresses:]...)
	}
	return append([]byte{}, frame...)
}

// TestForwardedPacketIsHeldOnce: a router delays what comes and what goes, but
// no packet twice.
func TestForwardedPacketIsHeldOnce(t *testing.T) {
	const delay = 50 * time.Millisecond
	p, loader := newPair(t), newLoader(t)
	inner := newSpace(t)
	guest := &pair{p.here, inner}
	guest.wire(t, "eth1", "10.96.0.1", "10.96.0.2")
	p.here.sysctl(t, "ipv4/ip_forward", "1")
	for s, via := range map[*space]string{p.there: here4, inner: "10.96.0.1"} {
		must(t, s.nl.RouteAdd(&netlink.Route{Gw: net.ParseIP(via)}))
	}
	to := net.JoinHostPort(there4, echoPort)
	p.there.listenUDP(t, to)
	(&pair{inner, p.there}).knows(t, to)
	attachIn(t, p.here, func() (Attachment, error) {
		return loader.Delay(now(loader, time.Minute), &pb.DelayLine{
			DelayNanos: int64(delay), Direction: pb.Direction_DIRECTION_BOTH,
		})
	})
	if took := roundTrips(t, inner, to, 5); took[0] < 2*delay || took[0] > 3*delay {
		t.Errorf("round trips %v through a router, want %v", took, 2*delay)
	}
}

// TestSilenceKeepsWhatIsHeld: packets that a delay line holds when a silence
// begins do not leave.
func TestSilenceKeepsWhatIsHeld(t *testing.T) {
	for delay := 300 * time.Millisecond; !silencedInTime(t, delay); delay *= 2 {
		t.Logf("the machine is busy: the silence began more than %s after the packet", delay)
	}
}

// silencedInTime sends a packet through a delay line, and then silences the host.
// It tells whether that was in time, before the packet was due to leave.
func silencedInTime(t *testing.T, delay time.Duration) bool {
	t.Helper()
	p, loader := newPair(t), newLoader(t)
	attachIn(t, p.here, func() (Attachment, error) {
		return loader.Delay(now(loader, time.Minute), &pb.DelayLine{DelayNanos: int64(delay)})
	})
	ear := p.there.tap(t)
	first := p.frame(t, p.here, nil, false)
	p.here.sendFrame(t, first)
	if got, _ := ear.hear(t, first[len(first)-16:], enough); got == nil {
		t.Fatal("nothing leaves before the silence")
	}
	held, sent := p.frame(t, p.here, nil, false), time.Now()
	p.here.sendFrame(t, held)
	silence := attachIn(t, p.here, func() (Attachment, error) { return loader.Silence(now(loader, time.Minute), &pb.Silence{}, nil) })
	if time.Since(sent) >= delay && delay < enough {
		return false
	}
	if got, _ := ear.hear(t, held[len(held)-16:], delay+soon); got != nil {
		t.Error("a held packet left a silent host")
	}
	if n, err := silence.Counters(); err != nil || n["dropped_out"] == 0 {
		t.Errorf("counters %v, %v", n, err)
	}
	return true
}

// TestSilentHostAsksForNoAddress: what DHCP clients send by a packet socket stays
// here like all else.
func TestSilentHostAsksForNoAddress(t *testing.T) {
	p, loader := newPair(t), newLoader(t)
	ear := p.there.tap(t)
	ask := func(patience time.Duration) []byte {
		frame := p.frame(t, p.here, nil, false)
		binary.BigEndian.PutUint16(frame[14+ipv4Size:], 68)
		binary.BigEndian.PutUint16(frame[14+ipv4Size+2:], 67)
		p.here.sendFrame(t, frame)
		got, _ := ear.hear(t, frame[len(frame)-16:], patience)
		return got
	}
	if ask(enough) == nil {
		t.Fatal("not heard before the silence")
	}
	attachIn(t, p.here, func() (Attachment, error) { return loader.Silence(now(loader, time.Minute), &pb.Silence{}, nil) })
	if ask(soon) != nil {
		t.Error("heard during the silence")
	}
}
