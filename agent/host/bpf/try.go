package bpf

import (
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strconv"
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

// Trial is one mechanism, the packet that it should catch, and the counter that
// tells. Without a port it is enough that it attaches.
type Trial struct {
	// Engine is how the mechanism works, for people.
	Engine string
	// Attach attaches it with a gate that is open.
	Attach func(*Loader, *pb.Gate) (Attachment, error)
	// Port is where the packet is sent; 0 is nowhere.
	Port uint16
	// Counter is to count it.
	Counter string
}

// Try does mechanisms one after the other and ends them. All that need packets
// share a namespace of their own: whatever is attached there holds up network
// configuration on the whole machine for 10 ms, twice, and so is attached once.
func (l *Loader) Try(trials map[string]*Trial) map[string]Finding {
	found := make(map[string]Finding, len(trials))
	done := make(chan struct{})
	go func() {
		defer close(done)
		// The thread is in a namespace of its own and dies with it.
		runtime.LockOSThread()
		s := l.newStage()
		for name, t := range trials {
			found[name] = s.try(name, t)
		}
		s.close()
	}()
	<-done
	return found
}

// stage is where trials are: a loader in a namespace that nothing else is in.
type stage struct {
	loader *Loader
	// why there is no wire to try things on; nil when there is.
	why        error
	dispatcher *dispatcher
	// out is the entry for what leaves: the one for what arrives attaches alike.
	out io.Closer
}

// newStage moves the calling thread into a namespace.
func (l *Loader) newStage() *stage {
	p, err := newDispatcher()
	if err != nil {
		return &stage{loader: l, why: err}
	}
	s := &stage{dispatcher: p, loader: &Loader{offset: l.offset, token: l.token, dispatcher: p, servers: l.servers}}
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
	s.dispatcher.links, s.dispatcher.stays = &interfaceLinks{}, true // no other interface matters
	out, err := attach(*wire, hook{s.dispatcher.coll.Programs[entryProgEntryOut], ebpf.AttachTCXEgress}, head)
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
	if s.dispatcher != nil {
		_ = s.loader.spares.close()
		s.dispatcher.coll.Close()
	}
}

// try does one mechanism.
func (s *stage) try(name string, t *Trial) Finding {
	if err := s.act(t); err != nil {
		return Finding{Err: fmt.Errorf("try %s: %w", name, err)}
	}
	return Finding{Engine: t.Engine}
}

func (s *stage) act(t *Trial) error {
	if t.Port != 0 && s.why != nil {
		return s.why
	}
	a, err := t.Attach(s.loader, &pb.Gate{EndBootNanos: int64(s.loader.Boot() + tryLast), IgnoreLease: true})
	if err != nil {
		return err
	}
	return errors.Join(t.prove(a), a.Close())
}

// prove sends a packet and asks whether it was caught.
func (t *Trial) prove(a Attachment) error {
	if t.Port == 0 {
		return nil
	}
	c, err := net.Dial("udp", net.JoinHostPort(tryThere, strconv.Itoa(int(t.Port))))
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
	if n[t.Counter] == 0 {
		return fmt.Errorf("%w: a packet got past %s", ErrUnsupported, t.Engine)
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
