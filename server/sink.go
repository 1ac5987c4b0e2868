package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"squall/experiments"
	pb "squall/proto/squall/v1"
	"squall/server/notify"
	"squall/server/report"
	"squall/server/state"
)

const (
	// testTime bounds a test of a sink from all servers.
	testTime = 12 * time.Second
	// secretsEvery is how often a server looks whether it has what its sinks need.
	secretsEvery = 5 * time.Second
)

// deliver tells the sinks, for a term. It is the leader's.
func (s *Server) deliver(ctx context.Context) {
	d := notify.Deliverer{
		View: s.machine.View, Now: s.now, Sender: s.sender(), Pace: cmp.Or(s.cfg.NotifyPace, notify.DefaultPace), Log: s.log,
		Propose: func(ctx context.Context, cmd *pb.Command) error {
			_, err := own{s}.Propose(ctx, cmd)
			return err
		},
	}
	d.Lead(ctx)
}

func (s *Server) sender() *notify.Sender {
	return &notify.Sender{Secrets: s.cfg.Secrets, Source: "urn:squall:" + s.cfg.Bundle.Cluster()}
}

// followSecrets notes what this server lacks to tell the sinks, so that somebody
// hears of it before it leads.
func (s *Server) followSecrets(ctx context.Context) error {
	tick := time.NewTicker(secretsEvery)
	defer tick.Stop()
	for {
		lacks := make(map[string]string)
		for _, kept := range s.machine.View().Sinks() {
			lacks[kept.GetSink().GetName()] = s.cfg.Secrets.Missing(kept.GetSink())
		}
		s.lacking.Store(&lacks)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// lacks is what this server lacks for each sink, as it last looked; empty for nothing.
func (s *Server) lacks() map[string]string {
	if l := s.lacking.Load(); l != nil {
		return *l
	}
	return nil
}

// PutSink keeps somebody who is told of what happens.
func (d *controlDoor) PutSink(ctx context.Context, req *pb.PutSinkRequest) (*pb.PutSinkResponse, error) {
	kept, warnings, wrong := notify.Kept(req.GetSink())
	if wrong != nil {
		return nil, refusal(wrong)
	}
	outcome, err := d.act(ctx, "put sink", req, &pb.Command{
		By: d.principal(ctx, req.GetReason()), Kind: &pb.Command_PutSink{PutSink: &pb.PutSink{Sink: kept}},
	})
	return &pb.PutSinkResponse{Index: outcome.GetIndex(), Sink: kept, Warnings: warnings}, err
}

// ListSinks tells who is told of what, and how that fares, in pages.
func (d *controlDoor) ListSinks(ctx context.Context, req *pb.ListSinksRequest) (*pb.ListSinksResponse, error) {
	return listed(ctx, d, req, report.ListSinks)
}

// RemoveSink drops a sink that no schedule names, with what it has yet to be told.
func (d *controlDoor) RemoveSink(ctx context.Context, req *pb.RemoveSinkRequest) (*pb.RemoveSinkResponse, error) {
	outcome, err := d.act(ctx, "remove sink", req, &pb.Command{
		By: d.principal(ctx, req.GetReason()), Kind: &pb.Command_RemoveSink{RemoveSink: &pb.RemoveSink{Name: req.GetName()}},
	})
	return &pb.RemoveSinkResponse{Index: outcome.GetIndex()}, err
}

// ListDeadNotices tells what was given up, sink by sink, in pages.
func (d *controlDoor) ListDeadNotices(ctx context.Context, req *pb.ListDeadNoticesRequest) (*pb.ListDeadNoticesResponse, error) {
	return listed(ctx, d, req, report.ListDeadNotices)
}

// SettleDeadNotices delivers what was given up once more, or drops it.
func (d *controlDoor) SettleDeadNotices(ctx context.Context, req *pb.SettleDeadNoticesRequest) (*pb.SettleDeadNoticesResponse, error) {
	outcome, err := d.act(ctx, "settle dead notices", req, &pb.Command{
		By:   d.principal(ctx, req.GetReason()),
		Kind: &pb.Command_SettleDead{SettleDead: &pb.SettleDead{Sink: req.GetSink(), Ids: req.GetNotices(), Drop: req.GetDrop()}},
	})
	return &pb.SettleDeadNoticesResponse{Index: outcome.GetIndex()}, err
}

// TestSink has every server send a sink a test: each may come to lead, and needs
// the sink's secrets and a way to it then.
func (d *controlDoor) TestSink(ctx context.Context, req *pb.TestSinkRequest) (*pb.TestSinkResponse, error) {
	view, err := d.read(ctx)
	if err != nil {
		return nil, err
	}
	if view.Sink(req.GetName()) == nil {
		return nil, refusal(state.NoSink(req.GetName()))
	}
	var mu sync.Mutex // guards res
	res := &pb.TestSinkResponse{}
	add := func(t *pb.SinkTrial) {
		mu.Lock()
		defer mu.Unlock()
		res.Trials = append(res.Trials, t)
	}
	var here sync.WaitGroup
	here.Go(func() { add(d.trySink(ctx, view.Sink(req.GetName()).GetSink())) })
	d.peers.each(ctx, trials, testTime, func(ctx context.Context, id string, peer pb.PeerServiceClient) {
		answer, err := peer.TrySink(ctx, &pb.TrySinkRequest{Name: req.GetName()})
		if err != nil {
			add(&pb.SinkTrial{Server: id, Problem: "the server does not answer", Fix: "look at it with: squall status"})
			return
		}
		add(answer.GetTrial())
	})
	here.Wait()
	slices.SortFunc(res.Trials, func(a, b *pb.SinkTrial) int { return strings.Compare(a.GetServer(), b.GetServer()) })
	return res, nil
}

// TrySink sends a sink a test from this server.
func (d *peerDoor) TrySink(ctx context.Context, req *pb.TrySinkRequest) (*pb.TrySinkResponse, error) {
	kept := d.server.machine.View().Sink(req.GetName())
	if kept == nil {
		return &pb.TrySinkResponse{Trial: &pb.SinkTrial{Server: d.server.id, Problem: "the server has not heard of the sink yet", Fix: "try again"}}, nil
	}
	return &pb.TrySinkResponse{Trial: d.server.trySink(ctx, kept.GetSink())}, nil
}

// trySink is one test of a sink from this server.
func (s *Server) trySink(ctx context.Context, sink *pb.Sink) *pb.SinkTrial {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(s.cfg.NotifyPace, notify.DefaultPace).Attempt)
	defer cancel()
	began := time.Now()
	err := s.sender().Test(ctx, sink, s.id, s.now())
	trial := &pb.SinkTrial{Server: s.id, TookNanos: int64(time.Since(began))}
	if err != nil {
		trial.Problem = err.Error()
	}
	if f, ok := errors.AsType[*notify.Failure](err); ok {
		trial.Fix = f.Fix
	}
	return trial
}

// unheard refuses the sinks that a file names and nobody has put.
func unheard(view *state.View, e *pb.Experiment, src experiments.Source) (problems []*pb.Problem) {
	for i, name := range e.GetNotify().GetSinks() {
		if view.Sink(name) == nil {
			p := src.Problem(fmt.Sprintf("notify.sinks[%d]", i), fmt.Sprintf("there is no sink %q", name), "put it with: squall notify put, or take it out; squall notify list has those that there are")
			p.Refusal = pb.Refusal_REFUSAL_UNKNOWN
			problems = append(problems, p)
		}
	}
	return problems
}
