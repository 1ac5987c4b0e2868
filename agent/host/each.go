package host

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// objectsAtOnce is how many objects of one operation are worked on at one
	// time, so that a host that starts everything is no storm of its own.
	objectsAtOnce = 16
	// objectLimit is how long one object may take, hangLimit how long what was
	// called off then may take to come back.
	objectLimit, hangLimit = 10 * time.Second, 500 * time.Millisecond
)

// each works on objects beside one another and past errors, each under a limit
// of its own: one that hangs delays no other. One that hangs in the kernel is
// left behind, and is in the error.
func each[T any](ctx context.Context, objects []T, work func(context.Context, T) error) error {
	if len(objects) == 1 { // it has nobody beside it, and needs no other thread
		return bounded(ctx, func(ctx context.Context) error { return work(ctx, objects[0]) })
	}
	errs := make([]error, len(objects))
	turns := make(chan struct{}, objectsAtOnce)
	var group sync.WaitGroup
	for i, object := range objects {
		group.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			errs[i] = bounded(ctx, func(ctx context.Context) error { return work(ctx, object) })
		})
	}
	group.Wait()
	return errors.Join(errs...)
}

// bounded returns when work does, or when its limit has passed.
func bounded(ctx context.Context, work func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, objectLimit)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- work(ctx) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-done:
		return err
	case <-time.After(hangLimit):
		return fmt.Errorf("it hangs: %w", ctx.Err())
	}
}

// gather looks at objects beside one another, each under a limit of its own, and
// joins what was found, in their order. Of those at which the look hangs, lost is
// what is found.
func gather[T any](objects []T, look func(T) []string, lost func(T) string) []string {
	var mu sync.Mutex // guards found: a look that hangs may come back
	found := make(map[int][]string, len(objects))
	places := make([]int, len(objects))
	for i := range objects {
		places[i] = i
	}
	_ = each(context.Background(), places, func(_ context.Context, i int) error {
		seen := look(objects[i])
		mu.Lock()
		defer mu.Unlock()
		found[i] = seen
		return nil
	}) // who hangs is told below
	mu.Lock()
	defer mu.Unlock()
	var all []string
	for i, o := range objects {
		seen, ok := found[i]
		if !ok {
			seen = []string{lost(o)}
		}
		all = append(all, seen...)
	}
	return all
}
