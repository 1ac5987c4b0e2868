package server

import (
	"cmp"
	"context"
	"crypto/rand"
	"time"

	"google.golang.org/grpc"

	"squall/experiments/schedule"
	"squall/proto/parts"
	pb "squall/proto/squall/v1"
	"squall/server/report"
)

// PutSchedule keeps an experiment and begins its runs by the calendar. It is
// planned now, so that whoever brings it hears what would stop it today; a run
// is planned anew at its slot.
func (d *controlDoor) PutSchedule(ctx context.Context, req *pb.PutScheduleRequest) (*pb.PutScheduleResponse, error) {
	if len(req.GetSource()) == 0 {
		return nil, refusef(pb.Refusal_REFUSAL_INVALID, "bring the file", "the request has no experiment")
	}
	view, err := d.read(ctx)
	if err != nil {
		return nil, err
	}
	e, made, err := d.plan(view, draft{aim: req.GetAim(), file: req.GetFile(), source: req.GetSource()})
	if err != nil {
		return nil, err
	}
	if len(made.GetProblems()) > 0 {
		return &pb.PutScheduleResponse{Refused: fewProblems(made.GetProblems())}, nil
	}
	if e.GetSchedule() == nil {
		return nil, refusef(pb.Refusal_REFUSAL_INVALID, "add `schedule: { every: first tuesday at 14:30, timezone: UTC }`", "%s does not say when it begins", req.GetFile())
	}
	after, err := d.civilNow(e.GetSchedule())
	if err != nil {
		return nil, err
	}
	e.Seed = 0 // each slot has its own
	name := cmp.Or(req.GetName(), e.GetName())
	outcome, err := d.propose(ctx, &pb.Command{
		Id: "schedule/" + rand.Text(), By: d.principal(ctx, req.GetWhy()),
		Kind: &pb.Command_PutSchedule{PutSchedule: &pb.PutSchedule{
			Name: name, Experiment: e, Source: req.GetSource(), Aim: req.GetAim(), After: after,
		}},
	})
	if err != nil {
		return nil, err
	}
	return &pb.PutScheduleResponse{
		Index: outcome.GetIndex(), Warnings: fewProblems(made.GetWarnings()),
		Schedule: &pb.Scheduled{Name: name, Experiment: e, Watermark: after},
	}, nil
}

// civilNow is the time on the wall in a schedule's zone.
func (d *controlDoor) civilNow(s *pb.Schedule) (string, error) {
	zone, err := time.LoadLocation(s.GetTimezone())
	if err != nil {
		return "", refusef(pb.Refusal_REFUSAL_INVALID, "write a name of the tz database", "%v", err)
	}
	return d.now().In(zone).Format(schedule.CivilLayout), nil
}

// ListSchedules tells the schedules, by name, in pages.
func (d *controlDoor) ListSchedules(ctx context.Context, req *pb.ListSchedulesRequest) (*pb.ListSchedulesResponse, error) {
	return listed(ctx, d, req, report.ListSchedules)
}

// GetSchedule tells one schedule whole.
func (d *controlDoor) GetSchedule(req *pb.GetScheduleRequest, stream grpc.ServerStreamingServer[pb.GetScheduleResponse]) error {
	view, err := d.read(stream.Context())
	if err != nil {
		return err
	}
	s := view.Schedule(req.GetName())
	if s == nil {
		return refusef(pb.Refusal_REFUSAL_UNKNOWN, "see them with: squall schedule list", "there is no schedule %q", req.GetName())
	}
	return parts.Send(stream, s, func(part []byte) *pb.GetScheduleResponse { return &pb.GetScheduleResponse{Part: part} })
}

// PauseSchedule holds the slots of a schedule back, or lets them go on.
func (d *controlDoor) PauseSchedule(ctx context.Context, req *pb.PauseScheduleRequest) (*pb.PauseScheduleResponse, error) {
	outcome, err := d.propose(ctx, &pb.Command{
		Id: "schedule/" + rand.Text(), By: d.principal(ctx, req.GetWhy()),
		Kind: &pb.Command_PauseSchedule{PauseSchedule: &pb.PauseSchedule{Name: req.GetName(), Paused: req.GetPaused()}},
	})
	return &pb.PauseScheduleResponse{Index: outcome.GetIndex()}, err
}

// RemoveSchedule ends a schedule. Its runs stay.
func (d *controlDoor) RemoveSchedule(ctx context.Context, req *pb.RemoveScheduleRequest) (*pb.RemoveScheduleResponse, error) {
	outcome, err := d.propose(ctx, &pb.Command{
		Id: "schedule/" + rand.Text(), By: d.principal(ctx, req.GetWhy()),
		Kind: &pb.Command_RemoveSchedule{RemoveSchedule: &pb.RemoveSchedule{Name: req.GetName()}},
	})
	return &pb.RemoveScheduleResponse{Index: outcome.GetIndex()}, err
}
