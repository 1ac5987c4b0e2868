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
	timer := time.AfterFunc(w.deadline, func() {
		w.once.Do(func() {
			w.fail(fmt.Errorf("%s: no answer in %s: %w", verb, w.deadline, ErrStore))
		})
	})
	return func() { timer.Stop() }
}

func failed(verb string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w: %w", verb, ErrStore, err)
}
