package server

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"squall/proto/clock"
	pb "squall/proto/squall/v1"
)

const (
	// steerEvery is how often the leader holds cluster time against wall clocks.
	steerEvery = time.Second
	// recallTime is how long a new leader that never heard the time asks others who
	// may have.
	recallTime = 3 * time.Second
	// mostAway is how much time may have passed, as far as a wall clock can tell,
	// while nobody carried cluster time on and a run was under way: what hosts hold
	// to their own deadlines, servers take to be over by as much too early as the
	// clock is ahead. Machines boot in less.
	mostAway = 2 * time.Minute
	// remindEvery is how often an alarm about the clock is repeated.
	remindEvery = time.Minute
)

// takeTime begins a term's time: from what this server heard, or another, or from
// what it saved in this boot; where there is none of that, from the wall clock.
func (s *Server) takeTime(ctx context.Context, term uint64) {
	last := s.machine.View().Now()
	s.clock.Applied(last.UnixNano())
	if !s.clock.Known() && last.UnixNano() != 0 { // an empty log has no past to ask for
		s.recall(ctx)
	}
	s.clock.Lead(s.local(), s.beginning().UnixNano(), term)
}

// beginning is where cluster time begins if nobody can carry it on.
func (s *Server) beginning() time.Time {
	view := s.machine.View()
	most := mostAway
	if len(view.Active()) == 0 {
		most = 0 // there is nothing that it would move
	}
	last := time.Unix(0, max(view.Now().UnixNano(), s.saved.Unix))
	begin, capped := clock.Begin(s.cfg.Wall(), last, most)
	if _, carried := s.clock.Now(s.local()); capped && !carried {
		s.log.Error("this server's wall clock is too far ahead to begin cluster time, which nobody knows; it begins where it may be behind",
			"wall", s.cfg.Wall(), "known", last, "begins", begin)
	}
	return begin
}

// recall asks the other servers what they know: this one has only just come up, and
// wall clocks may have stepped while nobody led. It ends when one knows, or a
// majority, this server included, has heard nothing from any leader.
func (s *Server) recall(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, recallTime)
	defer cancel()
	for ctx.Err() == nil && !s.clock.Known() {
		if 1+s.askTime(ctx) > len(s.cfg.Bundle.Servers)/2 {
			return
		}
		select {
		case <-time.After(recallTime / 30):
		case <-ctx.Done():
		}
	}
}

// askTime asks all others once, and tells how many have answered.
func (s *Server) askTime(ctx context.Context) int {
	var answered atomic.Int32
	s.peers.each(ctx, words, recallTime/10, func(ctx context.Context, _ string, peer pb.PeerServiceClient) {
		sent := s.local()
		res, err := peer.Confirm(ctx, &pb.ConfirmRequest{Server: s.id, WallUnixNanos: s.cfg.Wall().UnixNano()})
		if err != nil {
			return
		}
		answered.Add(1)
		if res.GetClusterUnixNanos() != 0 {
			s.clock.Observe(sent, readingOf(res), s.local())
		}
	})
	return int(answered.Load())
}

func readingOf(r *pb.ConfirmResponse) clock.Reading {
	return clock.Reading{
		Unix: r.GetClusterUnixNanos(), Doubt: time.Duration(r.GetUncertaintyNanos()), Term: r.GetTerm(),
		Slewed: time.Duration(r.GetSlewedNanos()), SlewPPM: r.GetSlewPpm(),
	}
}

// steer slews cluster time towards the servers' wall clocks while nothing is
// held, and says so when it is far from them.
func (s *Server) steer(ctx context.Context) {
	tick := time.NewTicker(steerEvery)
	defer tick.Stop()
	var told time.Time
	for {
		view := s.machine.View()
		s.walls.note(s.id, s.wall())
		off, ok := s.clock.Steer(s.local(), s.walls.all(s.serverIDs()), len(view.Active()) > 0)
		if ok {
			s.walls.off.Store(int64(off))
			s.endAcceptance(ctx, off)
		}
		if ok && time.Since(told) >= remindEvery && s.doubt() != "" {
			told = time.Now()
			s.log.Error("cluster time is astray from the servers' wall clocks; set those that are wrong, it follows slowly", "off", off)
		}
		select {
		case <-tick.C:
		case <-view.Stale():
		case <-ctx.Done():
			return
		}
	}
}

// walls are the servers' wall clocks, as the leader heard them.
type walls struct {
	// off is cluster time minus their median, nanoseconds, as the leader says.
	off atomic.Int64

	mu    sync.Mutex // guards all below
	known map[string]time.Duration
	// doubt is why the leader does not rely on cluster time, as it says.
	doubt string
}

// hear takes the leader's word on cluster time.
func (w *walls) hear(off time.Duration, doubt string) {
	w.off.Store(int64(off))
	w.mu.Lock()
	defer w.mu.Unlock()
	w.doubt = doubt
}

func (w *walls) doubted() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.doubt
}

// note takes what to add to local time to get a server's wall clock.
func (w *walls) note(server string, offset time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.known == nil {
		w.known = make(map[string]time.Duration)
	}
	w.known[server] = offset
}

// all are those known, none while they are fewer than a majority of servers.
func (w *walls) all(servers []string) []time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []time.Duration
	for _, id := range servers {
		if offset, ok := w.known[id]; ok {
			all = append(all, offset)
		}
	}
	if len(all) <= len(servers)/2 {
		return nil
	}
	return slices.Clip(all)
}
