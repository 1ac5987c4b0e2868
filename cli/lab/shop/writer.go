package shop

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	writeEvery = 50 * time.Millisecond
	writeLimit = time.Second
)

// RunWriter puts keys into etcd, through its members in turn, until ctx ends.
func RunWriter(ctx context.Context, members []string) error {
	w := &writer{members: members, client: newHTTPClient()}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", w.tally.health)
	mux.HandleFunc("GET /{$}", w.show)
	tasks, ctx := errgroup.WithContext(ctx)
	tasks.Go(func() error { return w.write(ctx) })
	tasks.Go(func() error { return serve(ctx, ClientPort, mux) })
	return tasks.Wait()
}

// writer is a client of etcd that any member will do for.
type writer struct {
	members []string
	client  *http.Client
	tally   tally
	// revision is the highest that a member has acknowledged a put with.
	revision atomic.Int64
}

func (w *writer) show(out http.ResponseWriter, _ *http.Request) {
	n := w.tally.numbers(time.Now())
	n.Revision = w.revision.Load()
	writeJSON(out, n)
}

func (w *writer) write(ctx context.Context) error {
	writes, _ := errgroup.WithContext(ctx)
	ticks := time.NewTicker(writeEvery)
	defer ticks.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return writes.Wait()
		case <-ticks.C:
		}
		writes.Go(func() error { w.writeOne(ctx, n); return nil })
	}
}

// writeOne puts one key. It has a name of its own, so that a put that is tried
// again counts once in etcd too.
func (w *writer) writeOne(ctx context.Context, n int) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	key := "writer/" + rand.Text()
	good := false
	for i := n; ctx.Err() == nil && !good; i++ {
		good = w.put(ctx, w.members[i%len(w.members)], key) == nil
	}
	w.tally.add(time.Now(), time.Since(began), good)
}

// put makes one request to etcd's JSON gateway.
func (w *writer) put(ctx context.Context, member, key string) error {
	ctx, cancel := context.WithTimeout(ctx, writeLimit)
	defer cancel()
	body, err := json.Marshal(map[string][]byte{"key": []byte(key), "value": []byte("1")})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+member+"/v3/kv/put", bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("put %s: %s", key, resp.Status)
	}
	return w.acknowledge(resp)
}

func (w *writer) acknowledge(resp *http.Response) error {
	var answer struct {
		Header struct {
			Revision int64 `json:"revision,string"`
		} `json:"header"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return fmt.Errorf("read acknowledgement: %w", err)
	}
	for {
		seen := w.revision.Load()
		if answer.Header.Revision <= seen || w.revision.CompareAndSwap(seen, answer.Header.Revision) {
			return nil
		}
	}
}
