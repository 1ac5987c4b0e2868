package shop

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
)

// Limits of a checkout. Whoever is further from the store is more patient, so
// that the one nearest to a trouble is the one who deals with it.
const (
	storeLimit    = 700 * time.Millisecond
	apiLimit      = 2200 * time.Millisecond
	checkoutLimit = 2500 * time.Millisecond
)

// RunFrontend serves /checkout until ctx ends.
func RunFrontend(ctx context.Context) error {
	f := &frontend{apis: newFinder("api.shop.test"), client: newHTTPClient()}
	mux := http.NewServeMux()
	mux.HandleFunc("/checkout", f.checkout)
	mux.HandleFunc("GET /ready", yes(f.ready))
	tasks, ctx := errgroup.WithContext(ctx)
	tasks.Go(func() error { return f.apis.run(ctx) })
	tasks.Go(func() error { return serve(ctx, FrontendPort, mux) })
	return tasks.Wait()
}

// frontend takes orders and hands them to an API, its own zone's first.
type frontend struct {
	apis   *finder
	client *http.Client
}

// checkout places one order. Trying again is safe: an order has an id, and the
// store takes each id once.
func (f *frontend) checkout(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), checkoutLimit)
	defer cancel()
	id := r.URL.Query().Get("id")
	if id == "" {
		id = rand.Text()
	}
	for {
		for _, api := range f.apis.found() {
			if f.place(ctx, api, id) {
				return
			}
		}
		if !sleep(ctx, 50*time.Millisecond) {
			http.Error(w, "no API took the order", http.StatusServiceUnavailable)
			return
		}
	}
}

func (f *frontend) place(ctx context.Context, api, id string) bool {
	url := fmt.Sprintf("http://%s:%d/orders?id=%s", api, APIPort, id)
	resp, err := ask(ctx, f.client, apiLimit, http.MethodPost, url)
	return err == nil && resp.StatusCode == http.StatusOK
}

func (f *frontend) ready(ctx context.Context) bool {
	for _, api := range f.apis.found() {
		if answers(ctx, f.client, storeLimit, fmt.Sprintf("http://%s:%d/ready", api, APIPort)) {
			return true
		}
	}
	return false
}
