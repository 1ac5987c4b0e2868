package server

import (
	"context"
	"math"
	"sync"
	"time"

	pb "squall/proto/squall/v1"
	"squall/server/consensus"
	"squall/server/observe"
)

const (
	// never is a local time long before any other.
	never = math.MinInt64 / 2
	// bareEvery is how many confirmations go by before the clock is measured
	// by a question that waits for no quorum, and so is more exact.
	bareEvery = 8
	// retryConfirm is the pause after a question that nobody answered, as
	// before the first leader.
	retryConfirm = ConfirmEvery / 5
)

// confirmAlways asks the leader, again and again, whether it still is one. The
// answers are what leases are renewed on, and measure the clock.
func (s *Server) confirmAlways(ctx context.Context) error {
	for n := 0; ; n++ {
		s.turned(observe.Confirming)
		pause := ConfirmEvery
		if err := s.confirm(ctx, n%bareEvery == 0); err != nil {
			s.log.Debug("not confirmed", "cause", err)
			pause = retryConfirm
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *Server) confirm(ctx context.Context, measure bool) error {
	ctx, cancel := context.WithTimeout(ctx, 2*ConfirmEvery)
	defer cancel()
	if measure {
		_, _ = s.askLeader(ctx, false) // for its clock alone
	}
	asked := s.local()
	index, err := s.askLeader(ctx, true)
	if err != nil {
		return err
	}
	if err := s.consensus.WaitApplied(ctx, index); err != nil {
		return err
	}
	s.confirmed.Store(int64(asked))
	return nil
}

// askLeader gives the leader's read index.
func (s *Server) askLeader(ctx context.Context, verify bool) (uint64, error) {
	if s.Leading() {
		return s.consensus.LinearizableIndex(ctx)
	}
	leader, err := s.peers.client(words, s.consensus.Leader())
	if err != nil {
		return 0, err
	}
	sent := s.local()
	res, err := leader.Confirm(ctx, &pb.ConfirmRequest{
		Server: s.id, SentMonoNanos: int64(sent), Verify: verify, WallUnixNanos: s.cfg.Wall().UnixNano(),
	})
	if err != nil {
		return 0, err
	}
	if !res.GetLeader() {
		return 0, consensus.ErrNotLeader
	}
	s.clock.Observe(sent, readingOf(res), s.local())
	s.walls.hear(time.Duration(res.GetWallOffNanos()), res.GetTimeDoubt())
	return res.GetCommitIndex(), nil
}

// confirmedAge is how long ago the newest confirmation was asked for.
func (s *Server) confirmedAge() (time.Duration, bool) {
	asked := s.confirmed.Load()
	if asked == never {
		return 0, false
	}
	return s.local() - time.Duration(asked), true
}

// roll is when the leader last heard of each other server.
type roll struct {
	mu    sync.Mutex
	heard map[string]time.Duration
}

// answer notes that a server is there.
func (r *roll) answer(server string, at time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.heard == nil {
		r.heard = make(map[string]time.Duration)
	}
	r.heard[server] = at
}

// begin gives everyone in a new term the benefit of the doubt.
func (r *roll) begin(servers []string, at time.Duration) {
	for _, id := range servers {
		r.answer(id, at)
	}
}

// silent is how long a server has not been heard of.
func (r *roll) silent(server string, now time.Duration) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return now - r.heard[server]
}

// gone tells, on the leader, that a server has been silent for a whole lease.
func (s *Server) gone(server string) bool {
	return s.Leading() && s.roll.silent(server, s.local()) > Lease
}
