package server

import (
	"google.golang.org/grpc"

	"squall/experiments"
	"squall/experiments/judge"
	"squall/proto/parts"
	pb "squall/proto/squall/v1"
	"squall/server/report"
	"squall/server/state"
)

// Live is how a run stands now. It is this server's own view, which may be a
// heartbeat behind: people look at it each second, and nothing is decided by it.
func (d *controlDoor) Live(req *pb.LiveRequest, stream grpc.ServerStreamingServer[pb.LiveResponse]) error {
	view := d.machine.View()
	run := newest(view)
	if req.GetRun() != "" {
		var err error
		if run, err = d.keeper.find(stream.Context(), view, req.GetRun()); err != nil {
			return err
		}
	}
	if run == nil {
		return unknownRun(req.GetRun())
	}
	now := d.now()
	live := report.Live(view, run, now)
	if run.GetState() != pb.RunState_RUN_STATE_DONE {
		if j, problems := judge.Compile(run.GetExperiment(), experiments.Source{}); len(problems) == 0 {
			live.Rules = j.Track().Rules(run, view.Readings(run.GetId()), now)
		}
	}
	return parts.Send(stream, live, func(part []byte) *pb.LiveResponse { return &pb.LiveResponse{Part: part} })
}

// newest is the run that began last, those first that are under way.
func newest(view *state.View) (last *pb.Run) {
	for _, list := range [][]*pb.Run{view.Active(), view.Runs()} {
		for _, r := range list {
			if last == nil || r.GetAdmittedIndex() > last.GetAdmittedIndex() {
				last = r
			}
		}
		if last != nil {
			return last
		}
	}
	return nil
}
