package shop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// Ports of the shop's programs.
const (
	FrontendPort = 8080
	APIPort      = 8081
	StorePort    = 8082
	ClientPort   = 9000
	raftPort     = 7000
)

// serve answers on a port of every address until ctx ends.
func serve(ctx context.Context, port int, mux *http.ServeMux) error {
	mux.HandleFunc("GET /up", func(http.ResponseWriter, *http.Request) {})
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", fmt.Sprintf(":%d", port))
	if err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	server := &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 1 << 14,
	}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

// newHTTPClient makes connections that give up early: whoever is silent is
// taken for dead, and there are others to ask.
func newHTTPClient() *http.Client {
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: time.Second}
	return &http.Client{Transport: &http.Transport{
		DialContext: dialer.DialContext, MaxIdleConnsPerHost: 16, IdleConnTimeout: 10 * time.Second,
	}}
}

const dialTimeout = 300 * time.Millisecond

// ask makes one request with a limit of its own, and drops what it carries.
func ask(ctx context.Context, client *http.Client, limit time.Duration, method, url string) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	// A body read to its end leaves the connection fit for the next request.
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<16))
	return resp, err
}

// answers reports whether a GET gives status 200.
func answers(ctx context.Context, client *http.Client, limit time.Duration, url string) bool {
	resp, err := ask(ctx, client, limit, http.MethodGet, url)
	return err == nil && resp.StatusCode == http.StatusOK
}

// yes turns a question into an answer: 200 or 503.
func yes(question func(context.Context) bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !question(r.Context()) {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the caller hung up
}

// sleep lets d pass, and reports whether ctx still lives.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
