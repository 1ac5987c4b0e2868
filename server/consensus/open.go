package consensus

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
)

const (
	// retained snapshots: an older one must stay readable when the newest is corrupt.
	retained = 2
	// trailing entries cover the older snapshot.
	trailing = 4
	// notices is how many changes of leadership may wait to be read.
	notices = 64
	// openTime is how long opening the log may take before somebody else is
	// taken to hold it.
	openTime = 10 * time.Second
)

// Stores are where raft keeps log, vote and snapshots.
type Stores struct {
	Log       raft.LogStore
	Stable    raft.StableStore
	Snapshots raft.SnapshotStore
	Close     func() error
}

// MemoryStores are for simulations: they live as long as the value does, which
// may be longer than a Consensus.
func MemoryStores() *Stores {
	mem := raft.NewInmemStore()
	return &Stores{Log: mem, Stable: mem, Snapshots: raft.NewInmemSnapshotStore()}
}

func (s *Stores) close() error {
	if s.Close == nil {
		return nil
	}
	return s.Close()
}

func open(cfg Config) (*Consensus, error) {
	logger := bridge(cfg.Log)
	stores, err := openStores(cfg, logger)
	if err != nil {
		return nil, err
	}
	trans := cfg.Transport
	if trans == nil {
		trans = newTransport(cfg, logger)
	}
	c := &Consensus{
		machine: newMachine(cfg.Machine, cfg.Log), trans: trans, teller: newTeller(cfg.ID, cfg.Peers, trans),
		heard: make(chan raft.Observation, notices), stores: stores, log: cfg.Log,
		notify: make(chan bool, notices), terms: make(chan Term, 1),
		quit: make(chan struct{}), done: make(chan struct{}),
	}
	c.machine.committed = c.tellFollowers
	c.replaceLeaderNews()
	guarded := watch(stores, cfg.Timing.Store, c.failStop(cfg.Fatal))
	if err := bootstrap(cfg, guarded, stores.Snapshots, trans, logger); err != nil {
		return nil, errors.Join(err, c.abandon())
	}
	if full, ok := trans.(fullTransport); ok {
		if ways, ok := trans.(watched); ok {
			c.detector = newDetector(full, ways, cfg)
			defer func() { c.detector.raft.Store(c.raft) }()
			full = c.detector
		}
		waits := newPatient(full)
		defer func() { waits.raft.Store(c.raft) }()
		trans = waits
	}
	c.raft, err = raft.NewRaft(raftConfig(cfg, c.notify, logger), c.machine, guarded, guarded, stores.Snapshots, trans)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start from %s: %w", cfg.Dir, err), c.abandon())
	}
	c.raft.RegisterObserver(raft.NewObserver(c.heard, false, func(o *raft.Observation) bool {
		_, ok := o.Data.(raft.LeaderObservation)
		return ok
	}))
	return c, nil
}

// failStop closes raft's connections before it tells: a server that hangs must
// not go on sending heartbeats, and its port must answer nobody.
func (c *Consensus) failStop(fatal func(error)) func(error) {
	return func(err error) {
		if closer, ok := c.trans.(raft.WithClose); ok {
			_ = closer.Close() // the store's error is the one to tell
		}
		if fatal != nil {
			fatal(err)
		}
	}
}

func (c *Consensus) abandon() error {
	var err error
	if closer, ok := c.trans.(raft.WithClose); ok {
		err = closer.Close()
	}
	c.stopTelling()
	return errors.Join(err, c.stores.close())
}

// stopTelling ends what talks to the other servers beside raft. The transport is
// closed before.
func (c *Consensus) stopTelling() {
	c.teller.stop()
	if c.detector != nil {
		c.detector.stop()
	}
}

// bootstrap writes the first configuration. Every server does, with the same
// peers; one that has a log already keeps it.
func bootstrap(cfg Config, store *watchdog, snaps raft.SnapshotStore, trans Transport, logger hclog.Logger) error {
	known, err := raft.HasExistingState(store, store, snaps)
	if err != nil {
		return fmt.Errorf("read existing state: %w", err)
	}
	if known {
		return nil
	}
	var servers raft.Configuration
	for _, p := range cfg.Peers {
		servers.Servers = append(servers.Servers, raft.Server{
			ID: raft.ServerID(p.ID), Address: raft.ServerAddress(p.Address),
		})
	}
	rc := raftConfig(cfg, nil, logger)
	if err := raft.BootstrapCluster(rc, store, store, snaps, trans, servers); err != nil {
		return fmt.Errorf("write first configuration: %w", err)
	}
	return nil
}

func raftConfig(cfg Config, notify chan<- bool, logger hclog.Logger) *raft.Config {
	rc := raft.DefaultConfig()
	rc.LocalID = raft.ServerID(cfg.ID)
	rc.HeartbeatTimeout = cfg.Timing.Heartbeat
	rc.ElectionTimeout = cfg.Timing.Heartbeat
	rc.LeaderLeaseTimeout = cfg.Timing.Lease
	rc.CommitTimeout = cfg.Timing.Commit
	rc.SnapshotThreshold = cfg.Timing.SnapshotAfter
	rc.TrailingLogs = trailing * cfg.Timing.SnapshotAfter
	rc.MaxAppendEntries = 256
	rc.BatchApplyCh = true
	rc.NotifyCh = notify
	rc.Logger = logger
	rc.NoLegacyTelemetry = true
	return rc
}

func openStores(cfg Config, logger hclog.Logger) (*Stores, error) {
	if cfg.Stores != nil {
		return cfg.Stores, nil
	}
	if err := checkDir(cfg.Dir); err != nil {
		return nil, err
	}
	log, err := openLog(filepath.Join(cfg.Dir, "log"))
	if err != nil {
		return nil, err
	}
	snaps, err := raft.NewFileSnapshotStoreWithLogger(cfg.Dir, retained, logger)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open snapshots: %w", err), log.Close())
	}
	return &Stores{Log: log, Stable: log, Snapshots: snaps, Close: log.Close}, nil
}

// checkDir makes the folder, and refuses one that others may read.
func checkDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("read folder: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("folder %s has mode %#o; run chmod 700 on it", dir, info.Mode().Perm())
	}
	return nil
}

// openLog opens the log. Its metadata is locked by whoever has it open, and
// waiting for the lock never ends by itself.
func openLog(dir string) (*wal.WAL, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make log folder: %w", err)
	}
	type result struct {
		log *wal.WAL
		err error
	}
	opened := make(chan result, 1)
	go func() {
		log, err := wal.Open(dir)
		opened <- result{log, err}
	}()
	select {
	case r := <-opened:
		if r.err != nil {
			return nil, fmt.Errorf("open log %s: %w", dir, r.err)
		}
		return r.log, nil
	case <-time.After(openTime):
		return nil, fmt.Errorf("open log %s: no answer in %s: another server has it open, or its disk hangs", dir, openTime)
	}
}
