package bpf

import (
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"squall/agent/host/hosttest/late"
	pb "squall/proto/squall/v1"
)

const echoPort = "7007"

// holderDelay is the delay that holders put on.
const holderDelay = 100 * time.Millisecond

// roundTrips sends n datagrams one after another and returns sorted times.
func roundTrips(t testing.TB, s *space, to string, n int) []time.Duration {
	t.Helper()
	return pacedTrips(t, s, to, 0, n)
}

// pacedTrips is roundTrips with a pause before each.
func pacedTrips(t testing.TB, s *space, to string, pause time.Duration, n int) []time.Duration {
	t.Helper()
	var took []time.Duration
	s.run(t, func() {
		c, err := net.Dial("udp", to)
		must(t, err)
		defer c.Close()
		buf := make([]byte, 64)
		for range n {
			time.Sleep(pause)
			start := time.Now()
			_, err := c.Write(buf)
			must(t, err)
			must(t, c.SetReadDeadline(start.Add(enough)))
			_, err = c.Read(buf)
			must(t, err)
			took = append(took, time.Since(start))
		}
	})
	slices.Sort(took)
	return took
}

// pick is a quantile of sorted times.
func pick(d []time.Duration, q float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	return d[min(len(d)-1, int(q*float64(len(d))))]
}

func TestDelayHoldsBothWaysAndBothFamilies(t *testing.T) {
	const delay = 20 * time.Millisecond
	for _, way := range []pb.Direction{pb.Direction_DIRECTION_OUT, pb.Direction_DIRECTION_IN, pb.Direction_DIRECTION_BOTH} {
		t.Run(way.String(), func(t *testing.T) {
			p, loader := newPair(t), newLoader(t)
			to4, to6 := net.JoinHostPort(there4, echoPort), net.JoinHostPort(there6, echoPort)
			p.there.listenUDP(t, to4)
			p.there.listenUDP(t, to6)
			a := attachIn(t, p.here, func() (Attachment, error) {
				return loader.Delay(now(loader, time.Minute), &pb.DelayLine{
					DelayNanos: int64(delay), Direction: way,
					Prefix: []string{there4 + "/32", there6},
				})
			})
			want := delay
			if way == pb.Direction_DIRECTION_BOTH {
				want = 2 * delay
			}
			for _, to := range []string{to4, to6} {
				late.Excuse(t, lateBy, func() string {
					took := roundTrips(t, p.here, to, 20)
					t.Log(to, took[0], pick(took, 0.5), took[len(took)-1])
					if took[0] < want {
						t.Errorf("%s: round trips %v, want %v", to, took, want)
					}
					// Those are left out that may have waited for a processor.
					return above(to+": the quickest quarter of round trips", pick(took, 0.25), want+5*time.Millisecond)
				})
			}
			n, err := a.Counters()
			if err != nil || n["delayed_out"]+n["delayed_in"] == 0 || n["lost"]+n["stale"] != 0 {
				t.Errorf("counters %v, %v", n, err)
			}
			start := time.Now()
			if err := a.Close(); err != nil {
				t.Error(err)
			}
			t.Log("close", time.Since(start))
			if took := roundTrips(t, p.here, to4, 3); took[0] > delay/2 {
				t.Errorf("still delayed after Close: %v", took)
			}
		})
	}
}

// lateBy is how late a machine may be of which exact times are asked.
const lateBy = 2 * time.Millisecond

// above says that something took longer than its limit; empty where it did not.
func above(what string, took, limit time.Duration) string {
	if took <= limit {
		return ""
	}
	return fmt.Sprintf("%s took %v, want at most %v", what, took, limit)
}

// TestNothingIsLostAfterTheKill: from the kill on, packets pass as if there
// were no line, though its process takes a while to die.
func TestNothingIsLostAfterTheKill(t *testing.T) {
	for name, line := range map[string]bool{"of the line": true, "of its worker": false} {
		t.Run(name, func(t *testing.T) {
			late.Excuse(t, holderDelay/4, func() string {
				sent, slow := afterKill(t, line)
				if sent > 0 && len(slow) == 0 {
					return ""
				}
				return fmt.Sprintf("of %d datagrams, these are lost or late, by when they were sent after the kill: %v", sent, slow)
			})
		})
	}
}

// afterKill kills a delay line or its worker. It returns how many datagrams
// were sent in the time of the delay after that, and when those of them that
// did not come back or had the delay.
func afterKill(t testing.TB, line bool) (sent int, slow []time.Duration) {
	t.Helper()
	p := newPair(t)
	to := net.JoinHostPort(there4, echoPort)
	p.there.listenUDP(t, to)
	pid := startHolder(t, p.here, "delay").Process.Pid
	if line {
		pid = children(t, pid)[0]
	}
	r := startStream(t, p.here, to)
	time.Sleep(holderDelay + 50*time.Millisecond)
	must(t, unix.Kill(pid, unix.SIGKILL))
	killed := time.Now()
	time.Sleep(2 * holderDelay)
	r.stop(killed, 0)
	for i, at := range r.sent {
		if at.Before(killed) || at.After(killed.Add(holderDelay)) {
			continue
		}
		sent++
		if took, ok := r.answered[uint32(i)]; !ok || took >= holderDelay {
			slow = append(slow, at.Sub(killed))
		}
	}
	return sent, slow
}

// TestDelayFollowsInterfaces: one that comes up during the fault has the delay
// too.
func TestDelayFollowsInterfaces(t *testing.T) {
	const delay = 20 * time.Millisecond
	p, loader := newPair(t), newLoader(t)
	attachIn(t, p.here, func() (Attachment, error) {
		return loader.Delay(now(loader, time.Minute), &pb.DelayLine{DelayNanos: int64(delay)})
	})
	p.wire(t, "eth1", "10.98.0.1", "10.98.0.2")
	to := net.JoinHostPort("10.98.0.2", echoPort)
	p.there.listenUDP(t, to)
	for deadline := time.Now().Add(enough); ; {
		took := roundTrips(t, p.here, to, 1)[0]
		if took >= delay {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("round trip %v by an interface that came up long ago, want %v", took, delay)
		}
	}
}

// wire joins the two by another pair of interfaces.
func (p *pair) wire(t testing.TB, name, here, there string) {
	t.Helper()
	must(t, p.here.nl.LinkAdd(&netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: name,
		PeerNamespace: netlink.NsFd(int(p.there.file.Fd())),
	}))
	for s, addr := range map[*space]string{p.here: here, p.there: there} {
		l, err := s.nl.LinkByName(name)
		must(t, err)
		a, err := netlink.ParseAddr(addr + "/24")
		must(t, err)
		must(t, s.nl.AddrAdd(l, a))
		must(t, s.nl.LinkSetUp(l))
	}
}
