package shop

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// RunAPI serves /orders until ctx ends.
func RunAPI(ctx context.Context) error {
	a := &api{stores: newFinder("store.shop.test"), client: newHTTPClient()}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /orders", a.order)
	mux.HandleFunc("GET /ready", yes(a.ready))
	tasks, ctx := errgroup.WithContext(ctx)
	tasks.Go(func() error { return a.stores.run(ctx) })
	tasks.Go(func() error { return serve(ctx, APIPort, mux) })
	return tasks.Wait()
}

// api writes orders to the leader of the store, whoever that is now.
type api struct {
	stores *finder
	client *http.Client
	// leader is the address of the store that took the last order.
	leader atomic.Value // string
}

// order writes one order, and goes on trying through an election.
func (a *api) order(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), apiLimit)
	defer cancel()
	id := r.URL.Query().Get("id")
	if id == "" {
		http.Error(w, "an order needs an id", http.StatusBadRequest)
		return
	}
	for {
		for _, store := range a.candidates() {
			if a.write(ctx, store, id) {
				return
			}
		}
		if !sleep(ctx, 50*time.Millisecond) {
			http.Error(w, "no store took the order", http.StatusServiceUnavailable)
			return
		}
	}
}

// candidates are the stores to try: the last leader first.
func (a *api) candidates() []string {
	found := a.stores.found()
	last, ok := a.leader.Load().(string)
	if !ok {
		return found
	}
	return append([]string{last}, found...)
}

// write asks one store. One that does not lead says who does, as far as it knows.
func (a *api) write(ctx context.Context, store, id string) bool {
	target := fmt.Sprintf("http://%s:%d/orders?id=%s", store, StorePort, url.QueryEscape(id))
	resp, err := ask(ctx, a.client, storeLimit, http.MethodPost, target)
	if err != nil {
		return false
	}
	switch resp.StatusCode {
	case http.StatusOK:
		a.leader.Store(store)
		return true
	case http.StatusMisdirectedRequest:
		if leader := resp.Header.Get(leaderHeader); leader != "" && leader != store {
			a.leader.Store(leader)
		}
	}
	return false
}

func (a *api) ready(ctx context.Context) bool {
	for _, store := range a.stores.found() {
		if answers(ctx, a.client, storeLimit/3, fmt.Sprintf("http://%s:%d/leader", store, StorePort)) {
			return true
		}
	}
	return false
}
