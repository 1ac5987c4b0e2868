package observe_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"squall/server/consensus"
	"squall/server/observe"
	"squall/server/state"
)

// ask asks a server about itself.
func ask(o *observe.Observer, path string) (code int, text string) {
	w := httptest.NewRecorder()
	o.Handler().ServeHTTP(w, httptest.NewRequestWithContext(context.Background(), http.MethodGet, path, nil))
	body, _ := io.ReadAll(w.Result().Body)
	return w.Code, string(body)
}

func TestHealthSaysWhyInPlainWords(t *testing.T) {
	for _, c := range []struct {
		name, path string
		change     func(*observe.Sight)
		code       int
		says       string
	}{
		{"a leader", "/readyz", func(*observe.Sight) {}, 200, "ok: server a leads with a majority behind it; confirmed 1.0s ago"},
		{"a follower", "/readyz", func(s *observe.Sight) { s.Consensus.Leader = "b" }, 200, "ok: server a follows b; confirmed 1.0s ago"},
		{"a secret is missing", "/readyz", func(s *observe.Sight) {
			m := state.New()
			m.Apply(1, putSink("ops"))
			s.View, s.Lacks = m.View(), map[string]string{"ops": `secret "ops-key" is not on this server`, "removed": "x", "fine": ""}
		}, 200, "ok: server a leads with a majority behind it; confirmed 1.0s ago at log index 1; but it can't tell sink ops: secret \"ops-key\" is not on this server\n"},
		{"nobody leads", "/readyz", func(s *observe.Sight) { s.Consensus.Leader = "" }, 503, "no: the server knows of no leader"},
		{"never confirmed", "/readyz", func(s *observe.Sight) { s.Ever = false }, 503, "no: leader a has not confirmed this server yet"},
		{"confirmed long ago", "/readyz", func(s *observe.Sight) { s.Confirmed = 10 * time.Second }, 503, "no: leader a last confirmed this server 10.0s ago, and its lease is 10s"},
		{"stopping", "/readyz", func(s *observe.Sight) { s.Stopping = true }, 503, "no: the server is stopping"},
		{"stopping, but alive", "/healthz", func(s *observe.Sight) { s.Stopping = true }, 200, "ok: server a lives, and its loops turn"},
		{"without a quorum, but alive", "/healthz", func(s *observe.Sight) { s.Ever = false }, 200, "ok: server a lives"},
		{"a loop that stands", "/healthz", func(s *observe.Sight) { s.Idle[observe.Sweeping] = 11 * time.Second }, 503, "no: the loop that looks after agents' streams has not turned for 11.0s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := observe.Sight{
				Server: "a", View: state.New().View(), Consensus: consensus.Standing{Leader: "a"},
				Ever: true, Confirmed: time.Second, Lease: 10 * time.Second, Idle: map[observe.Loop]time.Duration{observe.Confirming: time.Second},
			}
			c.change(&s)
			code, text := ask(observe.New(func() observe.Sight { return s }), c.path)
			if code != c.code || !strings.HasPrefix(text, c.says) {
				t.Errorf("%d %q, want %d %q …", code, text, c.code, c.says)
			}
		})
	}
}

// TestHealthIsToldThoughTheServerHangs: within a second, and with one look that
// hangs, however often somebody asks.
func TestHealthIsToldThoughTheServerHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang, looks := make(chan struct{}), atomic.Int32{}
		o := observe.New(func() observe.Sight {
			looks.Add(1)
			<-hang
			return observe.Sight{View: state.New().View()}
		})
		for _, path := range []string{"/healthz", "/readyz", "/healthz"} {
			began := time.Now()
			code, text := ask(o, path)
			if took := time.Since(began); took > time.Second || code != http.StatusServiceUnavailable {
				t.Errorf("%s answers %d %q after %s", path, code, text, took)
			}
		}
		if n := looks.Load(); n != 1 {
			t.Errorf("%d looks hang", n)
		}
		close(hang)
	})
}
