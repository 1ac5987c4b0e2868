package sim

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"squall/server"
	"squall/server/consensus"
)

// watchDoor is where a server answers those who watch it.
func watchDoor(id string) string { return "watch-" + id }

// ask asks a server about itself, and tells how long it took to answer.
func (c *control) ask(path string) (code int, text string, took time.Duration) {
	c.region.t.Helper()
	began := time.Now()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return c.region.net.dialer("watcher")(ctx, watchDoor(c.id))
	}}}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://watch"+path, nil)
	if err != nil {
		c.region.t.Fatal(err)
	}
	res, err := client.Do(req)
	if err != nil {
		c.region.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		c.region.t.Fatal(err)
	}
	return res.StatusCode, string(body), time.Since(began)
}

// TestAFrozenStoreDoesNotKeepAServerFromTelling: raft waits for its disk for
// ever, heartbeats go on, and whoever asks hears within a second that the
// server lives and is not ready, and why.
func TestAFrozenStoreDoesNotKeepAServerFromTelling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		timing := consensus.LAN()
		timing.Store = time.Hour
		r := newRegion(t, settings{timing: timing})
		lead := r.leader()
		r.until("the leader to be ready", 20*time.Second, func() bool { code, _, _ := lead.ask("/readyz"); return code == http.StatusOK })
		r.run(long)
		lead.freeze()
		defer lead.thaw()
		time.Sleep(server.Lease + 2*time.Second)
		for path, want := range map[string]int{"/healthz": http.StatusOK, "/readyz": http.StatusServiceUnavailable, "/metrics": http.StatusOK} {
			code, text, took := lead.ask(path)
			if code != want || took > time.Second {
				t.Errorf("%s answers %d after %s, want %d within 1s: %s", path, code, took, want, text)
			}
			if path == "/readyz" && !strings.Contains(text, "last confirmed this server") {
				t.Errorf("it does not say why: %s", text)
			}
		}
	})
}
