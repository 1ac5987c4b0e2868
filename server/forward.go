package server

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
	"squall/server/consensus"
	"squall/server/state"
)

const (
	// attemptTime bounds one try: an answer that was lost is asked for again.
	attemptTime = 2 * time.Second
	// attemptTimePerMiB is what a try has besides for each MiB of its command,
	// as on a line of 8 Mbit/s.
	attemptTimePerMiB = time.Second
	// leaderTime is how long a person waits for a leader before hearing that
	// there is none: twice the slowest failover.
	leaderTime = 4 * time.Second
	// largeCommand is the most that one forwarded message holds of a command, in bytes.
	largeCommand = 1 << 20
	firstPause   = 10 * time.Millisecond
	lastPause    = 250 * time.Millisecond
)

// Propose commits a command through whichever server leads, and tries again
// under the same id until that succeeds or ctx ends: what failed may have been
// committed all the same, and counts once.
func (s *Server) Propose(ctx context.Context, cmd *pb.Command) (*pb.Outcome, error) {
	if cmd.GetBy() == nil {
		cmd.By = s.self()
	}
	var outcome *pb.Outcome
	err := s.untilLed(ctx, timeFor(cmd), func(ctx context.Context) (err error) {
		outcome, err = s.proposeOnce(ctx, cmd)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("propose: %w", err)
	}
	return outcome, nil
}

func (s *Server) proposeOnce(ctx context.Context, cmd *pb.Command) (*pb.Outcome, error) {
	if s.Leading() {
		return s.commitOne(ctx, cmd)
	}
	leader, err := s.peers.client(asks, s.consensus.Leader())
	if err != nil {
		return nil, err
	}
	if proto.Size(cmd) > largeCommand {
		return proposeLarge(ctx, leader, cmd)
	}
	res, err := leader.Propose(ctx, &pb.ProposeRequest{Command: cmd})
	return res.GetOutcome(), err
}

// proposeLarge forwards a command in parts: one message of it would be refused
// by its size, and a big run is no bigger on the way to the leader than there.
func proposeLarge(ctx context.Context, leader pb.PeerServiceClient, cmd *pb.Command) (*pb.Outcome, error) {
	whole, err := proto.Marshal(cmd)
	if err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "forward command: %v", err)
	}
	stream, err := leader.ProposeLarge(ctx)
	if err != nil {
		return nil, err
	}
	for part := range slices.Chunk(whole, largeCommand) {
		if stream.Send(&pb.ProposeLargeRequest{Part: part}) != nil {
			break // the answer says why
		}
	}
	res, err := stream.CloseAndRecv()
	return res.GetOutcome(), err
}

// commit is for the leader. It stamps commands with cluster time.
func (s *Server) commit(ctx context.Context, commands ...*pb.Command) ([]*pb.Outcome, error) {
	if !s.Leading() {
		return nil, consensus.ErrNotLeader
	}
	// A command that waits for others is sent by whoever ends the wait, while its
	// own proposer may try again: from here on nobody writes to it.
	for _, cmd := range commands {
		if cmd.GetAtUnixNanos() == 0 {
			cmd.AtUnixNanos = s.now().UnixNano()
		}
	}
	began := time.Now()
	outcomes, err := s.gatherer.propose(ctx, commands...)
	if err == nil {
		s.observer.Committed(time.Since(began))
	}
	return outcomes, err
}

func (s *Server) commitOne(ctx context.Context, cmd *pb.Command) (*pb.Outcome, error) {
	outcomes, err := s.commit(ctx, cmd)
	if err != nil {
		return nil, err
	}
	return outcomes[0], nil
}

// begin puts commands into the log.
func (s *Server) begin(ctx context.Context, commands ...*pb.Command) (begun []proposal) {
	for _, p := range s.consensus.Begin(ctx, commands...) {
		begun = append(begun, p)
	}
	return begun
}

// read is the state with everything in it that was acknowledged before the call.
func (s *Server) read(ctx context.Context) (*state.View, error) {
	ctx, cancel := context.WithTimeout(ctx, leaderTime)
	defer cancel()
	var index uint64
	err := s.untilLed(ctx, attemptTime, func(ctx context.Context) (err error) {
		index, err = s.readIndex(ctx)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read state: %w", err)
	}
	if err := s.consensus.WaitApplied(ctx, index); err != nil {
		return nil, fmt.Errorf("read state: %w", err)
	}
	return s.machine.View(), nil
}

func (s *Server) readIndex(ctx context.Context) (uint64, error) {
	if s.Leading() {
		return s.consensus.LinearizableIndex(ctx)
	}
	leader, err := s.peers.client(asks, s.consensus.Leader())
	if err != nil {
		return 0, err
	}
	res, err := leader.Confirm(ctx, &pb.ConfirmRequest{Server: s.id, Verify: true})
	if err != nil {
		return 0, err
	}
	if !res.GetLeader() {
		return 0, consensus.ErrNotLeader
	}
	return res.GetCommitIndex(), nil
}

// timeFor is how long one try to commit commands may take.
func timeFor(commands ...*pb.Command) time.Duration {
	most := attemptTime
	for _, cmd := range commands {
		most += time.Duration(proto.Size(cmd)) * attemptTimePerMiB / (1 << 20)
	}
	return most
}

// untilLed tries, with pauses that grow and differ, until a leader has done it;
// at once when there is news of one. No try takes longer than most.
func (s *Server) untilLed(ctx context.Context, most time.Duration, try func(context.Context) error) error {
	pause := firstPause
	for {
		news := s.consensus.LeaderNews()
		err := tryOnce(ctx, most, news, try)
		if err == nil || final(err) {
			return err
		}
		select {
		case <-time.After(pause/2 + rand.N(pause)):
			pause = min(2*pause, lastPause)
		case <-news:
			pause = firstPause
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", errNoLeader, err)
		}
	}
}

// tryOnce gives a try up when there is news of a leader: the one that it waits
// for may hang, or be cut off.
func tryOnce(ctx context.Context, most time.Duration, news <-chan struct{}, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	go func() {
		select {
		case <-news:
			cancel()
		case <-ctx.Done():
		}
	}()
	return try(ctx)
}

// final tells whether trying again can't help.
func final(err error) bool {
	switch status.Code(err) {
	case codes.InvalidArgument, codes.PermissionDenied, codes.Unauthenticated, codes.Unimplemented, codes.ResourceExhausted:
		return true
	}
	return false
}
