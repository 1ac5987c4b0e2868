package notify

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
)

// decoded is an event as the CloudEvents SDK reads it.
func decoded(t *testing.T, body []byte) (e event.Event, d Data) {
	t.Helper()
	if err := e.UnmarshalJSON(body); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	if err := e.Validate(); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	if err := e.DataAs(&d); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return e, d
}

func ids(t *testing.T, got []request) (all []string) {
	t.Helper()
	for _, g := range got {
		e, _ := decoded(t, g.body)
		all = append(all, e.ID())
	}
	return all
}

func TestEventsArriveSignedAndInOrder(t *testing.T) {
	r, at := newRig(t), newReceiver(t, nil)
	r.env["SQUALL_SECRET_OPS_KEY"], r.env["SQUALL_SECRET_OPS_KEY_HOSTS"] = "correct horse\n", at.host()
	s := events("ops", at)
	s.SignSecret = "ops-key"
	r.put(s)
	r.lead()
	r.happen(0, 5)
	r.wait("five on record", func() bool { return r.sink("ops").GetDelivered() == 5 })
	got := at.requests()
	if want := []string{missed(0), missed(1), missed(2), missed(3), missed(4)}; !slices.Equal(ids(t, got), want) {
		t.Errorf("got %v", ids(t, got))
	}
	for _, g := range got {
		if err := Verify("correct horse", g.header, g.body, time.Now()); err != nil {
			t.Error(err)
		}
		e, d := decoded(t, g.body)
		if g.header.Get("Content-Type") != "application/cloudevents+json; charset=utf-8" || e.SpecVersion() != "1.0" || e.Source() != "urn:squall:test" ||
			e.Type() != "squall.slot.missed" || e.Subject() != "weekly" || d.Outcome != "missed" || d.Why != "nobody led" || d.Experiment != "drill" {
			t.Errorf("%v %s", g.header, g.body)
		}
	}
	if n := len(r.m.View().Notices("ops", 0)); n != 0 {
		t.Errorf("%d wait", n)
	}
}

// TestASignatureHoldsForItsMessageAndMinuteOnly.
func TestASignatureHoldsForItsMessageAndMinuteOnly(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	signed := func() http.Header {
		h := http.Header{}
		sign(h, "key", "id-1", now, []byte(`{"a":1}`))
		return h
	}
	if err := Verify("key", signed(), []byte(`{"a":1}`), now.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(h http.Header) (secret, body string, at time.Time){
		"another key":   func(http.Header) (string, string, time.Time) { return "kex", `{"a":1}`, now },
		"another body":  func(http.Header) (string, string, time.Time) { return "key", `{"a":2}`, now },
		"a replay":      func(http.Header) (string, string, time.Time) { return "key", `{"a":1}`, now.Add(6 * time.Minute) },
		"of the future": func(http.Header) (string, string, time.Time) { return "key", `{"a":1}`, now.Add(-6 * time.Minute) },
		"another instant": func(h http.Header) (string, string, time.Time) {
			h.Set(headerTimestamp, "1800000001")
			return "key", `{"a":1}`, now
		},
		"another id": func(h http.Header) (string, string, time.Time) { h.Set(headerID, "id-2"); return "key", `{"a":1}`, now },
		"none":       func(h http.Header) (string, string, time.Time) { h.Del(headerSignature); return "key", `{"a":1}`, now },
	} {
		h := signed()
		secret, body, at := change(h)
		if Verify(secret, h, []byte(body), at) == nil {
			t.Errorf("%s is taken", what)
		}
	}
	// The example of Standard Webhooks' own documentation.
	h := http.Header{}
	sign(h, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	if got := h.Get(headerSignature); got != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" {
		t.Errorf("signed as %s", got)
	}
}

// TestEachArrivesThoughLeadersDie: what was not put on record is told again,
// under the same id, and nothing is left out.
func TestEachArrivesThoughLeadersDie(t *testing.T) {
	const all = 60
	r, at := newRig(t), newReceiver(t, nil)
	r.put(events("ops", at))
	for term := range 6 {
		stop := r.lead()
		r.happen(term*10, 10)
		switch term % 3 {
		case 0: // with its last batch lost
			r.mute(true)
			r.wait("one more", func() bool { return len(at.requests()) > term*10 })
		case 1: // in the middle
			r.wait("one more", func() bool { return len(at.requests()) > term*10 })
		case 2: // with nobody to lead for a while
			r.mute(true)
		}
		stop()
		r.mute(false)
	}
	r.lead()
	r.wait("all on record", func() bool { return len(r.m.View().Notices("ops", 0)) == 0 })
	got := ids(t, at.requests())
	last := ""
	for i := range all {
		if !slices.Contains(got, missed(i)) {
			t.Errorf("%s never arrived", missed(i))
		}
	}
	for _, id := range slices.Compact(slices.Sorted(slices.Values(got))) {
		if id <= last {
			t.Errorf("%s after %s", id, last)
		}
		last = id
	}
	t.Logf("%d notices, %d requests, %d on record", all, len(got), r.sink("ops").GetDelivered())
}

// TestASlowSinkHoldsUpItselfAlone: neither the state nor others wait for it.
func TestASlowSinkHoldsUpItselfAlone(t *testing.T) {
	r, quick := newRig(t), newReceiver(t, nil)
	hang := newReceiver(t, func(_ int, _ http.ResponseWriter, req *http.Request) { <-req.Context().Done() })
	r.put(events("hangs", hang))
	r.put(events("quick", quick))
	r.lead()
	began := time.Now()
	r.happen(0, 20)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("20 commands took %s", took)
	}
	r.wait("the quick one", func() bool { return r.sink("quick").GetDelivered() == 20 })
	if n := r.sink("hangs").GetDelivered(); n != 0 {
		t.Errorf("the one that hangs took %d", n)
	}
	r.wait("the first to be given up", func() bool { return r.sink("hangs").GetDeadEver() > 0 })
	if why := r.sink("hangs").GetDead()[0].GetWhy(); why != "it did not answer in time" {
		t.Errorf("given up since %q", why)
	}
}

