// Package server is one of three or five control servers: it wires the
// machine, consensus, the conductor and the fleet together, and answers
// agents, users and its fellow servers over gRPC.
//
// Every server answers everything. Writes go to the leader, wherever it is,
// under an id that makes a repeat harmless; reads wait until this server has
// seen all that was acknowledged before them. A server without a quorum says
// so, with one exception: a halt reverts first and asks afterwards.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"squall/proto/clock"
	"squall/proto/pki"
	"squall/proto/probe"
	pb "squall/proto/squall/v1"
	"squall/server/archive"
	"squall/server/conduct"
	"squall/server/consensus"
	"squall/server/fleet"
	"squall/server/notify"
	"squall/server/observe"
	"squall/server/state"
)

const (
	// Lease is the lease of a host without tasks, and how long a server may be
	// silent before its agents' streams are taken to be dead.
	Lease = 10 * time.Second
	// ConfirmEvery is how often a server asks the leader to confirm it: often
	// enough for a renewal under the shortest lease.
	ConfirmEvery = 500 * time.Millisecond
	// stopTime is how long a graceful stop may take.
	stopTime = 5 * time.Second
)

// Config says what a server is. Simulations bring listeners, a dialer, a
// transport, stores, probes and clocks of their own; a real server leaves those out.
type Config struct {
	// Bundle is this server's identity, and lists all servers with the
	// addresses of their doors.
	Bundle *pki.Bundle
	// Version is the version of the build, as metrics tell it; empty is none.
	Version string
	// Dir holds everything that outlives the process.
	Dir string
	// Doors accept agents, users and servers.
	Doors []net.Listener
	// RaftPort accepts servers; RaftPeers are all of them, this one included.
	RaftPort  net.Listener
	RaftPeers []consensus.Peer
	Timing    consensus.Timing
	// Metrics accepts whoever asks how this server is; nil where nobody may.
	Metrics net.Listener

	// Archive are the limits of what is kept of finished runs; zero is
	// archive.DefaultLimits.
	Archive archive.Limits

	// Secrets are what sinks are told with.
	Secrets notify.Secrets
	// NotifyPace is how sinks are told again; zero is notify.DefaultPace.
	NotifyPace notify.Pace

	// Dial reaches other servers' doors; nil is the network.
	Dial      func(ctx context.Context, address string) (net.Conn, error)
	Transport consensus.Transport
	Stores    *consensus.Stores
	// Attempt makes one attempt of a probe; nil is the real one.
	Attempt func(context.Context, *pb.PlannedProbe) probe.Reading
	// Decide makes the leader's decisions; nil is conduct's own.
	Decide func(d *conduct.Decider, now time.Time, v *state.View, run string) conduct.Decision
	// Wall reads the wall clock, which may step; nil is time.Now.
	Wall func() time.Time
	// Boot names the machine's boot, and tells how long ago it was; nil is the kernel's word.
	Boot func() (id string, ago time.Duration, err error)
	Log  *slog.Logger
}

// Server is one control server.
type Server struct {
	cfg       Config
	id        string
	log       *slog.Logger
	machine   *state.Machine
	consensus *consensus.Consensus
	fleet     *fleet.Fleet
	peers     *peers
	alarms    *alarms
	gatherer  *gatherer
	keeper    *keeper
	grpc      *grpc.Server
	observer  *observe.Observer

	clock clock.Cluster
	began time.Time
	// saved is cluster time as the process before this one left it.
	saved clock.Saved
	// term is the one that this server leads, 0 as a follower.
	term atomic.Uint64
	// confirmed is the local time at which the newest confirmation was asked for.
	confirmed atomic.Int64
	roll      roll
	walls     walls
	turns     turns
	stopping  atomic.Bool
	// lacking is what this server lacks for each sink.
	lacking atomic.Pointer[map[string]string]
	// calls are those that nobody waits for.
	calls sync.WaitGroup
	fatal chan error
}

// New opens a server's state and starts its part in consensus.
func New(cfg Config) (*Server, error) {
	if cfg.Wall == nil {
		cfg.Wall = time.Now
	}
	if cfg.Boot == nil {
		cfg.Boot = kernelBoot
	}
	s := &Server{
		cfg: cfg, id: cfg.Bundle.Identity.Name, log: cfg.Log.With("server", cfg.Bundle.Identity.Name),
		machine: state.New(), began: time.Now(), fatal: make(chan error, 1), turns: newTurns(),
	}
	s.restoreTime()
	s.keeper = newKeeper(s)
	s.alarms = newAlarms()
	s.confirmed.Store(never)
	var err error
	if s.peers, err = dialPeers(cfg); err != nil {
		return nil, fmt.Errorf("open server: %w", err)
	}
	s.fleet = fleet.New(s.fleetConfig())
	s.gatherer = &gatherer{view: s.machine.View, begin: s.begin}
	s.observer = observe.New(s.sight)
	s.grpc = s.newDoor()
	s.consensus, err = consensus.Open(s.consensusConfig())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open server: %w", err), s.peers.close())
	}
	return s, nil
}

