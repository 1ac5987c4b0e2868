package conduct

import (
	"context"
	"runtime"
	"sync"
	"time"
)

// budget is how long a decision may take. A run whose decision took longer is
// slow to judge: it makes the next one in the one seat for such runs, so that
// any number of them take one processor from the others.
const budget = 20 * time.Millisecond

// seats bound how many decisions are made at one time. A decision that overruns
// its budget gives its seat up and goes on: nobody waits longer than that for
// another's judging.
type seats struct {
	quick, slow chan struct{}
}

func newSeats() *seats {
	return &seats{quick: make(chan struct{}, max(2, runtime.GOMAXPROCS(0))), slow: make(chan struct{}, 1)}
}

// take waits for a seat; leave gives it up, if that has not happened. It is not
// ok when ctx ends first.
func (s *seats) take(ctx context.Context, slow bool) (leave func(), ok bool) {
	seat := s.quick
	if slow {
		seat = s.slow
	}
	select {
	case seat <- struct{}{}:
	case <-ctx.Done():
		return nil, false
	}
	free := sync.OnceFunc(func() { <-seat })
	if slow {
		return free, true
	}
	timer := time.AfterFunc(budget, free)
	return func() { timer.Stop(); free() }, true
}
