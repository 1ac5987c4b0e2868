package probe_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"squall/proto/hist"
	"squall/proto/probe"
	pb "squall/proto/squall/v1"
)

func span(d time.Duration) *pb.Span { return &pb.Span{Nanos: int64(d)} }

func httpProbe(url, status string) *pb.Probe {
	return &pb.Probe{Kind: &pb.Probe_Http{Http: &pb.HTTPProbe{Url: url, Status: status}}}
}

func TestHTTPUsesAFreshConnection(t *testing.T) {
	var connections sync.Map
	count := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		connections.Store(r.RemoteAddr, true)
		if r.URL.Path == "/moved" {
			http.Redirect(w, r, "/", http.StatusFound)
		}
	}))
	defer s.Close()
	for range 3 {
		if r := probe.Probe(t.Context(), httpProbe(s.URL, "2xx")); !r.OK || r.Duration <= 0 {
			t.Fatalf("reading %+v", r)
		}
	}
	connections.Range(func(any, any) bool { count++; return true })
	if count != 3 {
		t.Errorf("%d connections for 3 attempts", count)
	}
	if r := probe.Probe(t.Context(), httpProbe(s.URL+"/moved", "2xx")); r.OK || !strings.Contains(r.Err, "status 302") {
		t.Errorf("a redirect was followed: %+v", r)
	}
	if r := probe.Probe(t.Context(), httpProbe(s.URL+"/moved", "302")); !r.OK {
		t.Errorf("reading %+v", r)
	}
}

func TestTCPTellsOpenFromClosed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &pb.Probe{Kind: &pb.Probe_Tcp{Tcp: &pb.TCPProbe{Address: l.Addr().String()}}}
	if r := probe.Probe(t.Context(), p); !r.OK {
		t.Errorf("reading %+v", r)
	}
	l.Close()
	if r := probe.Probe(t.Context(), p); r.OK || r.Err == "" {
		t.Errorf("reading %+v", r)
	}
}

func TestTimeoutEndsAnAttempt(t *testing.T) {
	s, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() // it never answers
	r := probe.Probe(t.Context(), &pb.Probe{
		Timeout: span(50 * time.Millisecond),
		Kind:    &pb.Probe_Dns{Dns: &pb.DNSProbe{Name: "a.test", Server: s.LocalAddr().String()}},
	})
	if r.OK || r.Duration < 45*time.Millisecond || r.Duration > time.Second {
		t.Errorf("reading %+v", r)
	}
}

func TestDNSWantsARecordOfItsType(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		switch {
		case q.Question[0].Name == "none.test.":
			m.Rcode = dns.RcodeNameError
		case q.Question[0].Qtype == dns.TypeA:
			a, _ := dns.NewRR(q.Question[0].Name + " 5 IN A 192.0.2.7")
			m.Answer = []dns.RR{a}
		}
		_ = w.WriteMsg(m)
	})}
	go s.ActivateAndServe() //nolint:errcheck // ends with the test
	defer s.Shutdown()      //nolint:errcheck // ends with the test
	for _, c := range []struct{ name, kind, want string }{
		{"a.test", "A", ""},
		{"a.test", "AAAA", "no record"},
		{"none.test", "A", "NXDOMAIN"},
		{"a.test", "BOGUS", "unknown"},
	} {
		r := probe.Probe(t.Context(), &pb.Probe{Kind: &pb.Probe_Dns{Dns: &pb.DNSProbe{
			Name: c.name, Type: c.kind, Server: conn.LocalAddr().String(),
		}}})
		if r.OK != (c.want == "") || !strings.Contains(r.Err, c.want) {
			t.Errorf("%s %s: %+v", c.name, c.kind, r)
		}
	}
}

func TestKindThatThisBuildLacksFails(t *testing.T) {
	if r := probe.Probe(t.Context(), &pb.Probe{}); r.OK || r.Err == "" {
		t.Errorf("reading %+v", r)
	}
}

func task(name string, every, timeout time.Duration) *pb.ProbeTask {
	return &pb.ProbeTask{Run: "r", Bit: 9, Probe: &pb.PlannedProbe{
		Name: name, Probe: &pb.Probe{Every: span(every), Timeout: span(timeout)},
	}}
}

// simulate runs probes in simulated time and returns the windows.
func simulate(t *testing.T, tasks []*pb.ProbeTask, length time.Duration, attempt func(context.Context) probe.Reading) []*pb.Window {
	var closed []*pb.Window
	synctest.Test(t, func(t *testing.T) {
		windows := make(chan *pb.Window, 1000)
		r := probe.NewRunner(probe.Options{
			Zone:    "zone-a",
			Now:     func() (int64, bool) { return time.Now().UnixNano(), true },
			Attempt: func(ctx context.Context, _ *pb.PlannedProbe) probe.Reading { return attempt(ctx) },
			Closed:  func(w *pb.Window) { windows <- w },
		})
		time.Sleep(300 * time.Millisecond) // not on a whole second
		r.Set(tasks)
		time.Sleep(length)
		r.Set(tasks) // the same set disturbs nothing
		r.Close()
		close(windows)
		for w := range windows {
			closed = append(closed, w)
		}
	})
	return closed
}

func TestWindowsCloseEachSecond(t *testing.T) {
	closed := simulate(t, []*pb.ProbeTask{task("p", 250*time.Millisecond, time.Second)}, 5*time.Second,
		func(context.Context) probe.Reading {
			time.Sleep(10 * time.Millisecond)
			return probe.Reading{OK: true, Duration: 10 * time.Millisecond}
		})
	if len(closed) != 5 {
		t.Fatalf("%d windows", len(closed))
	}
	for i, w := range closed[1:] {
		if w.GetSecond() != closed[i].GetSecond()+1 || w.GetCount() != 4 || w.GetSuccess() != 4 ||
			hist.Count(w.GetLatency()) != 4 || w.GetZone() != "zone-a" || string(w.GetHosts()) != "\x00\x02" {
			t.Errorf("window %v", w)
		}
	}
}

func TestHangingAttemptsEndAtTheirTimeoutAndCountAsFailed(t *testing.T) {
	closed := simulate(t, []*pb.ProbeTask{task("p", time.Second, 1500*time.Millisecond)}, 10*time.Second,
		func(ctx context.Context) probe.Reading {
			begun := time.Now()
			<-ctx.Done()
			return probe.Reading{Duration: time.Since(begun), Err: ctx.Err().Error()}
		})
	if len(closed) < 7 {
		t.Fatalf("%d windows", len(closed))
	}
	for _, w := range closed {
		if w.GetCount() != 1 || w.GetSuccess() != 0 {
			t.Errorf("window %v", w)
		}
	}
}

func TestValueOfAWindowIsTheLast(t *testing.T) {
	n := 0.0
	closed := simulate(t, []*pb.ProbeTask{task("p", 500*time.Millisecond, time.Second)}, 3*time.Second,
		func(context.Context) probe.Reading {
			n++
			v := n
			return probe.Reading{OK: true, Value: &v}
		})
	if w := closed[1]; !w.GetHasValue() || w.GetLowest() != 3 || w.GetHighest() != 3 {
		t.Errorf("window %v", w)
	}
}
