package shop

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	writeEvery = 50 * time.Millisecond
	writeLimit = time.Second
	// writePause is between two members, so that nobody spins where all refuse.
	writePause = 10 * time.Millisecond
)

// RunWriter puts keys into etcd, through its members in turn, until ctx ends.
func RunWriter(ctx context.Context, members []string) error {
	return newEtcdWriter(members).run(ctx)
}

func newEtcdWriter(members []string) *writer {
	w := &writer{members: members, client: newHTTPClient()}
	w.through = w.put
	return w
}

// RunPostgresWriter inserts rows into PostgreSQL, through whichever of its
// members can write, until ctx ends. It prints what became of each: its own log.
func RunPostgresWriter(ctx context.Context, members []string, log io.Writer) error {
	w := &writer{members: members, log: log}
	w.through = w.insert
	if err := makeTable(ctx, members); err != nil {
		return err
	}
	return w.run(ctx)
}

func (w *writer) run(ctx context.Context) error {
	tasks, ctx := errgroup.WithContext(ctx)
	tasks.Go(func() error { return w.write(ctx) })
	tasks.Go(func() error { return serve(ctx, ClientPort, w.doors()) })
	return tasks.Wait()
}

// writer is a client of a store of several members.
type writer struct {
	members []string
	client  *http.Client
	// through writes one key through one member.
	through func(ctx context.Context, member, key string) error
	// log takes a line for each write; nil for none.
	log   io.Writer
	tally tally
	books books
	// turn is whose turn it is to be asked first.
	turn atomic.Int64
	// revision is the highest that a member has acknowledged a put with.
	revision atomic.Int64
}

func (w *writer) doors() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", w.tally.health)
	mux.HandleFunc("GET /{$}", w.show)
	mux.HandleFunc("POST /write", w.ask)
	mux.HandleFunc("PUT /books/{name}", func(_ http.ResponseWriter, r *http.Request) { w.books.set(r.PathValue("name"), true) })
	mux.HandleFunc("DELETE /books/{name}", func(_ http.ResponseWriter, r *http.Request) { w.books.set(r.PathValue("name"), false) })
	return mux
}

func (w *writer) show(out http.ResponseWriter, _ *http.Request) {
	n := w.tally.numbers(time.Now())
	n.Revision, n.Books = w.revision.Load(), w.books.all()
	writeJSON(out, n)
}

// ask writes one key and says what became of it: 200 when a member acknowledged
// it, 503 when none did, 409 when its book is closed.
func (w *writer) ask(out http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("book")
	if name != "" && !w.books.begin(name) {
		out.WriteHeader(http.StatusConflict)
		return
	}
	// Not the request's context: what was asked for is seen through, and counted.
	good := w.writeKey(context.WithoutCancel(r.Context()), cmp.Or(name, "asked")+"/"+rand.Text())
	if name != "" {
		w.books.end(name, good)
	}
	if !good {
		out.WriteHeader(http.StatusServiceUnavailable)
	}
}

func (w *writer) write(ctx context.Context) error {
	writes, _ := errgroup.WithContext(ctx)
	ticks := time.NewTicker(writeEvery)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return writes.Wait()
		case <-ticks.C:
		}
		writes.Go(func() error { w.writeOne(ctx); return nil })
	}
}

func (w *writer) writeOne(ctx context.Context) {
	began := time.Now()
	good := w.writeKey(ctx, "writer/"+rand.Text())
	w.tally.add(time.Now(), time.Since(began), good)
}

// writeKey puts one key through one member after the other until one
// acknowledges it. A key is written once in its life but for such repeats, so
// that etcd's own keys can be counted.
func (w *writer) writeKey(ctx context.Context, key string) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	asked := time.Now()
	for i := w.turn.Add(1); ctx.Err() == nil; i++ {
		if w.through(ctx, w.members[i%int64(len(w.members))], key) == nil {
			w.say("acknowledged", key, asked)
			return true
		}
		sleep(ctx, writePause)
	}
	w.say("unknown", key, asked)
	return false
}

// say prints what became of a write, when it was asked for and when it ended, in
// Unix nanoseconds. A line is one write, so that lines don't mix.
func (w *writer) say(what, key string, asked time.Time) {
	if w.log != nil {
		fmt.Fprintf(w.log, "%s %s %d %d\n", what, key, asked.UnixNano(), time.Now().UnixNano())
	}
}

// insert writes one row.
func (w *writer) insert(ctx context.Context, member, key string) error {
	ctx, cancel := context.WithTimeout(ctx, writeLimit)
	defer cancel()
	return insertRow(ctx, member, key)
}

// put makes one request to etcd's JSON gateway. The value says which member was
// asked, and when.
func (w *writer) put(ctx context.Context, member, key string) error {
	ctx, cancel := context.WithTimeout(ctx, writeLimit)
	defer cancel()
	value := fmt.Appendf(nil, "%s %d", member, time.Now().UnixNano())
	body, err := json.Marshal(map[string][]byte{"key": []byte(key), "value": value})
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
