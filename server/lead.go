package server

import (
	"context"
	"errors"
	"iter"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
	"squall/server/conduct"
	"squall/server/consensus"
)

// pushTime bounds one push of orders; the other server's own log follows anyway.
const pushTime = time.Second

// followTerms conducts runs in every term that this server leads.
func (s *Server) followTerms(ctx context.Context) error {
	stop := func() {}
	for {
		select {
		case t := <-s.consensus.Leadership():
			stop()
			stop = s.takeUp(ctx, t)
		case <-ctx.Done():
			stop()
			return nil
		}
	}
}

// takeUp begins a term. What it returns ends the term and waits for it.
func (s *Server) takeUp(ctx context.Context, t consensus.Term) (stop func()) {
	if !t.Leading {
		return func() {}
	}
	s.takeTime(ctx, t.Number)
	s.roll.begin(s.serverIDs(), s.local())
	s.term.Store(t.Number)
	s.log.Info("leads", "term", t.Number)
	ctx, cancel := context.WithCancel(ctx)
	var work sync.WaitGroup
	work.Go(func() { s.conduct(ctx) })
	work.Go(func() { s.steer(ctx) })
	work.Go(func() { s.keeper.seal(ctx) })
	work.Go(func() { s.deliver(ctx) })
	return func() {
		s.term.Store(0)
		s.clock.Follow(s.local())
		cancel()
		work.Wait()
		s.log.Info("leads no more", "term", t.Number)
	}
}

func (s *Server) conduct(ctx context.Context) {
	c := conduct.Conductor{Machine: s.machine, Proposer: own{s}, Pusher: pusher{s}, Now: s.now, Doubt: s.doubt, Decide: s.cfg.Decide, Log: s.log}
	if err := c.Lead(ctx); err != nil && !errors.Is(err, context.Canceled) {
		s.log.Error("conductor stopped", "cause", err)
	}
}

func (s *Server) serverIDs() []string {
	var ids []string
	for _, p := range s.cfg.Bundle.Servers {
		ids = append(ids, p.ID)
	}
	return ids
}

// own proposes as leader or not at all: what a deposed leader decided is not
// for its successor to carry out.
type own struct{ server *Server }

// Propose commits commands of the conductor.
func (o own) Propose(ctx context.Context, commands ...*pb.Command) ([]*pb.Outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, timeFor(commands...))
	defer cancel()
	for _, cmd := range commands {
		if cmd.GetBy() == nil {
			cmd.By = o.server.self()
		}
	}
	return o.server.commit(ctx, commands...)
}

// pusher hands orders to the servers that hold the agents.
type pusher struct{ server *Server }

// Push does not wait for other servers.
func (p pusher) Push(_ context.Context, orders map[string]*pb.Order) {
	s := p.server
	view := s.machine.View()
	by := make(map[string]map[string]*pb.Order)
	for host, order := range orders {
		at := view.Host(host).GetServer()
		if by[at] == nil {
			by[at] = make(map[string]*pb.Order)
		}
		by[at][host] = order
	}
	for id, orders := range by {
		s.push(id, orders)
	}
}

func (s *Server) push(id string, orders map[string]*pb.Order) {
	if id == s.id {
		s.fleet.Deliver(orders)
		return
	}
	peer, err := s.peers.client(words, id)
	if err != nil {
		return // nobody holds them now
	}
	s.calls.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), pushTime)
		defer cancel()
		for part := range inParts(orders) {
			if _, err := peer.Push(ctx, part); err != nil {
				s.log.Debug("orders not handed on; the server's own log brings them", "to", id, "cause", err)
			}
		}
	})
}

// inParts are orders in messages of which each is far from too large.
func inParts(orders map[string]*pb.Order) iter.Seq[*pb.PushRequest] {
	return func(yield func(*pb.PushRequest) bool) {
		part, size := &pb.PushRequest{Orders: make(map[string]*pb.Order)}, 0
		for host, order := range orders {
			if size += proto.Size(order); size > largeCommand && len(part.GetOrders()) > 0 {
				if !yield(part) {
					return
				}
				part, size = &pb.PushRequest{Orders: make(map[string]*pb.Order)}, proto.Size(order)
			}
			part.Orders[host] = order
		}
		yield(part)
	}
}
