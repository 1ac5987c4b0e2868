package helper

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"

	"github.com/vishvananda/netlink"

	"squall/agent/host/bpf"
)

// A connector turns packets of an interface off.
type connector interface {
	Connect(net.Interface) error
}

// A wiring joins a line to the interfaces of the host.
type wiring struct {
	line connector

	known  map[int]bool // interfaces that were tried, by index
	events *os.File
	left   sync.WaitGroup
}

func newWiring(line connector) *wiring { return &wiring{line: line, known: map[int]bool{}} }

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
		if err := w.line.Connect(net.Interface{Index: a.Index, Name: a.Name}); err != nil {
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