func TestAFailureOfAWhileIsTriedAgain(t *testing.T) {
	r := newRig(t)
	r.pace.Limit = time.Minute
	at := newReceiver(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		switch n {
		case 1, 2:
			w.WriteHeader(http.StatusInternalServerError)
		case 3:
			w.WriteHeader(http.StatusTooManyRequests)
		case 4:
			hj, _, _ := w.(http.Hijacker).Hijack()
			_ = hj.Close()
		}
	})
	r.put(events("ops", at))
	r.lead()
	r.happen(0, 2)
	r.wait("both", func() bool { return r.sink("ops").GetDelivered() == 2 })
	if s := r.sink("ops"); s.GetFailed() < 3 || s.GetFailed() > 4 || s.GetDeadEver() != 0 { // net/http itself may send again on a connection that was closed
		t.Errorf("%v", s)
	}
	got := at.requests()
	for _, g := range got[:len(got)-1] {
		if e, _ := decoded(t, g.body); e.ID() != missed(0) {
			t.Errorf("sent %s before the first was taken", e.ID())
		}
	}
	if !strings.Contains(r.said(), "500 Internal Server Error") || !strings.Contains(r.said(), "takes notices again") {
		t.Errorf("log:\n%s", r.said())
	}
}

// TestAGoneSinkIsToldNothingMore until it is put anew, or asked for.
func TestAGoneSinkIsToldNothingMore(t *testing.T) {
	r := newRig(t)
	at := newReceiver(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		if n == 1 {
			w.WriteHeader(http.StatusGone)
		}
	})
	r.put(events("ops", at))
	stop := r.lead()
	r.happen(0, 3)
	r.wait("three given up", func() bool { return r.sink("ops").GetDeadEver() == 3 })
	stop()
	r.lead() // the next leader knows
	r.happen(3, 1)
	r.wait("four given up", func() bool { return r.sink("ops").GetDeadEver() == 4 })
	if n := len(at.requests()); n != 1 || !r.sink("ops").GetGone() {
		t.Fatalf("it was asked %d times, gone %t", n, r.sink("ops").GetGone())
	}
	r.do(&pb.Command{Kind: &pb.Command_SettleDead{SettleDead: &pb.SettleDead{Sink: "ops"}}})
	r.wait("four delivered", func() bool { return r.sink("ops").GetDelivered() == 4 })
	if s := r.sink("ops"); s.GetGone() || len(s.GetDead()) != 0 {
		t.Errorf("%v", s)
	}
}

