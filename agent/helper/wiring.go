package helper

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"squall/agent/host/bpf"
	pb "squall/proto/squall/v1"
)

// A wiring joins a line to the interfaces of the host.
type wiring struct {
	line *bpf.Line
	loop *loop
	way  pb.Direction
	mark uint32

	known  map[int]bool // interfaces that were tried, by index
	events *os.File
	left   sync.WaitGroup
}

func newWiring(line *bpf.Line, delay time.Duration, way pb.Direction, mark uint32) *wiring {
	return &wiring{line: line, loop: newLoop(line, delay), way: way, mark: mark, known: map[int]bool{}}
}

// join turns off the traffic of every interface by which the host itself
// speaks, and of those that come up later, until leave.
func (w *wiring) join() (err error) {
	if w.events, err = bpf.LinkEvents(); err != nil {
		return err
	}
	if err := w.connect(speaks); err != nil {
		return errors.Join(err, w.events.Close())
	}
	w.left.Go(w.follow)
	return nil
}

// follow connects interfaces that come up.
func (w *wiring) follow() {
	buf := make([]byte, 1<<16)
	for {
		// Any other error means that events were lost.
		if _, err := w.events.Read(buf); errors.Is(err, os.ErrClosed) {
			return
		}
		_ = w.connect(speaksUp) // one that refuses is left alone
	}
}

// leave lets interfaces that come up alone from now on.
func (w *wiring) leave() error {
	defer w.left.Wait()
	return w.events.Close()
}

// connect tries the wanted interfaces that it has not tried yet.
func (w *wiring) connect(wanted func(*netlink.LinkAttrs) bool) error {
	links, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("list interfaces: %w", err)
	}
	var errs []error
	for _, l := range links {
		a := l.Attrs()
		if w.known[a.Index] || !wanted(a) {
			continue
		}
		w.known[a.Index] = true
		if err := w.connectDevice(a); err != nil {
			errs = append(errs, fmt.Errorf("interface %s: %w", a.Name, err))
		}
	}
	return errors.Join(errs...)
}

// speaks: the parts of a bridge or a bond don't, what they are part of does.
func speaks(a *netlink.LinkAttrs) bool {
	return a.EncapType == "ether" && a.MasterIndex == 0 && !isTap(a.Name)
}

// speaksUp: before a new interface is up, it may yet become part of another.
func speaksUp(a *netlink.LinkAttrs) bool { return speaks(a) && a.Flags&net.FlagUp != 0 }

// connectDevice gives one device its TAPs and lanes.
func (w *wiring) connectDevice(a *netlink.LinkAttrs) error {
	p, err := w.openPort(a)
	if err == nil {
		err = w.line.Connect(net.Interface{Index: a.Index, Name: a.Name}, p.out.index, p.in.index)
	}
	if err != nil {
		return errors.Join(err, p.close())
	}
	w.loop.add(p.lanes...)
	return nil
}

// A port is what one device needs in user space. Without a direction, its TAP
// has no index.
type port struct {
	out, in tap
	lanes   []lane
}

// openPort opens a port. It is to be closed also after an error.
func (w *wiring) openPort(a *netlink.LinkAttrs) (port, error) {
	var p port
	if w.way != pb.Direction_DIRECTION_IN {
		if err := p.openOut(a, w.mark); err != nil {
			return p, err
		}
	}
	if w.way == pb.Direction_DIRECTION_IN || w.way == pb.Direction_DIRECTION_BOTH {
		return p, p.openIn(a)
	}
	return p, nil
}

// openOut: frames return by a packet socket.
func (p *port) openOut(a *netlink.LinkAttrs, mark uint32) (err error) {
	if p.out, err = openTap(a.MTU); err != nil {
		return err
	}
	back, err := openSender(a.Index, mark)
	if err != nil {
		return errors.Join(err, unix.Close(p.out.fd))
	}
	p.lanes = append(p.lanes, lane{from: p.out.fd, to: back})
	return nil
}

// openIn: frames return by the TAP that they came by.
func (p *port) openIn(a *netlink.LinkAttrs) (err error) {
	if p.in, err = openTap(a.MTU); err != nil {
		return err
	}
	p.lanes = append(p.lanes, lane{from: p.in.fd, to: p.in.fd})
	return nil
}

// close gives up a port that no loop has.
func (p port) close() error {
	var errs []error
	for _, n := range p.lanes {
		errs = append(errs, unix.Close(n.from))
		if n.to != n.from {
			errs = append(errs, unix.Close(n.to))
		}
	}
	return errors.Join(errs...)
}
