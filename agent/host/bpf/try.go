package bpf

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	pb "squall/proto/squall/v1"
)

const (
	tryLast  = 10 * time.Second // the longest that a trial may act
	tryHere  = "192.0.2.1/24"   // addresses that are for documentation only
	tryThere = "192.0.2.2"
	tryMAC   = "02:00:00:00:00:01"
)

// A trial is one mechanism, the packet that it should catch, and the counter
// that tells.
type trial struct {
	engine  string
	attach  func(*pb.Gate) (Attachment, error)
	target  string
	counter string
}

// Try does one mechanism in a namespace of its own and ends it: silence,
// dns.drop, delay.line or hold.exec. Detail names the engine.
func (k *Kit) Try(name string) (detail string, err error) {
	own, err := k.fork()
	if err != nil {
		return "", fmt.Errorf("try %s: %w", name, err)
	}
	defer func() { err = errors.Join(err, own.points.close()) }()
	t, ok := own.trial(name)
	if !ok {
		return "", fmt.Errorf("try %s: no such mechanism", name)
	}
	done := make(chan error)
	go func() {
		// The thread is in a namespace of its own and dies with it.
		runtime.LockOSThread()
		done <- own.apart(t)
	}()
	if err := <-done; err != nil {
		return "", fmt.Errorf("try %s: %w", name, err)
	}
	return t.engine, nil
}

// fork is a kit under the same lease with points of its own.
func (k *Kit) fork() (*Kit, error) {
	p, err := newPoints()
	if err != nil {
		return nil, err
	}
	return &Kit{lease: k.lease, until: k.until, offset: k.offset, points: p}, nil
}

// trial finds how a mechanism is tried.
func (k *Kit) trial(name string) (trial, bool) {
	switch name {
	case "silence":
		return trial{"tcx", func(g *pb.Gate) (Attachment, error) {
			return k.Silence(&pb.Silence{Gate: g})
		}, tryThere + ":9", "dropped_out"}, true
	case "dns.drop":
		return trial{"tcx", func(g *pb.Gate) (Attachment, error) {
			return k.DropDNS(&pb.DropDNS{Gate: g, SharePpm: wholePPM})
		}, tryThere + ":53", "queries_dropped"}, true
	case "delay.line":
		return trial{"delay line", func(g *pb.Gate) (Attachment, error) {
			return k.Delay(&pb.DelayLine{Gate: g, DelayNanos: 1e6, Direction: pb.Direction_DIRECTION_BOTH})
		}, tryThere + ":9", "delayed_out"}, true
	case "hold.exec":
		return trial{"raw tracepoint", func(g *pb.Gate) (Attachment, error) {
			return k.HoldDown(&pb.HoldDown{Gate: g}, []uint64{1<<64 - 1}) // nobody's
		}, "", ""}, true
	}
	return trial{}, false
}

// apart carries a trial out in a namespace that nothing else is in.
func (k *Kit) apart(t trial) error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("make a network namespace: %w", err)
	}
	if err := tryWire(); err != nil {
		return err
	}
	a, err := t.attach(&pb.Gate{EndBootNanos: int64(k.Boot() + tryLast), IgnoreLease: true})
	if err != nil {
		return err
	}
	return errors.Join(t.prove(a), a.Close())
}

// prove sends a packet and asks whether it was caught.
func (t trial) prove(a Attachment) error {
	if t.target == "" {
		return nil
	}
	c, err := net.Dial("udp", t.target)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Write([]byte{0}); err != nil {
		return fmt.Errorf("send a packet: %w", err)
	}
	n, err := a.Counters()
	if err != nil {
		return err
	}
	if n[t.counter] == 0 {
		return fmt.Errorf("%w: a packet got past %s", ErrUnsupported, t.engine)
	}
	return nil
}

// tryWire makes two ends of a wire, one with an address and a neighbour.
func tryWire() error {
	wire := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "try0"}, PeerName: "try1"}
	if err := netlink.LinkAdd(wire); err != nil {
		return fmt.Errorf("make a wire (veth): %w", err)
	}
	addr, err := netlink.ParseAddr(tryHere)
	if err != nil {
		return err
	}
	mac, err := net.ParseMAC(tryMAC)
	if err != nil {
		return err
	}
	here, err := netlink.LinkByName("try0")
	if err != nil {
		return fmt.Errorf("find the wire: %w", err)
	}
	there, err := netlink.LinkByName("try1")
	if err != nil {
		return fmt.Errorf("find the wire: %w", err)
	}
	return errors.Join(
		netlink.AddrAdd(here, addr),
		netlink.LinkSetUp(there),
		netlink.LinkSetUp(here),
		netlink.NeighSet(&netlink.Neigh{
			LinkIndex: here.Attrs().Index, State: netlink.NUD_PERMANENT,
			IP: net.ParseIP(tryThere), HardwareAddr: mac,
		}),
	)
}
