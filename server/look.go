package server

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"

	"squall/proto/parts"
	pb "squall/proto/squall/v1"
	"squall/server/report"
	"squall/server/state"
)

const (
	// statusTime is how long status waits for a leader. Without one it tells
	// what this server last knew, and names no leader.
	statusTime = time.Second
	// reachTime is how long another server has to answer to count as reachable.
	reachTime = 500 * time.Millisecond
)

// Status is what is injected right now, whose it is, when it ends, and what is
// left over. Without a leader it is what this server last knew, and says that it
// is unconfirmed.
func (d *controlDoor) Status(_ *pb.StatusRequest, stream grpc.ServerStreamingServer[pb.StatusResponse]) error {
	return parts.Send(stream, d.status(stream.Context()), func(part []byte) *pb.StatusResponse { return &pb.StatusResponse{Part: part} })
}

func (d *controlDoor) status(ctx context.Context) *pb.Status {
	led, cancel := context.WithTimeout(ctx, statusTime)
	defer cancel()
	view, err := d.read(led)
	leader := d.consensus.Leader()
	if err != nil {
		view, leader = d.machine.View(), ""
	}
	res := report.Status(view)
	res.Unconfirmed = err != nil
	res.Leader, res.Server, res.Servers = leader, d.id, d.serverStatus(ctx, leader)
	if latch := d.engaged(); latch != nil && !res.GetHalt().GetEngaged() {
		res.Halt = latch // heard, not committed
	}
	now, _ := d.clusterTime()
	res.ClusterUnixNanos, res.UncertaintyNanos, res.WallOffNanos = now.Unix, int64(now.Doubt), d.walls.off.Load()
	res.TimeDoubt, res.AcceptedTime = d.timeDoubt(), view.AcceptedTime()
	return res
}

func (s *Server) serverStatus(ctx context.Context, leader string) []*pb.ServerStatus {
	var mu sync.Mutex
	reachable := map[string]bool{s.id: true}
	s.peers.each(ctx, words, reachTime, func(ctx context.Context, id string, peer pb.PeerServiceClient) {
		if _, err := peer.Confirm(ctx, &pb.ConfirmRequest{Server: s.id}); err == nil {
			mu.Lock()
			defer mu.Unlock()
			reachable[id] = true
		}
	})
	mu.Lock()
	defer mu.Unlock()
	var out []*pb.ServerStatus
	for _, p := range s.cfg.Bundle.Servers {
		out = append(out, &pb.ServerStatus{Id: p.ID, Address: p.Address, Leader: p.ID == leader, Reachable: reachable[p.ID]})
	}
	return out
}

// Report is everything about one run.
func (d *controlDoor) Report(req *pb.ReportRequest, stream grpc.ServerStreamingServer[pb.ReportResponse]) error {
	view, err := d.read(stream.Context())
	if err != nil {
		return err
	}
	run, err := d.keeper.find(stream.Context(), view, req.GetRun())
	if err != nil {
		return err
	}
	return parts.Send(stream, report.Of(view, run), func(part []byte) *pb.ReportResponse { return &pb.ReportResponse{Part: part} })
}

// Watch follows a run to its end, or all runs for as long as the caller listens.
func (d *controlDoor) Watch(req *pb.WatchRequest, stream grpc.ServerStreamingServer[pb.WatchResponse]) error {
	ctx := stream.Context()
	view, err := d.read(ctx)
	if err != nil {
		return err
	}
	if req.GetRun() != "" && view.Run(req.GetRun()) == nil {
		return d.watchArchived(view, req, stream)
	}
	for after := req.GetAfterIndex(); ; {
		for _, e := range events(view, req.GetRun(), after) {
			if err := stream.Send(&pb.WatchResponse{Event: e}); err != nil {
				return fmt.Errorf("watch: %w", err)
			}
		}
		if over(view, req.GetRun()) {
			return nil
		}
		after = max(after, view.Index())
		select {
		case <-view.Stale():
			view = d.machine.View()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// watchArchived tells the events of a run that only archives have.
func (d *controlDoor) watchArchived(view *state.View, req *pb.WatchRequest, stream grpc.ServerStreamingServer[pb.WatchResponse]) error {
	run, err := d.keeper.find(stream.Context(), view, req.GetRun())
	if err != nil {
		return err
	}
	for _, e := range run.GetEvents() {
		if e.GetIndex() <= req.GetAfterIndex() {
			continue
		}
		if err := stream.Send(&pb.WatchResponse{Event: e}); err != nil {
			return fmt.Errorf("watch: %w", err)
		}
	}
	return nil
}

// events are those of one run, or of all, after a log index.
func events(view *state.View, run string, after uint64) []*pb.Event {
	if run != "" {
		return view.Events(run, after)
	}
	var all []*pb.Event
	for _, r := range view.Runs() {
		all = append(all, view.Events(r.GetId(), after)...)
	}
	slices.SortStableFunc(all, func(a, b *pb.Event) int { return cmp.Compare(a.GetIndex(), b.GetIndex()) })
	return all
}

// over tells whether a run has nothing more to tell.
func over(view *state.View, run string) bool {
	if run == "" {
		return false
	}
	r := view.Run(run)
	return r == nil || r.GetState() == pb.RunState_RUN_STATE_DONE
}

func unknownRun(run string) error {
	return refusef(pb.Refusal_REFUSAL_UNKNOWN, "list them with: squall get runs", "there is no run %q", run)
}
