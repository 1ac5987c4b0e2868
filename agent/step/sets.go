package step

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	pb "squall/proto/squall/v1"
)

// setPatience is how long a step waits for the addresses of its peers.
const setPatience = 5 * time.Second

// errDigest says that an address set is not what its digest says.
var errDigest = errors.New("digest does not fit")

// AddSets takes address sets. One whose digest is wrong is left out.
func (e *Engine) AddSets(sets []*pb.AddressSet) error {
	var errs []error
	for _, s := range sets {
		if digestOf(s.GetPrefix()) != s.GetDigest() {
			errs = append(errs, fmt.Errorf("take address set %s: %w", s.GetDigest(), errDigest))
			continue
		}
		e.mu.Lock()
		e.sets[s.GetDigest()] = s.GetPrefix()
		e.mu.Unlock()
	}
	e.pokeAll()
	return errors.Join(errs...)
}

// digestOf names a set: SHA-256 over its sorted prefixes, a line each, in hex.
func digestOf(prefixes []string) string {
	sorted := slices.Sorted(slices.Values(prefixes))
	sum := sha256.Sum256([]byte(strings.Join(sorted, "\n")))
	return hex.EncodeToString(sum[:])
}

// Missing lists the digests of the sets that tasks name and the host lacks.
func (e *Engine) Missing() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var missing []string
	for _, s := range e.steps {
		digest := s.task.GetAddressSet()
		if _, ok := e.sets[digest]; digest != "" && !ok && !s.over() && !slices.Contains(missing, digest) {
			missing = append(missing, digest)
		}
	}
	slices.Sort(missing)
	return missing
}

// awaitSet waits until a set is here.
func (e *Engine) awaitSet(ctx context.Context, digest string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, setPatience)
	defer cancel()
	e.notify()
	for {
		e.mu.Lock()
		prefixes, ok := e.sets[digest]
		e.mu.Unlock()
		if ok {
			return prefixes, nil
		}
		select {
		case <-time.After(minPace):
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for address set %s: %w", digest, ctx.Err())
		}
	}
}

func (e *Engine) pokeAll() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range e.steps {
		s.poke()
	}
}
