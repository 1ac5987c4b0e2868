package bpf

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"squall/agent/host/hosttest/late"
	pb "squall/proto/squall/v1"
)

// TestServerLearnedOfInMidFaultIsExempt from every fault that holds, from the
// next packet on: in both families, a delay line in its process included.
func TestServerLearnedOfInMidFaultIsExempt(t *testing.T) {
	const mark, delay = 0x5a11, 200 * time.Millisecond
	exempt := &pb.Exempt{Mark: mark}
	for name, fault := range map[string]func(*Loader) (Attachment, error){
		"silence": func(l *Loader) (Attachment, error) {
			return l.Silence(now(l, time.Minute), &pb.Silence{Exempt: exempt}, nil)
		},
		"delay": func(l *Loader) (Attachment, error) {
			return l.Delay(now(l, time.Minute), &pb.DelayLine{
				DelayNanos: int64(delay), Direction: pb.Direction_DIRECTION_BOTH, Exempt: exempt,
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, loader := newPair(t), newLoader(t)
			attachIn(t, p.here, func() (Attachment, error) { return fault(loader) })
			for _, ip := range []string{there4, there6} {
				server := net.JoinHostPort(ip, "7000")
				p.there.accept(t, server)
				if took := p.here.reach(t, marked(mark, 2*delay), server); took < delay {
					t.Errorf("%s answers a server nobody told of after %v", name, took)
				}
				must(t, loader.Exempt([]string{server}))
				late.Excuse(t, lateBy, func() string {
					return above(name+" to "+server+", which is exempt,", p.here.reach(t, marked(mark, 2*delay), server), delay)
				})
			}
		})
	}
}

// reach is how long a connection takes, or its dialer has tried.
func (s *space) reach(t testing.TB, d *net.Dialer, to string) time.Duration {
	t.Helper()
	began := time.Now()
	c, err := s.dial(t, d, to)
	if err == nil {
		_ = c.Close()
	}
	return time.Since(began)
}

// TestSpareServesWhoeverIsExempt: learning of a server costs no fault its programs.
func TestSpareServesWhoeverIsExempt(t *testing.T) {
	p, loader := newPair(t), newLoader(t)
	p.here.run(t, func() {
		must(t, loader.Attach())
		must(t, Warm(loader.Silence(&pb.Gate{}, &pb.Silence{Exempt: &pb.Exempt{Mark: 1}}, nil)))
		a, err := loader.Silence(now(loader, time.Minute), &pb.Silence{
			Exempt: &pb.Exempt{Mark: 1, Servers: []string{"192.0.2.1:7000"}},
		}, nil)
		must(t, err)
		if len(loader.spares.of) != 0 {
			t.Error("it has programs of its own")
		}
		must(t, a.Close())
	})
	var is uint8
	key, err := serverOf("192.0.2.1:7000")
	must(t, err)
	if err := loader.servers.Lookup(key, &is); err != nil {
		t.Errorf("its server is not exempt: %v", err)
	}
}

// TestTooManyServersAreAnError, and whoever can be read is exempt all the same.
func TestTooManyServersAreAnError(t *testing.T) {
	loader := newLoader(t)
	if err := loader.Exempt([]string{"by-name:7000", "192.0.2.1:7000"}); err == nil {
		t.Error("a name is taken for a server")
	}
	var is uint8
	key, err := serverOf("192.0.2.1:7000")
	must(t, err)
	if err := loader.servers.Lookup(key, &is); err != nil {
		t.Errorf("the server after it is not exempt: %v", err)
	}
	var many []string
	for i := range MaxServers {
		many = append(many, netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}), 7000).String())
	}
	if err := loader.Exempt(many); err == nil {
		t.Error("there is room for more than the programs have")
	}
}