// Run serves until ctx ends, then hands over leadership and stops. When the
// log's disk hangs it returns at once: the process must then end, and can't be
// waited for.
func (s *Server) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	watched, unwatch := context.WithCancel(context.WithoutCancel(ctx))
	for _, l := range s.cfg.Doors {
		g.Go(func() error { return s.grpc.Serve(l) })
	}
	g.Go(func() error { return s.fleet.Run(ctx) })
	g.Go(func() error { return s.followTerms(ctx) })
	g.Go(func() error { return s.confirmAlways(ctx) })
	g.Go(func() error { return s.saveTimes(ctx) })
	g.Go(func() error { return s.settleAlarms(ctx) })
	g.Go(func() error { return s.probe(ctx) })
	g.Go(func() error { return s.serveMetrics(watched) })
	g.Go(func() error { return s.keeper.keep(ctx) })
	g.Go(func() error { return s.followSecrets(ctx) })
	g.Go(func() error {
		<-ctx.Done()
		s.stopping.Store(true)
		s.handOver()
		s.closeDoors()
		unwatch()
		return nil
	})
	done := make(chan error, 1)
	go func() { done <- g.Wait() }()
	select {
	case err := <-s.fatal:
		return fmt.Errorf("run server: %w", err)
	case err := <-done:
		return errors.Join(err, s.stop())
	}
}

// State is the newest state applied here.
func (s *Server) State() *state.View { return s.machine.View() }

// Leading tells whether this server leads, and may act as leader.
func (s *Server) Leading() bool { return s.term.Load() != 0 }

// ID is the server's name.
func (s *Server) ID() string { return s.id }

func (s *Server) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	s.calls.Wait()
	return errors.Join(s.consensus.Stop(ctx), s.peers.close())
}

// handOver comes before anything else ends, so that others wait for nothing.
func (s *Server) handOver() {
	ctx, cancel := context.WithTimeout(context.Background(), stopTime/5)
	defer cancel()
	if err := s.consensus.HandOver(ctx); err != nil {
		s.log.Warn("others must elect a leader", "cause", err)
	}
}

// closeDoors ends all streams, then lets short calls finish.
func (s *Server) closeDoors() {
	s.fleet.Close()
	timer := time.AfterFunc(stopTime/5, s.grpc.Stop)
	defer timer.Stop()
	s.grpc.GracefulStop()
}

// failStop is called by consensus when the disk hangs. Doors close first: a
// process that can't end must not take connections that nobody answers.
func (s *Server) failStop(err error) {
	s.log.Error("stopping for good: the log's disk does not answer", "cause", err)
	for _, l := range s.cfg.Doors {
		_ = l.Close() // the hang is the error to tell
	}
	s.grpc.Stop()
	s.fatal <- err
}

func (s *Server) consensusConfig() consensus.Config {
	dir := s.cfg.Dir
	if dir != "" {
		dir = filepath.Join(dir, "raft")
	}
	return consensus.Config{
		ID: s.id, Peers: s.cfg.RaftPeers, Machine: s.machine, Timing: s.cfg.Timing,
		Dir: dir, Stores: s.cfg.Stores, Listener: s.cfg.RaftPort, Bundle: s.cfg.Bundle,
		Transport: s.cfg.Transport, Fatal: s.failStop, Log: s.log,
	}
}

func (s *Server) fleetConfig() fleet.Config {
	var doors []string
	for _, p := range s.cfg.Bundle.Servers {
		doors = append(doors, p.Address)
	}
	return fleet.Config{
		Server: s.id, Doors: doors, Lease: Lease, View: s.machine.View, Propose: s.Propose,
		Confirmed: s.confirmedAge, Time: s.clusterTime, Gone: s.gone, Heard: s.heardFromAgent,
		Halts: s.unrecorded, Swept: func() { s.turned(observe.Sweeping) }, Log: s.log,
	}
}

// local is this server's monotonic time.
func (s *Server) local() time.Duration { return time.Since(s.began) }

// wall is what to add to local time to get this server's wall clock.
func (s *Server) wall() time.Duration { return time.Duration(s.cfg.Wall().UnixNano()) - s.local() }

// clusterTime is not ok before the first word from a leader.
func (s *Server) clusterTime() (clock.Reading, bool) {
	s.clock.Applied(s.machine.View().Now().UnixNano())
	return s.clock.Now(s.local())
}

// now is cluster time, or the wall clock before there is one.
func (s *Server) now() time.Time {
	if now, ok := s.clusterTime(); ok {
		return time.Unix(0, now.Unix).UTC()
	}
	return s.cfg.Wall().UTC()
}

// principal is who a call comes from, as the log records it.
func (s *Server) principal(ctx context.Context, why string) *pb.Principal {
	id, from := caller(ctx)
	p := id.Principal()
	p.From, p.Server, p.Why = from, s.id, why
	return p
}

// self is this server as the log records it.
func (s *Server) self() *pb.Principal {
	return &pb.Principal{Name: s.id, Role: pb.Role_ROLE_SERVER, Server: s.id}
}
