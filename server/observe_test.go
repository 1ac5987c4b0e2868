package server

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"squall/agent/host/hosttest"
	"squall/proto/parts"
	pb "squall/proto/squall/v1"
)

// askHTTP asks a server about itself.
func askHTTP(t *testing.T, u *unit, path string) (code int, text string) {
	t.Helper()
	req, err := http.NewRequestWithContext(within(t, 10*time.Second), http.MethodGet, "http://"+u.cfg.Metrics.Addr().String()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// watched are servers that may be asked about themselves.
func watched(t *testing.T) *region {
	t.Helper()
	return newRegionThat(t, calm(), func(u *unit) { u.cfg.Metrics = listen(t, hosttest.Loopback()+":0") })
}

func TestAServerIsScraped(t *testing.T) {
	r := watched(t)
	lead, behind := r.leader(), r.follower()
	a := r.agent(behind, "web-a1", "zone-a")
	next(t, "the first order", a.order)
	if _, err := parts.Ask[pb.Status](within(t, enough), r.user(lead).Status, &pb.StatusRequest{}); err != nil {
		t.Fatal(err)
	}
	r.wait("the host on both", func() bool {
		return lead.State().Host("web-a1") != nil && behind.State().Host("web-a1") != nil
	})
	for _, u := range []*unit{lead, behind} { // a follower that is ready has asked the leader
		r.wait(u.id+" to be ready", func() bool { code, _ := askHTTP(t, u, "/readyz"); return code == http.StatusOK })
	}
	for u, lines := range map[*unit][]string{
		lead: {
			`squall_raft_state\{state="leader"\} 1`, `squall_raft_servers 3`, `squall_raft_peer_silent_seconds\{peer="` + behind.id + `"\} \d`,
			`squall_raft_commit_seconds_count [1-9]`, `squall_raft_last_contact_seconds 0`, `squall_raft_leader_changes_total [1-9]`,
			`squall_rpc_requests_total\{code="OK",method="Status",service="squall.v1.ControlService"\} 1`, `squall_rpc_seconds_bucket\{method="Confirm",`,
		},
		behind: {`squall_raft_state\{state="follower"\} 1`, `squall_agent_sessions 1`, `squall_raft_last_contact_seconds 0\.\d`},
	} {
		code, text := askHTTP(t, u, "/metrics")
		if code != http.StatusOK {
			t.Fatalf("%s answers %d %s", u.id, code, text)
		}
		lines = append(lines, `squall_agents\{state="connected",zone="zone-a"\} 1`, `squall_server_ready 1`, `squall_server_confirmed_age_seconds \d`,
			`squall_raft_applied_index [1-9]`, `squall_raft_term [1-9]`, `squall_build_info\{.*\} 1`, `go_goroutines \d`, `process_resident_memory_bytes \d`)
		for _, line := range lines {
			if !regexp.MustCompile(`(?m)^` + line).MatchString(text) {
				t.Errorf("%s does not tell %s", u.id, line)
			}
		}
		if code, text := askHTTP(t, u, "/healthz"); code != http.StatusOK {
			t.Errorf("%s answers /healthz with %d %s", u.id, code, text)
		}
	}
}

// TestAStoppingServerSaysSo for as long as it has others lead and ends its streams.
func TestAStoppingServerSaysSo(t *testing.T) {
	r := watched(t)
	u := r.leader()
	a := r.agent(u, "web-a1", "zone-a")
	next(t, "the first order", a.order)
	u.stopping.Store(true)
	if code, text := askHTTP(t, u, "/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(text, "stopping") {
		t.Errorf("answers %d %s", code, text)
	}
	r.kill(u)
	if code, _ := askHTTP(t, &unit{cfg: u.cfg}, "/readyz"); code != 0 {
		t.Errorf("answers %d after its end", code)
	}
}

// TestAServerServesThoughNobodyCanWatchIt any more.
func TestAServerServesThoughNobodyCanWatchIt(t *testing.T) {
	said := make(chan string, 64)
	r := newRegionThat(t, calm(), func(u *unit) {
		u.cfg.Metrics, u.cfg.Log = listen(t, hosttest.Loopback()+":0"), slog.New(errorsTo{slog.DiscardHandler, said})
	})
	u := r.leader()
	_ = u.cfg.Metrics.Close()
	await(t, "the word that nobody can watch it", said, func(text string) bool { return strings.HasPrefix(text, "nobody can watch") })
	if _, err := parts.Ask[pb.Status](within(t, enough), r.user(u).Status, &pb.StatusRequest{}); err != nil {
		t.Errorf("it does not serve: %v", err)
	}
}

// errorsTo hands on what a log says of errors.
type errorsTo struct {
	slog.Handler
	said chan<- string
}

func (e errorsTo) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelError }

func (e errorsTo) WithAttrs([]slog.Attr) slog.Handler { return e }

func (e errorsTo) Handle(_ context.Context, r slog.Record) error {
	select {
	case e.said <- r.Message:
	default:
	}
	return nil
}
