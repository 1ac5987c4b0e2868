package bpf

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"squall/agent/host/hosttest/late"
	pb "squall/proto/squall/v1"
)

// serveDNS answers every question in the namespace, on UDP and TCP.
func serveDNS(t testing.TB, s *space, addrs ...string) {
	t.Helper()
	for _, addr := range addrs {
		s.run(t, func() {
			u, err := net.ListenPacket("udp", addr)
			must(t, err)
			l, err := net.Listen("tcp", addr)
			must(t, err)
			for _, server := range []*dns.Server{{PacketConn: u}, {Listener: l}} {
				server.Handler, server.ReadTimeout = dns.HandlerFunc(answer), time.Minute
				server.IdleTimeout = func() time.Duration { return time.Minute }
				go func() { _ = server.ActivateAndServe() }()
				t.Cleanup(func() { _ = server.Shutdown() })
			}
		})
	}
}

func answer(w dns.ResponseWriter, q *dns.Msg) {
	m := new(dns.Msg).SetReply(q)
	if q.Question[0].Qtype == dns.TypeA {
		rr, _ := dns.NewRR(q.Question[0].Name + " 60 IN A 192.0.2.7")
		m.Answer = append(m.Answer, rr)
	}
	_ = w.WriteMsg(m)
}

// ask asks one question by a connection of its own.
func ask(t testing.TB, s *space, network, addr string, patience time.Duration) (err error) {
	t.Helper()
	s.run(t, func() {
		var c *dns.Conn
		if c, err = dns.DialTimeout(network, addr, patience); err == nil {
			defer func() { _ = c.Close() }()
			err = askOn(c, patience)
		}
	})
	return err
}

func askOn(c *dns.Conn, patience time.Duration) error {
	_ = c.SetDeadline(time.Now().Add(patience))
	if err := c.WriteMsg(new(dns.Msg).SetQuestion("www.example.com.", dns.TypeA)); err != nil {
		return err
	}
	_, err := c.ReadMsg()
	return err
}

// TestLookupsVanish on every way that they can take, and nothing else does.
func TestLookupsVanish(t *testing.T) {
	t.Parallel()
	p, loader := newPair(t), newLoader(t)
	var ways [][2]string
	for _, ip := range []string{there4, there6} {
		ways = append(ways, [2]string{"udp", net.JoinHostPort(ip, "53")}, [2]string{"tcp", net.JoinHostPort(ip, "53")},
			[2]string{"tcp", net.JoinHostPort(ip, "853")})
		serveDNS(t, p.there, net.JoinHostPort(ip, "53"), net.JoinHostPort(ip, "853"), net.JoinHostPort(ip, "80"))
	}
	for _, ip := range []string{"127.0.0.53", "::1"} {
		ways = append(ways, [2]string{"udp", net.JoinHostPort(ip, "53")}, [2]string{"tcp", net.JoinHostPort(ip, "53")})
		serveDNS(t, p.here, net.JoinHostPort(ip, "53"))
	}
	all := func(when string, patience time.Duration, ok func(error) bool) {
		for _, w := range ways {
			if err := ask(t, p.here, w[0], w[1], patience); !ok(err) {
				t.Errorf("%s: %s %s: %v", when, w[0], w[1], err)
			}
		}
	}
	all("before", enough, func(err error) bool { return err == nil })
	open := map[string]*dns.Conn{}
	p.here.run(t, func() {
		for _, port := range []string{"53", "80"} {
			c, err := dns.Dial("tcp", net.JoinHostPort(there4, port))
			must(t, err)
			t.Cleanup(func() { _ = c.Close() })
			open[port] = c
		}
	})
	a := attachIn(t, p.here, func() (Attachment, error) {
		return loader.DropDNS(now(loader, time.Minute), &pb.DropDNS{SharePpm: wholePPM})
	})
	all("during", soon, isTimeout)
	if err := askOn(open["53"], soon); !isTimeout(err) {
		t.Errorf("during: on an open DNS connection: %v", err)
	}
	if err := askOn(open["80"], enough); err != nil {
		t.Errorf("during: on another open connection: %v", err)
	}
	if err := ask(t, p.here, "tcp", there4+":80", enough); err != nil {
		t.Errorf("during: on another new connection: %v", err)
	}
	if err := ask(t, p.there, "udp", there4+":53", enough); err != nil {
		t.Errorf("during: on another host: %v", err)
	}
	must(t, a.Close())
	all("after", enough, func(err error) bool { return err == nil })
	n, err := a.Counters()
	if err != nil || n["queries_dropped"] == 0 {
		t.Errorf("counters %v, %v", n, err)
	}
}

