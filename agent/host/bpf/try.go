package bpf

import (
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"time"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	pb "squall/proto/squall/v1"
)

const (
	tryLast  = 10 * time.Second // the longest that a trial may act
	tryNear  = "try0"
	tryFar   = TapPrefix + "-try" // no fault looks at what is named so
	tryHere  = "192.0.2.1/24"     // addresses that are for documentation only
	tryThere = "192.0.2.2"
	tryMAC   = "02:00:00:00:00:01"
)

// A Finding is what came of trying a mechanism: the engine that works here, or
// why none does.
type Finding struct {
	Engine string
	Err    error
}

// A trial is one mechanism, the packet that it should catch, and the counter
// that tells. Without a target it is enough that it attaches.
type trial struct {
	engine  string
	attach  func(*pb.Gate) (Attachment, error)
	target  string
	counter string
}

// Mechanisms are what Try can try.
func Mechanisms() []string { return []string{"silence", "dns.drop", "delay.line", "hold.exec"} }

// Try does mechanisms one after the other and ends them. All that need packets
// share a namespace of their own: whatever is attached there holds up network
// configuration on the whole machine for 10 ms, twice, and so is attached once.
func (k *Kit) Try(names ...string) map[string]Finding {
	found := make(map[string]Finding, len(names))
	done := make(chan struct{})
	go func() {
		defer close(done)
		// The thread is in a namespace of its own and dies with it.
		runtime.LockOSThread()
		s := k.newStage()
		for _, name := range names {
			found[name] = s.try(name)
		}
		s.close()
	}()
	<-done
	return found
}

// stage is where trials are: a kit in a namespace that nothing else is in.
type stage struct {
	kit *Kit
	// why there is no wire to try things on; nil when there is.
	why    error
	points *points
	// out is the entry for what leaves: the one for what arrives attaches alike.
	out io.Closer
}

// newStage moves the calling thread into a namespace.
func (k *Kit) newStage() *stage {
	p, err := newPoints()
	if err != nil {
		return &stage{kit: k, why: err}
	}
	s := &stage{points: p, kit: &Kit{lease: k.lease, until: k.until, offset: k.offset, token: k.token, points: p}}
	s.why = s.enter()
	return s
}

// enter makes the namespace, and in it a wire with the entries on it.
func (s *stage) enter() error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("make a network namespace: %w", err)
	}
	if err := tryWire(); err != nil {
		return err
	}
	wire, err := net.InterfaceByName(tryNear)
	if err != nil {
		return fmt.Errorf("find the wire: %w", err)
	}
	s.points.fan, s.points.stays = &fan{}, true // no other interface matters
	out, err := attach(*wire, hook{s.points.coll.Programs[entryProgEntryOut], ebpf.AttachTCXEgress}, head)
	if err != nil {
		return err
	}
	s.out = out
	return nil
}

// close ends the stage. What could not be closed ends with the namespace.
func (s *stage) close() {
	if s.out != nil {
		_ = s.out.Close()
	}
	if s.points != nil {
		_ = s.kit.spares.close()
		s.points.coll.Close()
	}
}

// try does one mechanism.
func (s *stage) try(name string) Finding {
	t, ok := s.kit.trial(name)
	if !ok {
		return Finding{Err: fmt.Errorf("try %s: no such mechanism", name)}
	}
	if err := s.act(t); err != nil {
		return Finding{Err: fmt.Errorf("try %s: %w", name, err)}
	}
	return Finding{Engine: t.engine}
}

func (s *stage) act(t trial) error {
	if t.target != "" && s.why != nil {
		return s.why
	}
	a, err := t.attach(&pb.Gate{EndBootNanos: int64(s.kit.Boot() + tryLast), IgnoreLease: true})
	if err != nil {
		return err
	}
	return errors.Join(t.prove(a), a.Close())
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
			return k.Delay(&pb.DelayLine{Gate: g, DelayNanos: 1e6, Direction: pb.Direction_DIRECTION_OUT})
		}, tryThere + ":9", "delayed_out"}, true
	case "hold.exec":
		return trial{"raw tracepoint", func(g *pb.Gate) (Attachment, error) {
			return k.HoldDown(&pb.HoldDown{Gate: g}, []uint64{1<<64 - 1}) // nobody's
		}, "", ""}, true
	}
	return trial{}, false
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
	wire := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: tryNear}, PeerName: tryFar}
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
	here, err := netlink.LinkByName(tryNear)
	if err != nil {
		return fmt.Errorf("find the wire: %w", err)
	}
	there, err := netlink.LinkByName(tryFar)
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
