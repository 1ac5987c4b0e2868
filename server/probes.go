package server

import (
	"context"
	"slices"

	"squall/proto/probe"
	pb "squall/proto/squall/v1"
	"squall/server/state"
)

// probe runs the probes that runs want from the servers, on each of them, for
// as long as those runs are under way.
func (s *Server) probe(ctx context.Context) error {
	runner := probe.NewRunner(probe.Options{
		Now: func() (int64, bool) {
			now, ok := s.clusterTime()
			return now.Unix, ok
		},
		Attempt: s.cfg.Attempt,
		Closed:  s.record,
	})
	defer runner.Close()
	for {
		view := s.machine.View()
		runner.Set(probeTasks(view, s.bit()))
		select {
		case <-view.Stale():
		case <-ctx.Done():
			return nil
		}
	}
}

// record takes a closed window of this server's own. The zone of servers is "".
func (s *Server) record(w *pb.Window) {
	w.Zone = ""
	s.fleet.Record([]*pb.Window{w})
}

// probeTasks are the probes that runs under way want from the servers.
func probeTasks(view *state.View, bit int) []*pb.ProbeTask {
	var tasks []*pb.ProbeTask
	for _, r := range view.Active() {
		for _, p := range r.GetPlan().GetProbes() {
			if p.GetControl() && p.GetProbe() != nil {
				tasks = append(tasks, &pb.ProbeTask{Run: r.GetId(), Probe: p, Bit: uint32(bit)})
			}
		}
	}
	return tasks
}

// bit is this server's place among the servers, by name.
func (s *Server) bit() int {
	all := s.serverIDs()
	slices.Sort(all)
	return slices.Index(all, s.id)
}
