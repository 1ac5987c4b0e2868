package shop

import (
	"context"
	"net"
	"sync"
	"time"
)

// lookupEvery is how often a name is looked up again: the resolvers' TTL.
const lookupEvery = time.Second

// finder keeps the addresses behind a name fresh. When lookups fail it goes on
// with the last answer: where somebody lived a second ago is a better guess
// than nothing.
type finder struct {
	name string

	mu sync.Mutex
	// addresses is the last answer, in the resolver's order.
	addresses []string // guarded by mu
}

func newFinder(name string) *finder { return &finder{name: name} }

// run looks the name up until ctx ends.
func (f *finder) run(ctx context.Context) error {
	for {
		wait := lookupEvery
		if !f.lookup(ctx) && len(f.found()) == 0 {
			wait = lookupEvery / 10
		}
		if !sleep(ctx, wait) {
			return nil
		}
	}
}

func (f *finder) lookup(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 3*lookupEvery)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip4", f.name)
	if err != nil || len(addrs) == 0 {
		return false
	}
	found := make([]string, len(addrs))
	for i, a := range addrs {
		found[i] = a.String()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.addresses = found
	return true
}

// found is a list that the caller must not change.
func (f *finder) found() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.addresses
}
