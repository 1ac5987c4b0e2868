package probe_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"squall/proto/probe"
	pb "squall/proto/squall/v1"
)

// speaker answers each connection: it reads that many bytes, says something and hangs up or stays.
func speaker(t *testing.T, reads int, says string, stays bool) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			heard := make([]byte, reads)
			_, _ = io.ReadFull(c, heard)
			_, _ = io.WriteString(c, strings.ReplaceAll(says, "HEARD", string(heard)))
			if !stays {
				c.Close()
			}
		}
	}()
	return l.Addr().String()
}

func TestTCPSaysAndHears(t *testing.T) {
	for name, c := range map[string]struct {
		reads        int
		says         string
		stays        bool
		send, expect string
		err          string
	}{
		"the answer comes":              {4, "+HEARD", true, "PING", "+PING", ""},
		"a greeting, asked for nothing": {0, "220 mail", true, "", "220", ""},
		"sent, and nothing expected":    {4, "", false, "PING", "", ""},
		"another answer":                {4, "-ERR", false, "PING", "+PONG", `expect "+PONG": the answer is "-ERR"`},
		"no answer, and it stays":       {4, "", true, "PING", "+PONG", "i/o timeout"},
		"an answer without an end":      {0, strings.Repeat("x", 5000), true, "", "+PONG", "the answer is"},
	} {
		t.Run(name, func(t *testing.T) {
			tcp := &pb.TCPProbe{Address: speaker(t, c.reads, c.says, c.stays), Send: c.send, Expect: c.expect}
			r := probe.Probe(t.Context(), &pb.Probe{Kind: &pb.Probe_Tcp{Tcp: tcp}, Timeout: span(200 * time.Millisecond)})
			if r.OK != (c.err == "") || !strings.Contains(r.Err, c.err) {
				t.Errorf("reading %+v, want %q", r, c.err)
			}
		})
	}
}

func TestGRPCAsksTheHealthService(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, h := grpc.NewServer(), health.NewServer()
	grpc_health_v1.RegisterHealthServer(s, h)
	h.SetServingStatus("orders", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	go func() { _ = s.Serve(l) }()
	defer s.Stop()
	for service, want := range map[string]string{"": "", "orders": "NOT_SERVING", "nobody": "unknown service"} {
		p := &pb.Probe{Kind: &pb.Probe_Grpc{Grpc: &pb.GRPCProbe{Address: l.Addr().String(), Service: service}}}
		if r := probe.Probe(t.Context(), p); r.OK != (want == "") || !strings.Contains(r.Err, want) {
			t.Errorf("service %q: %+v, want %q", service, r, want)
		}
	}
	silent := &pb.GRPCProbe{Address: speaker(t, 1<<20, "", true)}
	began := time.Now()
	r := probe.Probe(t.Context(), &pb.Probe{Kind: &pb.Probe_Grpc{Grpc: silent}, Timeout: span(200 * time.Millisecond)})
	if r.OK || time.Since(began) > 5*time.Second {
		t.Errorf("who says nothing gives %+v", r)
	}
}

func TestPromQLGivesOneNumber(t *testing.T) {
	vector := func(series string) string {
		return `{"status":"success","data":{"resultType":"vector","result":[` + series + `]}}`
	}
	for answer, want := range map[string]struct {
		value float64
		err   string
	}{
		vector(`{"metric":{"a":"b"},"value":[1435781451.781,"17.5"]}`):            {17.5, ""},
		`{"status":"success","data":{"resultType":"scalar","result":[1435,"3"]}}`: {3, ""},
		vector(``): {0, "0 series"},
		vector(`{"value":[1,"1"]},{"value":[1,"2"]}`):                               {0, "2 series"},
		vector(`{"value":[1,"NaN"]}`):                                               {0, "not a finite number"},
		vector(`{"value":[1,"+Inf"]}`):                                              {0, "not a finite number"},
		vector(`{"value":[1]}`):                                                     {0, "not a pair"},
		`{"status":"success","data":{"resultType":"matrix","result":[]}}`:           {0, "matrix"},
		`{"status":"error","errorType":"bad_data","error":"parse error at char 5"}`: {0, "parse error at char 5"},
		`<html>`: {0, "invalid character"},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/api/v1/query" || r.URL.Query().Get("query") != `sum(up{job="a"})` {
				t.Errorf("it asked for %v", r.URL)
			}
			_, _ = io.WriteString(w, answer)
		}))
		p := &pb.Probe{Kind: &pb.Probe_Promql{Promql: &pb.PromQLProbe{Url: s.URL + "/", Query: `sum(up{job="a"})`}}}
		r := probe.Probe(t.Context(), p)
		s.Close()
		if want.err == "" && (!r.OK || r.Value == nil || *r.Value != want.value) {
			t.Errorf("%s: %+v, want %v", answer, r, want.value)
		}
		if want.err != "" && (r.OK || r.Value != nil || !strings.Contains(r.Err, want.err)) {
			t.Errorf("%s: %+v, want %q", answer, r, want.err)
		}
	}
}

func TestAProgramIsNotStartedHere(t *testing.T) {
	p := &pb.Probe{Kind: &pb.Probe_Exec{Exec: &pb.ExecProbe{Argv: []string{"/bin/true"}}}}
	if r := probe.Probe(t.Context(), p); r.OK || !strings.Contains(r.Err, "runs on hosts") {
		t.Errorf("reading %+v", r)
	}
}

func TestOutputValue(t *testing.T) {
	for out, want := range map[string]float64{"42\n": 42, " 1.5 rows": 1.5, "-3e2": -300} {
		if v := probe.OutputValue([]byte(out)); v == nil || *v != want {
			t.Errorf("%q gives %v", out, v)
		}
	}
	for _, out := range []string{"", "\n", "rows: 5", "NaN", "inf"} {
		if v := probe.OutputValue([]byte(out)); v != nil {
			t.Errorf("%q gives %v", out, *v)
		}
	}
}
