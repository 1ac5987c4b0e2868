package consensus

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"squall/agent/host/hosttest"
	"squall/proto/pki"
	pb "squall/proto/squall/v1"
	"squall/server/state"
)

// node is one server of a test cluster: real sockets, real TLS, a real log.
type node struct {
	*Consensus
	t       testing.TB
	cfg     Config
	machine *state.Machine
	store   *shakyStore
	fatal   chan error
}

// shakyStore is a real log that can be told to hang or to be full.
type shakyStore struct {
	raft.LogStore
	hang atomic.Pointer[chan struct{}]
	full atomic.Pointer[error]
}

func (s *shakyStore) StoreLogs(logs []*raft.Log) error {
	if wait := s.hang.Load(); wait != nil {
		<-*wait
	}
	if err := s.full.Load(); err != nil {
		return *err
	}
	return s.LogStore.StoreLogs(logs)
}

func (s *shakyStore) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

func (s *shakyStore) IsMonotonic() bool { return true }

// enough is how long a busy machine may take for what is done at once on an idle one.
const enough = time.Minute

// calm servers keep their leader though a busy machine, or the race detector,
// lets them wait for a processor.
func calm() Timing {
	timing := LAN()
	timing.Heartbeat, timing.Lease, timing.Store = time.Second, time.Second, 20*time.Second
	return timing
}

// quick servers notice at once what they wait for in vain.
func quick() Timing {
	timing := LAN()
	timing.Store = time.Second
	return timing
}

func newAuthority(t testing.TB) *pki.Authority {
	t.Helper()
	a, err := pki.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func issue(t testing.TB, a *pki.Authority, role pb.Role, name string) *pki.Bundle {
	t.Helper()
	b, err := a.Issue(pki.Identity{Role: role, Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// newCluster starts n servers over loopback.
func newCluster(t testing.TB, n int, timing Timing) []*node {
	t.Helper()
	ca := newAuthority(t)
	var peers []Peer
	nodes := make([]*node, n)
	for i := range nodes {
		l, err := net.Listen("tcp", hosttest.Loopback()+":0")
		if err != nil {
			t.Fatal(err)
		}
		id := fmt.Sprintf("s%d", i)
		peers = append(peers, Peer{ID: id, Address: l.Addr().String()})
		nodes[i] = &node{t: t, cfg: Config{
			ID: id, Timing: timing, Dir: t.TempDir() + "/raft", Listener: l,
			Bundle: issue(t, ca, pb.Role_ROLE_SERVER, id), Log: slog.New(slog.DiscardHandler),
		}}
	}
	for _, s := range nodes {
		s.cfg.Peers = peers
		s.start()
	}
	t.Cleanup(func() {
		for _, s := range nodes {
			s.crash()
		}
	})
	return nodes
}

func (s *node) start() {
	s.t.Helper()
	if s.cfg.Listener == nil {
		s.listenAgain()
	}
	stores, err := openStores(s.cfg, bridge(s.cfg.Log))
	if err != nil {
		s.t.Fatal(err)
	}
	s.store = &shakyStore{LogStore: stores.Log}
	s.fatal = make(chan error, 1)
	s.machine = state.New()
	cfg := s.cfg
	cfg.Stores = &Stores{Log: s.store, Stable: stores.Stable, Snapshots: stores.Snapshots, Close: stores.Close}
	cfg.Machine = s.machine
	cfg.Fatal = func(err error) { s.fatal <- err }
	if s.Consensus, err = Open(cfg); err != nil {
		s.t.Fatal(err)
	}
}

func (s *node) listenAgain() {
	s.t.Helper()
	for _, p := range s.cfg.Peers {
		if p.ID != s.cfg.ID {
			continue
		}
		l, err := net.Listen("tcp", p.Address)
		if err != nil {
			s.t.Fatal(err)
		}
		s.cfg.Listener = l
	}
}

// crash ends a server without a word to the others.
func (s *node) crash() {
	if s.Consensus == nil {
		return
	}
	c := s.Consensus
	s.Consensus, s.cfg.Listener = nil, nil
	_ = c.trans.(raft.WithClose).Close()
	if wait := s.store.hang.Swap(nil); wait != nil {
		close(*wait)
	}
	_ = c.raft.Shutdown().Error()
	close(c.quit)
	<-c.done
	c.stopTelling()
	_ = c.stores.close()
}

// leader waits until one of the servers leads, and its term has begun.
func leader(t testing.TB, nodes []*node) *node {
	t.Helper()
	for end := time.Now().Add(enough); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		for _, s := range nodes {
			if s.Consensus != nil && s.ready.Load() != 0 && s.raft.State() == raft.Leader {
				return s
			}
		}
	}
	t.Fatalf("no leader in %s", enough)
	return nil
}

func others(nodes []*node, not *node) []*node {
	var out []*node
	for _, s := range nodes {
		if s != not {
			out = append(out, s)
		}
	}
	return out
}

// greet is a command whose effect can be seen: a host comes.
func greet(host string) *pb.Command {
	return &pb.Command{Id: "greet/" + host, AtUnixNanos: 1, Kind: &pb.Command_UpdateHosts{UpdateHosts: &pb.UpdateHosts{
		Hosts: []*pb.HostUpdate{{Name: host, Server: "s0", Session: 1, Host: &pb.Host{Name: host, Zone: "zone-a"}}},
	}}}
}

// propose commits on whoever leads, trying again under the same id.
func propose(t testing.TB, nodes []*node, cmd *pb.Command) *pb.Outcome {
	t.Helper()
	for end := time.Now().Add(enough); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		outcome, err := leader(t, nodes).Propose(ctx, cmd)
		cancel()
		if err == nil {
			return outcome
		}
	}
	t.Fatalf("command %s: not committed in %s", cmd.GetId(), enough)
	return nil
}

// settle waits until all servers are at one index, and their states are equal.
func settle(t testing.TB, nodes []*node) {
	t.Helper()
	want := leader(t, nodes)
	for _, s := range nodes {
		ctx, cancel := context.WithTimeout(context.Background(), enough)
		err := s.WaitApplied(ctx, want.Applied())
		cancel()
		if err != nil {
			t.Fatalf("%s: %v", s.cfg.ID, err)
		}
		if s.machine.Hash() != want.machine.Hash() {
			t.Errorf("%s has another state than %s", s.cfg.ID, want.cfg.ID)
		}
	}
}