// TestResolversHangUntilTheirOwnTimeout: no library sees an error of ours.
func TestResolversHangUntilTheirOwnTimeout(t *testing.T) {
	for _, server := range []string{there4, there6, "127.0.0.53"} {
		t.Run(server, func(t *testing.T) {
			t.Parallel()
			p, loader := newPair(t), newLoader(t)
			at := p.there
			if server == "127.0.0.53" {
				at = p.here
			}
			serveDNS(t, at, net.JoinHostPort(server, "53"))
			glibc := resolver(t, p.here, server)
			if got := glibc("www.example.com"); got != "0 0" {
				t.Errorf("before: glibc got %s", got)
			}
			attachIn(t, p.here, func() (Attachment, error) {
				return loader.DropDNS(now(loader, time.Minute), &pb.DropDNS{SharePpm: wholePPM})
			})
			late.Excuse(t, lateBy, func() string {
				start := time.Now()
				got := glibc("www.example.com")
				took := time.Since(start)
				// EAI_AGAIN, with the EAGAIN that a wait of its own left behind.
				if got != "-3 11" || took < 1900*time.Millisecond {
					t.Errorf("during: glibc got %s after %v, want -3 11 after 2s", got, took)
				}
				return above("during: glibc", took, 2600*time.Millisecond)
			})
		})
	}
}

// TestOneWorkloadsLookupsVanish, from a socket that is connected or not.
func TestOneWorkloadsLookupsVanish(t *testing.T) {
	t.Parallel()
	p, loader := newPair(t), newLoader(t)
	cgroup := newCgroup(t)
	mount, err := cgroupMount()
	must(t, err)
	server := net.JoinHostPort(there4, "53")
	serveDNS(t, p.there, server)
	attachIn(t, p.here, func() (Attachment, error) {
		return loader.DropDNS(now(loader, time.Minute), &pb.DropDNS{SharePpm: wholePPM, Cgroups: []string{cgroup}}, idsOf(t, cgroup)...)
	})
	inside := func(name string, args ...string) *exec.Cmd {
		script := `echo $$ > "$1"; shift; exec "$@"`
		line := append([]string{"-c", script, "sh", filepath.Join(mount, cgroup, "cgroup.procs"), name}, args...)
		return p.here.command(t, "sh", line...)
	}
	exe, err := os.Executable()
	must(t, err)
	for _, way := range []string{"connected", "unconnected"} {
		if out, err := inside(exe, "ask", way, server).CombinedOutput(); err != nil || string(out) != "timeout\n" {
			t.Errorf("inside, %s: %s %v", way, out, err)
		}
		if out, err := p.here.command(t, exe, "ask", way, server).CombinedOutput(); err != nil || string(out) != "ok\n" {
			t.Errorf("outside, %s: %s %v", way, out, err)
		}
	}
}

// TestShareOfLookups: as many as asked vanish, and the same ones for a seed.
func TestShareOfLookups(t *testing.T) {
	t.Parallel()
	p, loader := newPair(t), newLoader(t)
	p.there.listenUDP(t, there4+":53")
	fates := func(seed uint64) (lost []int) {
		a := attachIn(t, p.here, func() (Attachment, error) {
			return loader.DropDNS(now(loader, time.Minute), &pb.DropDNS{SharePpm: 300_000, Seed: seed})
		})
		lost = lostQueries(t, p.here, here4+":40053", there4+":53", 1000, a)
		must(t, a.Close())
		return lost
	}
	first, again, other := fates(1), fates(1), fates(2)
	if len(first) < 250 || len(first) > 350 {
		t.Errorf("%d of 1000 queries lost, want about 300", len(first))
	}
	if fmt.Sprint(first) != fmt.Sprint(again) {
		t.Error("the same seed lost other queries")
	}
	if fmt.Sprint(first) == fmt.Sprint(other) {
		t.Error("another seed lost the same queries")
	}
}

