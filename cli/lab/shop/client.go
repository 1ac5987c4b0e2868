package shop

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
)

// How the client shops: at a steady rate, whether or not the last checkout has
// ended, and with some patience.
const (
	shopEvery    = 100 * time.Millisecond
	patience     = 3 * time.Second
	tryNextAfter = 800 * time.Millisecond
)

// RunClient shops and measures until ctx ends.
func RunClient(ctx context.Context) error {
	c := &shopper{frontends: newFinder("shop.test"), client: newHTTPClient()}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", c.tally.health)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, c.tally.numbers(time.Now()))
	})
	tasks, ctx := errgroup.WithContext(ctx)
	tasks.Go(func() error { return c.frontends.run(ctx) })
	tasks.Go(func() error { return c.shop(ctx) })
	tasks.Go(func() error { return serve(ctx, ClientPort, mux) })
	return tasks.Wait()
}

// shopper is one client; many checkouts are under way at once.
type shopper struct {
	frontends *finder
	client    *http.Client
	tally     tally
}

func (s *shopper) shop(ctx context.Context) error {
	checkouts, _ := errgroup.WithContext(ctx)
	ticks := time.NewTicker(shopEvery)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return checkouts.Wait()
		case <-ticks.C:
		}
		if len(s.frontends.found()) == 0 {
			continue // not open yet
		}
		checkouts.Go(func() error { s.checkout(ctx); return nil })
	}
}

func (s *shopper) checkout(ctx context.Context) {
	began := time.Now()
	good := s.try(ctx)
	if ctx.Err() == nil {
		s.tally.add(time.Now(), time.Since(began), good)
	}
}

// try asks one frontend after the other, with the same order.
func (s *shopper) try(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	id := rand.Text()
	for ctx.Err() == nil {
		for _, frontend := range s.frontends.found() {
			url := fmt.Sprintf("http://%s:%d/checkout?id=%s", frontend, FrontendPort, id)
			resp, err := ask(ctx, s.client, tryNextAfter, http.MethodPost, url)
			if err == nil && resp.StatusCode == http.StatusOK {
				return true
			}
		}
		sleep(ctx, 50*time.Millisecond)
	}
	return false
}
