package bpf

import (
	"net"
	"testing"
	"time"

	pb "squall/proto/squall/v1"
)

// lost sends datagrams to an address that answers all of them, and counts the
// answers that did not come.
func lost(t testing.TB, s *space, to string, n int) (missing int) {
	t.Helper()
	s.run(t, func() {
		c, err := net.Dial("udp", to)
		must(t, err)
		defer func() { _ = c.Close() }()
		for range n {
			_, err := c.Write([]byte("x"))
			must(t, err)
			must(t, c.SetReadDeadline(time.Now().Add(100*time.Millisecond)))
			if _, err := c.Read(make([]byte, 1)); err != nil {
				missing++
			}
		}
	})
	return missing
}

// TestProgramsOfAWholeHostAreUsedAgain: each use begins with its own gate and
// with counters at zero, and between two of them packets pass.
func TestProgramsOfAWholeHostAreUsedAgain(t *testing.T) {
	t.Parallel()
	for name, op := range map[string]func(*pb.Gate) func(*Loader) (Attachment, error){
		"dropped_out": func(g *pb.Gate) func(*Loader) (Attachment, error) {
			return func(loader *Loader) (Attachment, error) { return loader.Silence(g, &pb.Silence{}, nil) }
		},
		"queries_dropped": func(g *pb.Gate) func(*Loader) (Attachment, error) {
			return func(loader *Loader) (Attachment, error) {
				return loader.DropDNS(g, &pb.DropDNS{SharePpm: wholePPM, Seed: 7})
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, loader := newPair(t), newLoader(t)
			to := net.JoinHostPort(there4, "53")
			p.there.listenUDP(t, to)
			p.here.run(t, func() {
				must(t, loader.Attach())
				must(t, Warm(loader.Silence(&pb.Gate{}, &pb.Silence{}, nil)))
				must(t, Warm(loader.DropDNS(&pb.Gate{}, &pb.DropDNS{SharePpm: wholePPM})))
			})
			var loaded any
			for range 3 {
				if n := lost(t, p.here, to, 2); n != 0 {
					t.Errorf("%d packets are lost without a fault", n)
				}
				a := attachIn(t, p.here, func() (Attachment, error) { return op(now(loader, time.Minute))(loader) })
				if again := a.(*attached).coll; loaded == nil {
					loaded = again
				} else if loaded != again {
					t.Error("the programs were loaded anew")
				}
				if n := lost(t, p.here, to, 2); n != 2 {
					t.Errorf("%d of 2 packets are lost", n)
				}
				must(t, a.Close())
				if n, err := a.Counters(); err != nil || n[name] < 2 {
					t.Errorf("counters %v, %v: want 2 %s", n, err, name)
				}
				if n, err := readCounters(a.(*attached).coll, []string{"first", "second"}); err != nil || n["first"]+n["second"] != 0 {
					t.Errorf("counters of a spare: %v, %v", n, err)
				}
			}
			if spares := len(loader.spares.of); spares != 2 {
				t.Errorf("%d spares, want 2", spares)
			}
		})
	}
}

// TestTwoFaultsOfOneShapeActTogether: the second has programs of its own.
func TestTwoFaultsOfOneShapeActTogether(t *testing.T) {
	t.Parallel()
	p, loader := newPair(t), newLoader(t)
	to := net.JoinHostPort(there4, "53")
	p.there.listenUDP(t, to)
	p.here.run(t, func() {
		must(t, loader.Attach())
		must(t, Warm(loader.DropDNS(&pb.Gate{}, &pb.DropDNS{SharePpm: wholePPM})))
	})
	drop := func() (Attachment, error) {
		return loader.DropDNS(now(loader, time.Minute), &pb.DropDNS{SharePpm: wholePPM})
	}
	first, second := attachIn(t, p.here, drop), attachIn(t, p.here, drop)
	for _, a := range []Attachment{first, second} {
		if n := lost(t, p.here, to, 1); n != 1 {
			t.Error("a packet passed a fault that holds")
		}
		must(t, a.Close())
	}
	if n := lost(t, p.here, to, 2); n != 0 || len(loader.spares.of) != 1 {
		t.Errorf("%d packets lost, %d spares, want 0 and 1", n, len(loader.spares.of))
	}
}