// lostQueries sends n queries with ids of their own from one port, and lists
// those that were not answered. It waits for all answers but those to what the
// fault has dropped, and sends no more meanwhile than sockets have room for.
func lostQueries(t testing.TB, s *space, from, to string, n int, fault Attachment) (lost []int) {
	t.Helper()
	const underway = 50
	dropped := func() int {
		counters, err := fault.Counters()
		must(t, err)
		return int(counters["queries_dropped"])
	}
	local, err := net.ResolveUDPAddr("udp", from)
	must(t, err)
	s.run(t, func() {
		d := net.Dialer{}
		if local.Port != 0 {
			d.LocalAddr = local
		}
		c, err := d.Dial("udp", to)
		must(t, err)
		defer func() { _ = c.Close() }()
		seen := map[int]bool{}
		for id := range n {
			q := new(dns.Msg).SetQuestion("example.com.", dns.TypeA)
			q.Id = uint16(id)
			b, err := q.Pack()
			must(t, err)
			_, err = c.Write(b)
			must(t, err)
			gather(c, seen, time.Millisecond/2)
			for end := time.Now().Add(enough); id+1-len(seen)-dropped() > underway && time.Now().Before(end); {
				gather(c, seen, 5*time.Millisecond)
			}
		}
		for end := time.Now().Add(enough); len(seen)+dropped() < n && time.Now().Before(end); {
			gather(c, seen, 5*time.Millisecond)
		}
		gather(c, seen, 200*time.Millisecond) // what was dropped and is answered all the same
		for id := range n {
			if !seen[id] {
				lost = append(lost, id)
			}
		}
	})
	return lost
}

// gather notes the ids of answers until none comes for a while.
func gather(c net.Conn, seen map[int]bool, patience time.Duration) {
	buf := make([]byte, 1500)
	for {
		_ = c.SetReadDeadline(time.Now().Add(patience))
		if _, err := c.Read(buf); err != nil {
			return
		}
		seen[int(buf[0])<<8|int(buf[1])] = true
	}
}

// TestShareIsDecidedOnceThoughAStubForwards.
func TestShareIsDecidedOnceThoughAStubForwards(t *testing.T) {
	t.Parallel()
	p, loader := newPair(t), newLoader(t)
	p.there.listenUDP(t, there4+":53")
	startChild(t, p.here, newCgroup(t), "stub", there4+":53")
	a := attachIn(t, p.here, func() (Attachment, error) {
		return loader.DropDNS(now(loader, time.Minute), &pb.DropDNS{SharePpm: 500_000, Seed: 7})
	})
	lost := lostQueries(t, p.here, "127.0.0.1:0", "127.0.0.53:53", 1000, a)
	if len(lost) < 430 || len(lost) > 570 {
		n, err := a.Counters()
		t.Errorf("%d of 1000 queries lost, want about 500; %v %v", len(lost), n, err)
	}
}

// TestNoErrorReachesASender that asks for errors, as glibc does.
func TestNoErrorReachesASender(t *testing.T) {
	t.Parallel()
	p, loader := newPair(t), newLoader(t)
	attachIn(t, p.here, func() (Attachment, error) {
		return loader.DropDNS(now(loader, time.Minute), &pb.DropDNS{SharePpm: wholePPM})
	})
	p.here.run(t, func() {
		for _, to := range []string{there4 + ":53", "127.0.0.53:53"} {
			c, err := net.Dial("udp", to)
			must(t, err)
			defer func() { _ = c.Close() }()
			raw, err := c.(*net.UDPConn).SyscallConn()
			must(t, err)
			must(t, raw.Control(func(fd uintptr) {
				must(t, unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_RECVERR, 1))
			}))
			for range 10 {
				if _, err := c.Write([]byte("a query")); err != nil {
					t.Errorf("%s: %v", to, err)
				}
			}
			_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s: read: %v", to, err)
			}
		}
	})
}