// TestADeadSinkCostsNoMoreThanItsOwn: what is too old is tried once and given up.
func TestADeadSinkCostsNoMoreThanItsOwn(t *testing.T) {
	r, at := newRig(t), newReceiver(t, nil)
	at.Close()
	r.put(events("ops", at))
	r.lead()
	r.happen(0, 30)
	r.wait("all given up", func() bool { return r.sink("ops").GetDeadEver() == 30 })
	s := r.sink("ops")
	if s.GetDelivered() != 0 || s.GetFailed() < 30 || !strings.Contains(s.GetDead()[0].GetWhy(), "refused") {
		t.Errorf("%v", s)
	}
}

// TestASinkThatIsRemovedIsToldNothingMore, though it hangs, and others go on.
func TestASinkThatIsRemovedIsToldNothingMore(t *testing.T) {
	r := newRig(t)
	r.pace.Attempt = time.Minute
	asked := make(chan bool, 64)
	hang := newReceiver(t, func(_ int, _ http.ResponseWriter, req *http.Request) {
		asked <- true
		<-req.Context().Done()
	})
	quick := newReceiver(t, nil)
	r.put(events("hangs", hang))
	r.put(events("quick", quick))
	stop := r.lead()
	r.happen(0, 2)
	<-asked
	r.do(&pb.Command{Kind: &pb.Command_RemoveSink{RemoveSink: &pb.RemoveSink{Name: "hangs"}}})
	r.happen(2, 2)
	r.wait("the quick one", func() bool { return r.sink("quick").GetDelivered() == 4 })
	stop() // waits for every line
	if n := len(hang.requests()); n != 1 || r.sink("hangs") != nil {
		t.Errorf("asked %d times", n)
	}
}

func TestRedirectsStayAtTheHost(t *testing.T) {
	elsewhere := newReceiver(t, nil)
	for what, c := range map[string]struct {
		to    string
		code  int
		taken bool
	}{
		"another path":        {"/new", http.StatusPermanentRedirect, true},
		"another method":      {"/new", http.StatusFound, false},
		"another host":        {elsewhere.URL + "/new", http.StatusTemporaryRedirect, false},
		"for ever":            {"/", http.StatusTemporaryRedirect, false},
		"in another protocol": {"https://127.0.0.1/new", http.StatusTemporaryRedirect, false},
	} {
		r := newRig(t)
		at := newReceiver(t, func(_ int, w http.ResponseWriter, req *http.Request) {
			if req.URL.Path != "/new" {
				http.Redirect(w, req, c.to, c.code)
			}
		})
		r.put(events("ops", at))
		r.lead()
		r.happen(0, 1)
		r.wait(what, func() bool { return r.sink("ops").GetDelivered()+r.sink("ops").GetDeadEver() == 1 })
		if s := r.sink("ops"); (s.GetDelivered() == 1) != c.taken {
			t.Errorf("%s: %v", what, s)
		}
	}
	if n := len(elsewhere.requests()); n != 0 {
		t.Errorf("another host was told %d times", n)
	}
}

// TestAnswersAreNotReadForEver.
func TestAnswersAreNotReadForEver(t *testing.T) {
	r := newRig(t)
	r.pace.Attempt = 2 * time.Second
	var sent atomic.Int64
	at := newReceiver(t, func(_ int, w http.ResponseWriter, req *http.Request) {
		for req.Context().Err() == nil {
			n, err := w.Write(make([]byte, 1<<16))
			if sent.Add(int64(n)); err != nil {
				return
			}
		}
	})
	r.put(events("ops", at))
	r.lead()
	r.happen(0, 1)
	r.wait("it", func() bool { return r.sink("ops").GetDelivered() == 1 })
	if n := sent.Load(); n > 64<<20 { // what sockets hold is far less
		t.Errorf("%d bytes were read", n)
	}
}

