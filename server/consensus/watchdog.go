package consensus

import (
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// watchdog puts a deadline on every call of the stores. A call that does not
// return by then stops the server: the caller inside raft is stuck and can't
// be helped.
type watchdog struct {
	log      raft.LogStore
	stable   raft.StableStore
	deadline time.Duration
	fail     func(error)
	once     sync.Once
}

func watch(s *Stores, deadline time.Duration, fail func(error)) *watchdog {
	return &watchdog{log: s.Log, stable: s.Stable, deadline: deadline, fail: fail}
}

func (w *watchdog) FirstIndex() (uint64, error) { return w.log.FirstIndex() }

func (w *watchdog) LastIndex() (uint64, error) { return w.log.LastIndex() }

func (w *watchdog) GetLog(index uint64, log *raft.Log) error {
	defer w.guard("read log")()
	return w.log.GetLog(index, log) // raft compares with raft.ErrLogNotFound
}

func (w *watchdog) StoreLog(log *raft.Log) error { return w.StoreLogs([]*raft.Log{log}) }

func (w *watchdog) StoreLogs(logs []*raft.Log) error {
	defer w.guard("write log")()
	return failed("write log", w.log.StoreLogs(logs))
}

func (w *watchdog) DeleteRange(low, high uint64) error {
	defer w.guard("cut log")()
	return failed("cut log", w.log.DeleteRange(low, high))
}

// IsMonotonic tells raft whether a restored snapshot must empty the log first.
func (w *watchdog) IsMonotonic() bool {
	m, ok := w.log.(raft.MonotonicLogStore)
	return ok && m.IsMonotonic()
}

func (w *watchdog) Set(key, value []byte) error {
	defer w.guard("write vote")()
	return failed("write vote", w.stable.Set(key, value))
}

func (w *watchdog) Get(key []byte) ([]byte, error) { return w.stable.Get(key) }

func (w *watchdog) SetUint64(key []byte, value uint64) error {
	defer w.guard("write term")()
	return failed("write term", w.stable.SetUint64(key, value))
}

func (w *watchdog) GetUint64(key []byte) (uint64, error) { return w.stable.GetUint64(key) }

// guard starts the deadline of one call; what it returns ends it.
func (w *watchdog) guard(verb string) func() {
	if w.deadline <= 0 {
		return func() {}
	}
	c := &call{watchdog: w, verb: verb, left: listens}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timer = time.AfterFunc(w.deadline/listens, c.listen)
	return c.end
}

// listens is in how many parts a deadline passes. Time in which this process
// itself did not run (a stop, a starved machine) is one part at most: it is
// not the disk's.
const listens = 5

// call is one call of a store that is under way.
type call struct {
	*watchdog
	verb string

	mu    sync.Mutex // guards the rest
	timer *time.Timer
	left  int
}

// listen is called at the end of each part.
func (c *call) listen() {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.left == 0: // it has ended
	case c.left > 1:
		c.left--
		c.timer.Reset(c.deadline / listens)
	default:
		c.once.Do(func() {
			c.fail(fmt.Errorf("%s: no answer in %s: %w", c.verb, c.deadline, ErrStore))
		})
	}
}

func (c *call) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left = 0
	c.timer.Stop()
}

func failed(verb string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w: %w", verb, ErrStore, err)
}
