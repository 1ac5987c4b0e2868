package server

import (
	"context"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"squall/server/observe"
)

// turns is when each of the server's loops last turned, in local time.
type turns map[observe.Loop]*atomic.Int64

func newTurns() turns {
	t := make(turns)
	for _, l := range []observe.Loop{observe.Confirming, observe.Sweeping, observe.Saving} {
		t[l] = new(atomic.Int64)
	}
	return t
}

// turned notes that a loop has turned.
func (s *Server) turned(l observe.Loop) { s.turns[l].Store(int64(s.local())) }

// sight is how this server stands. It reads memory, and takes no lock that
// anybody holds for long.
func (s *Server) sight() observe.Sight {
	age, ever := s.confirmedAge()
	now, _ := s.clusterTime()
	return observe.Sight{
		Server: s.id, Version: s.cfg.Version, View: s.machine.View(), Consensus: s.consensus.Standing(),
		Now: s.now(), Doubt: now.Doubt, WallOff: time.Duration(s.walls.off.Load()),
		Confirmed: age, Ever: ever, Lease: Lease,
		Silent: s.silence(), Agents: s.fleet.Connected(), Unrecorded: len(s.unrecorded()),
		Archive: s.keeper.sight(), Idle: s.idle(), Stopping: s.stopping.Load(), Lacks: s.lacks(),
	}
}

func (s *Server) idle() map[observe.Loop]time.Duration {
	idle := make(map[observe.Loop]time.Duration)
	for l, at := range s.turns {
		if l != observe.Saving || s.timeFile() != "" {
			idle[l] = s.local() - time.Duration(at.Load())
		}
	}
	return idle
}

// silence is how long each other server has not been heard of, where this one leads.
func (s *Server) silence() map[string]time.Duration {
	silent := make(map[string]time.Duration)
	for _, id := range s.serverIDs() {
		if id != s.id && s.Leading() {
			silent[id] = s.roll.silent(id, s.local())
		}
	}
	return silent
}

// serveMetrics answers those who watch, until ctx ends. A server does its work
// though nobody can watch it.
func (s *Server) serveMetrics(ctx context.Context) error {
	if s.cfg.Metrics == nil {
		return nil
	}
	if err := s.observer.Serve(ctx, s.cfg.Metrics); err != nil {
		s.log.Error("nobody can watch this server any more", "address", s.cfg.Metrics.Addr().String(), "cause", err)
	}
	return nil
}

// countUnary counts a call and its time.
func (s *Server) countUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	began := time.Now()
	res, err := next(ctx, req)
	s.observer.Took(info.FullMethod, time.Since(began))
	s.observer.Call(info.FullMethod, err)
	return res, err
}

// countStream counts a stream when it has ended.
func (s *Server) countStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	err := next(srv, stream)
	s.observer.Call(info.FullMethod, err)
	return err
}