// TestNoSecretIsKeptOrTold: whatever goes wrong with requests that carry them.
func TestNoSecretIsKeptOrTold(t *testing.T) {
	const token, key, path = "glsa_0123456789", "hmac-0123456789", "T0PSECRET/B0PSECRET"
	r := newRig(t)
	echo := newReceiver(t, func(n int, w http.ResponseWriter, req *http.Request) {
		switch n % 4 {
		case 1:
			w.Header().Set("Location", "https://else.test"+req.URL.Path+"?t="+req.Header.Get("Authorization"))
			w.WriteHeader(http.StatusTemporaryRedirect)
		case 2:
			http.Error(w, req.Header.Get("Authorization")+req.URL.Path, http.StatusBadRequest)
		case 3:
			c, _, _ := w.(http.Hijacker).Hijack()
			_, _ = c.Write([]byte(token[:8] + " \xff\xfe " + path[3:] + "\r\n\r\n"))
			_ = c.Close()
		}
	})
	r.env["SQUALL_SECRET_HOOK"] = echo.URL + "/services/" + path
	r.env["SQUALL_SECRET_BROKEN"] = "https://" + path + ":x%zz/" + token
	r.env["SQUALL_SECRET_REFUSED"] = "http://127.0.0.1:1/services/" + path
	r.env["SQUALL_SECRET_TOKEN"], r.env["SQUALL_SECRET_KEY"] = token, key
	r.env["SQUALL_SECRET_TOKEN_HOSTS"], r.env["SQUALL_SECRET_KEY_HOSTS"] = echo.host(), echo.host()
	r.put(&pb.Sink{Name: "slack", Kind: pb.SinkKind_SINK_KIND_SLACK, UrlSecret: "hook"})
	r.put(&pb.Sink{Name: "broken", Kind: pb.SinkKind_SINK_KIND_SLACK, UrlSecret: "broken"})
	r.put(&pb.Sink{Name: "refused", Kind: pb.SinkKind_SINK_KIND_SLACK, UrlSecret: "refused"})
	r.put(&pb.Sink{Name: "none", Kind: pb.SinkKind_SINK_KIND_SLACK, UrlSecret: "nowhere"})
	r.put(&pb.Sink{Name: "grafana", Kind: pb.SinkKind_SINK_KIND_GRAFANA, Url: echo.URL, TokenSecret: "token", Events: []string{"all"}})
	s := events("ops", echo)
	s.SignSecret, s.TokenSecret = "key", "token"
	r.put(s)
	r.lead()
	r.happen(0, 8)
	r.wait("all to be settled", func() bool {
		for _, s := range r.m.View().Sinks() {
			if s.GetDelivered()+s.GetDeadEver() != 8 {
				return false
			}
		}
		return true
	})
	if !slices.ContainsFunc(echo.requests(), func(g request) bool { return g.header.Get("Authorization") == "Bearer "+token }) {
		t.Fatal("no token was sent: the test shows nothing")
	}
	snapshot, err := proto.Marshal(r.m.Snapshot())
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{token[:8], key, "T0PSECRET", "B0PSECRET", "else.test"} {
		for where, text := range map[string]string{"the log": r.said(), "the state": string(snapshot)} {
			if i := strings.Index(text, secret); i >= 0 {
				t.Errorf("%s tells %q: …%s…", where, secret, text[max(0, i-200):i+len(secret)])
			}
		}
	}
	if why := r.sink("none").GetDead()[0].GetWhy(); !strings.Contains(why, `secret "nowhere" is not on this server`) || !strings.Contains(why, "SQUALL_SECRET_NOWHERE") {
		t.Errorf("a secret that is missing is told as %q", why)
	}
}

func TestSecretsAreFilesOrVariables(t *testing.T) {
	dir := t.TempDir()
	for name, value := range map[string]string{"file": " from a file\n", "empty": "\n", "long": strings.Repeat("x", mostSecret+1)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := Secrets{Dir: dir, Env: func(name string) (string, bool) {
		v, ok := map[string]string{"SQUALL_SECRET_A_B": "from a variable", "SQUALL_SECRET_FILE": "not this", "PATH": "nor this"}[name]
		return v, ok
	}}
	for name, want := range map[string]string{"file": "from a file", "a-b": "from a variable"} {
		if got, err := s.Find(name); err != nil || got != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	for _, name := range []string{"none", "empty", "long", "../file", "/etc/passwd", "", "A"} {
		if got, err := s.Find(name); err == nil || got != "" || name != "" && !strings.Contains(err.Error(), fmt.Sprintf("%q", name)) {
			t.Errorf("%q: %q, %v", name, got, err)
		}
	}
	if why := s.Missing(&pb.Sink{SignSecret: "file", TokenSecret: "none"}); !strings.Contains(why, `secret "none"`) || !strings.Contains(why, filepath.Join(dir, "none")) {
		t.Errorf("missing: %q", why)
	}
}
