package bpf

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"

	pb "squall/proto/squall/v1"
)

// detach takes all programs off the way out of an interface, as anybody
// with the rights can.
func (s *space) detach(t testing.TB, device string) (taken int) {
	t.Helper()
	s.run(t, func() {
		i, err := net.InterfaceByName(device)
		must(t, err)
		found, err := link.QueryPrograms(link.QueryOptions{Target: i.Index, Attach: ebpf.AttachTCXEgress})
		must(t, err)
		for _, p := range found.Programs {
			id, _ := p.LinkID()
			l, err := link.NewFromID(id)
			must(t, err)
			must(t, l.Detach())
			must(t, l.Close())
			taken++
		}
	})
	return taken
}

// ended says whether a fault has ended by itself.
func ended(a Attachment) bool {
	select {
	case <-a.Done():
		return true
	default:
		return false
	}
}

// TestDetachedProgramIsADeath, told at the next reading, and the next fault acts.
func TestDetachedProgramIsADeath(t *testing.T) {
	t.Parallel()
	p, loader := newPair(t), newLoader(t)
	to := net.JoinHostPort(there4, "53")
	p.there.listenUDP(t, to)
	p.here.run(t, func() { must(t, loader.Attach()) })
	silence := func() (Attachment, error) { return loader.Silence(now(loader, time.Minute), &pb.Silence{}, nil) }
	a := attachIn(t, p.here, silence)
	if _, err := a.Counters(); err != nil || ended(a) {
		t.Fatalf("before: %v", err)
	}
	if n := p.here.detach(t, "eth0"); n != 1 {
		t.Fatalf("%d programs were there, want 1", n)
	}
	if _, err := a.Counters(); !errors.Is(err, ErrDetached) {
		t.Errorf("counters of what was detached: %v", err)
	}
	if !ended(a) || a.Cause() == nil || a.Cause().Error() != "squall_entry_o on eth0: detached by somebody else" {
		t.Errorf("ended: %v, because of %v", ended(a), a.Cause())
	}
	must(t, a.Close())
	next := attachIn(t, p.here, silence)
	if n := lost(t, p.here, to, 1); n != 1 {
		t.Error("the next fault does not act")
	}
	if _, err := next.Counters(); err != nil || ended(next) {
		t.Errorf("the next fault: %v", err)
	}
}

// TestRemovedInterfaceIsNoDeath: the programs on it are gone with it.
func TestRemovedInterfaceIsNoDeath(t *testing.T) {
	t.Parallel()
	p, loader := newPair(t), newLoader(t)
	more := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "more0"}, PeerName: "more1"}
	must(t, p.here.nl.LinkAdd(more))
	var faults []Attachment
	faults = append(faults, attachIn(t, p.here, func() (Attachment, error) {
		return loader.Silence(now(loader, time.Minute), &pb.Silence{}, nil)
	}), attachIn(t, p.here, func() (Attachment, error) {
		return loader.Delay(now(loader, time.Minute), &pb.DelayLine{DelayNanos: 1e6})
	}))
	must(t, p.here.nl.LinkDel(more))
	for _, a := range faults {
		if _, err := a.Counters(); err != nil || ended(a) {
			t.Errorf("after the interface has gone: %v", err)
		}
	}
}
