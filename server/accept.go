package server

import (
	"context"
	"fmt"
	"time"

	"squall/proto/clock"
	pb "squall/proto/squall/v1"
	"squall/server/report"
)

// AcceptTime has schedules go by cluster time as it is, though it is off the
// servers' wall clocks. It is refused where cluster time is not in doubt.
func (d *controlDoor) AcceptTime(ctx context.Context, req *pb.AcceptTimeRequest) (*pb.AcceptTimeResponse, error) {
	view, err := d.read(ctx)
	if err != nil {
		return nil, err
	}
	off := time.Duration(d.walls.off.Load())
	if err := acceptable(d.timeDoubt(), off, view.AcceptedTime(), req); err != nil {
		return nil, err
	}
	outcome, err := d.act(ctx, "accept time", req, &pb.Command{
		By: d.principal(ctx, req.GetWhy()), Kind: &pb.Command_AcceptTime{AcceptTime: &pb.AcceptTime{WallOffNanos: off.Nanoseconds()}},
	})
	return &pb.AcceptTimeResponse{Index: outcome.GetIndex(), WallOffNanos: off.Nanoseconds()}, err
}

// acceptable refuses what needs nobody's word, or can't have it.
func acceptable(doubt string, off time.Duration, before *pb.AcceptedTime, req *pb.AcceptTimeRequest) error {
	switch {
	case req.GetWhy() == "":
		return refusef(pb.Refusal_REFUSAL_INVALID, "say it with --why", "there is no reason given why cluster time is taken as it is")
	case before != nil && clock.Agrees(off, time.Duration(before.GetWallOffNanos())):
		return refusef(pb.Refusal_REFUSAL_INVALID, "see it with: squall status", "cluster time is accepted as it is already, by %s", report.Because(before.GetBy().GetName(), before.GetBy().GetWhy()))
	case doubt == "":
		return refusef(pb.Refusal_REFUSAL_INVALID, "there is nothing to do: slots of schedules begin", "cluster time is not in doubt: it is %s off the servers' wall clocks", off.Abs().Round(time.Millisecond))
	case clock.Agrees(off, 0): // no majority of clocks is heard from
		return refusef(pb.Refusal_REFUSAL_INVALID, "try again in a second, and see which servers are up with: squall status", "how far cluster time is off is not known: %s", doubt)
	}
	return nil
}

// timeDoubt is why the leader does not rely on cluster time for what the calendar
// says, as far as this server has heard; empty where it does.
func (s *Server) timeDoubt() string {
	if s.Leading() {
		return s.doubt()
	}
	return s.walls.doubted()
}

// doubt is why this leader's cluster time is not to be relied on for what the
// calendar says; empty where it is.
func (s *Server) doubt() string {
	s.walls.note(s.id, s.wall())
	off, ok := s.clock.Off(s.local(), s.walls.all(s.serverIDs()))
	accepted := s.machine.View().AcceptedTime()
	switch {
	case !ok:
		return "the wall clocks of most servers are not heard from yet"
	case clock.Agrees(off, time.Duration(accepted.GetWallOffNanos())):
		return ""
	case accepted != nil:
		return fmt.Sprintf("it is %s off the servers' wall clocks, and %s was accepted", off.Round(time.Millisecond), time.Duration(accepted.GetWallOffNanos()).Round(time.Millisecond))
	}
	return fmt.Sprintf("it is %s off the servers' wall clocks", off.Round(time.Millisecond))
}

// endAcceptance takes back what was accepted, once cluster time is well within
// what needs nobody's word: another time that it is off is another matter.
func (s *Server) endAcceptance(ctx context.Context, off time.Duration) {
	accepted := s.machine.View().AcceptedTime()
	if accepted == nil || off.Abs() > clock.Astray/2 {
		return
	}
	by := s.self()
	by.Why = "cluster time agrees with the servers' wall clocks again"
	_, err := own{s}.Propose(ctx, &pb.Command{
		Id: fmt.Sprintf("time agrees/%d", accepted.GetAtUnixNanos()), By: by, Kind: &pb.Command_AcceptTime{AcceptTime: &pb.AcceptTime{}},
	})
	if err != nil && ctx.Err() == nil {
		s.log.Warn("what was accepted of cluster time is not ended yet", "cause", err)
	}
}
