package shop

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
)

// leaderHeader names the address of the leader in an answer from another.
const leaderHeader = "Shop-Leader"

// StoreConfig is one member of the replicated store.
type StoreConfig struct {
	// Name is this member's, one of Peers.
	Name string
	// Data is the folder of its log and snapshots.
	Data string
	// Peers are all members: name to address.
	Peers map[string]string
}

// RunStore serves the store until ctx ends.
func RunStore(ctx context.Context, c StoreConfig) error {
	s := &store{ledger: newLedger()}
	closeRaft, err := s.open(c)
	if err != nil {
		return fmt.Errorf("open store: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /orders", s.order)
	mux.HandleFunc("GET /leader", yes(func(context.Context) bool { return s.raft.State() == raft.Leader }))
	mux.HandleFunc("GET /ready", yes(s.ready))
	mux.HandleFunc("GET /{$}", s.show)
	return errors.Join(serve(ctx, StorePort, mux), closeRaft())
}

// store is one member.
type store struct {
	ledger *ledger
	raft   *raft.Raft
}

// open starts Raft from what is on disk; the first time, all members begin
// with the same list of peers, which is as good as one of them doing it.
func (s *store) open(c StoreConfig) (closeAll func() error, err error) {
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return nil, err
	}
	log, err := wal.Open(c.Data)
	if err != nil {
		return nil, err
	}
	snapshots, err := raft.NewFileSnapshotStore(c.Data, 2, os.Stderr)
	if err != nil {
		return nil, err
	}
	address := net.JoinHostPort(c.Peers[c.Name], fmt.Sprint(raftPort))
	transport, err := raft.NewTCPTransport(address, nil, 3, time.Second, os.Stderr)
	if err != nil {
		return nil, err
	}
	config := raftConfig(c.Name)
	known, err := raft.HasExistingState(log, log, snapshots)
	if err == nil && !known {
		err = raft.BootstrapCluster(config, log, log, snapshots, transport, c.members())
	}
	if err != nil {
		return nil, err
	}
	s.raft, err = raft.NewRaft(config, s.ledger, log, log, snapshots, transport)
	return func() error {
		return errors.Join(s.raft.Shutdown().Error(), transport.Close(), log.Close())
	}, err
}

// raftConfig makes a store that notices a dead leader in half a second.
func raftConfig(name string) *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(name)
	c.HeartbeatTimeout, c.ElectionTimeout = 500*time.Millisecond, 500*time.Millisecond
	c.LeaderLeaseTimeout, c.CommitTimeout = 250*time.Millisecond, 20*time.Millisecond
	c.LogLevel = "WARN"
	c.LogOutput = os.Stderr
	return c
}

func (c StoreConfig) members() raft.Configuration {
	var members raft.Configuration
	for name, ip := range c.Peers {
		members.Servers = append(members.Servers, raft.Server{
			ID: raft.ServerID(name), Address: raft.ServerAddress(net.JoinHostPort(ip, fmt.Sprint(raftPort))),
		})
	}
	return members
}

// order commits one order, or says who could.
func (s *store) order(w http.ResponseWriter, r *http.Request) {
	if s.raft.State() != raft.Leader {
		s.redirect(w)
		return
	}
	done := s.raft.Apply([]byte(r.URL.Query().Get("id")), storeLimit)
	switch err := done.Error(); {
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipLost):
		s.redirect(w)
	case err != nil:
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	default:
		writeJSON(w, map[string]any{"total": done.Response()})
	}
}

func (s *store) redirect(w http.ResponseWriter) {
	if ip := s.leader(); ip != "" {
		w.Header().Set(leaderHeader, ip)
	}
	w.WriteHeader(http.StatusMisdirectedRequest)
}

// leader is the leader's address, empty while nobody leads.
func (s *store) leader() string {
	address, _ := s.raft.LeaderWithID()
	ip, _, err := net.SplitHostPort(string(address))
	if err != nil {
		return ""
	}
	return ip
}

// ready says that the store knows a leader and has applied what it has.
func (s *store) ready(context.Context) bool {
	return s.leader() != "" && s.raft.AppliedIndex() >= s.raft.CommitIndex()
}

func (s *store) show(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, map[string]any{
		"state": s.raft.State().String(), "leader": s.leader(), "orders": s.ledger.orders(), "applied": s.raft.AppliedIndex(),
	})
}
