package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// heard is what a script's sink was told.
type heard struct {
	mu  sync.Mutex // guards all
	all strings.Builder
}

// sinkKey is where a script keeps what its sinks heard, by their names.
type sinkKey struct{}

// startSink is `sink NAME CODE`: a receiver that answers so, at $NAME.
func startSink(ts *testscript.TestScript, _ bool, args []string) {
	code, err := strconv.Atoi(args[1])
	ts.Check(err)
	h := &heard{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		_, _ = io.Copy(&h.all, r.Body)
		h.mu.Unlock()
		w.WriteHeader(code)
	}))
	ts.Defer(s.Close)
	ts.Setenv(strings.ToUpper(args[0]), s.URL)
	sinksOf(ts)[args[0]] = h
}

// awaitTold is `told NAME WORDS`: it waits until a sink has heard them.
func awaitTold(ts *testscript.TestScript, _ bool, args []string) {
	h := sinksOf(ts)[args[0]]
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		h.mu.Lock()
		is := strings.Contains(h.all.String(), args[1])
		h.mu.Unlock()
		if is {
			return
		}
	}
	ts.Fatalf("sink %s never heard %q: %s", args[0], args[1], h.all.String())
}

func sinksOf(ts *testscript.TestScript) map[string]*heard {
	return ts.Value(sinkKey{}).(map[string]*heard)
}
