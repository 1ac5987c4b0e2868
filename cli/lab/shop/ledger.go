package shop

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"

	"github.com/hashicorp/raft"
)

// remembered is how many order ids the ledger keeps, so that an order that is
// sent again is counted once.
const remembered = 100_000

// ledger is what the store replicates: how many orders, and the latest ids.
type ledger struct {
	mu    sync.Mutex
	total uint64          // guarded by mu
	ids   []string        // guarded by mu; oldest first
	known map[string]bool // guarded by mu; the ids as a set
}

func newLedger() *ledger { return &ledger{known: map[string]bool{}} }

// Apply takes one order and returns the total.
func (l *ledger) Apply(entry *raft.Log) any {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.add(string(entry.Data))
	return l.total
}

// add is called with mu held.
func (l *ledger) add(id string) {
	if l.known[id] {
		return
	}
	l.total++
	l.known[id] = true
	l.ids = append(l.ids, id)
	if len(l.ids) > remembered {
		delete(l.known, l.ids[0])
		l.ids = l.ids[1:]
	}
}

func (l *ledger) orders() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total
}

// page is a ledger on disk.
type page struct {
	Total uint64
	IDs   []string
}

// Snapshot copies the ledger.
func (l *ledger) Snapshot() (raft.FSMSnapshot, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return &page{Total: l.total, IDs: append([]string(nil), l.ids...)}, nil
}

// Restore replaces the ledger by a copy.
func (l *ledger) Restore(from io.ReadCloser) error {
	defer from.Close()
	var p page
	if err := json.NewDecoder(from).Decode(&p); err != nil {
		return fmt.Errorf("restore ledger: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total, l.ids, l.known = p.Total, p.IDs, map[string]bool{}
	for _, id := range p.IDs {
		l.known[id] = true
	}
	return nil
}

// Persist writes the copy.
func (p *page) Persist(to raft.SnapshotSink) error {
	if err := json.NewEncoder(to).Encode(p); err != nil {
		_ = to.Cancel() // the error that matters is the first
		return fmt.Errorf("write ledger: %w", err)
	}
	return to.Close()
}

// Release does nothing: the copy is its own.
func (p *page) Release() {}
