package server

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc"

	"squall/experiments/plan"
	"squall/experiments/schedule"
	"squall/proto/parts"
	pb "squall/proto/squall/v1"
	"squall/server/report"
	"squall/server/state"
)

// PutSchedule keeps an experiment and begins its runs by the calendar. It is
// planned now, so that whoever brings it hears what would stop it, but for the
// runs that are under way today; a run is planned anew at its slot.
func (d *controlDoor) PutSchedule(ctx context.Context, req *pb.PutScheduleRequest) (*pb.PutScheduleResponse, error) {
	view, err := d.read(ctx)
	if err != nil {
		return nil, err
	}
	pin, source, err := fileOf(view, req)
	if err != nil {
		return nil, err
	}
	e, made, err := d.plan(view, draft{aim: req.GetAim(), file: cmp.Or(req.GetFile(), req.GetExperiment()), source: source, later: true})
	if err != nil {
		return nil, err
	}
	if len(made.GetProblems()) > 0 {
		return &pb.PutScheduleResponse{Refused: fewProblems(made.GetProblems())}, nil
	}
	if e.GetSchedule() == nil {
		return nil, refusef(pb.Refusal_REFUSAL_INVALID, "add `schedule: { every: first tuesday at 14:30, timezone: UTC }`", "%s does not say when it begins", cmp.Or(req.GetFile(), req.GetExperiment()))
	}
	calendars, missing := view.CalendarsOf(e.GetSchedule())
	if missing != nil {
		return nil, refusal(missing)
	}
	after, err := d.civilNow(e.GetSchedule())
	if err != nil {
		return nil, err
	}
	kept := &pb.Scheduled{Name: cmp.Or(req.GetName(), e.GetName()), Experiment: e, Watermark: after, Calendars: calendars, Pin: pin}
	outlook := d.outlook(view, kept, made, view.WorldFor(source))
	next, err := firstSlots(ctx, outlook)
	if err != nil {
		return nil, err
	}
	outcome, err := d.act(ctx, "put schedule", req, &pb.Command{
		By: d.principal(ctx, req.GetWhy()),
		Kind: &pb.Command_PutSchedule{PutSchedule: &pb.PutSchedule{
			Name: kept.GetName(), Experiment: e, Source: req.GetSource(), Pin: pin, Aim: req.GetAim(), After: after, Fresh: !req.GetReplace(),
			Undone: schedule.Undone(view.Schedule(kept.GetName()), d.now()),
		}},
	})
	if err != nil {
		return nil, err
	}
	if pin == nil {
		kept.Pin = &pb.Pin{Experiment: e.GetName(), Digest: state.Digest(source)}
	}
	warnings := made.GetWarnings()
	if p := outlook.Crowded(); p != nil {
		warnings = append(slices.Clip(warnings), p)
	}
	return &pb.PutScheduleResponse{
		Index: outcome.GetIndex(), Warnings: fewProblems(warnings), Schedule: kept, Next: next,
	}, nil
}

// fileOf is the file that a schedule is put with: one that the cluster keeps,
// which is pinned, or one that the request brings.
func fileOf(view *state.View, req *pb.PutScheduleRequest) (*pb.Pin, []byte, error) {
	switch {
	case (req.GetExperiment() == "") == (len(req.GetSource()) == 0):
		return nil, nil, refusef(pb.Refusal_REFUSAL_INVALID, "bring a file, or name one that is kept", "the request has no experiment, or two of them")
	case req.GetExperiment() != "":
		return referred(view, req.GetExperiment())
	}
	return nil, req.GetSource(), nil
}

// act proposes what a request asks for: once, however often one with an id comes.
func (d *controlDoor) act(ctx context.Context, what string, req interface{ GetId() string }, c *pb.Command) (*pb.Outcome, error) {
	id := cmp.Or(req.GetId(), rand.Text())
	if !state.GoodName(id) { // every server remembers it
		return nil, refusef(pb.Refusal_REFUSAL_INVALID, "choose a short one of plain letters", "the request's id %.40q can't be one", id)
	}
	c.Id = what + "/" + id
	return d.propose(ctx, c)
}

// outlook is what the next slots of a schedule are judged by: its plan, and the
// guards of a world.
func (d *controlDoor) outlook(v *state.View, s *pb.Scheduled, made *pb.Plan, w plan.World) report.Outlook {
	return report.Outlook{
		View: v, Schedule: s, Forecast: plan.NewForecast(made, w), Length: time.Duration(made.GetLengthNanos()), Now: d.now(), Doubt: d.timeDoubt(),
	}
}

// firstSlots are the first slots of a schedule that is about to be kept, which
// must have some.
func firstSlots(ctx context.Context, o report.Outlook) ([]*pb.NextSlot, error) {
	next, err := o.Next(ctx, 3)
	if wrong, ok := errors.AsType[*schedule.Error](err); ok {
		return nil, refusef(pb.Refusal_REFUSAL_INVALID, wrong.Fix, "%v", wrong)
	}
	if err != nil {
		return nil, err
	}
	if len(next) == 0 {
		return nil, refusef(pb.Refusal_REFUSAL_INVALID, "choose a later day for `until`", "no slot is to come: the schedule's last day is %s", o.Schedule.GetExperiment().GetSchedule().GetUntil())
	}
	why, err := o.Idle(ctx)
	if why != "" {
		return nil, refusef(pb.Refusal_REFUSAL_INVALID, "choose another time, other days for `except`, or a later day for `until`", "none of its slots begins a run: %s", why)
	}
	return next, err
}

// NextSlots tells when a schedule's next runs begin, and what hinders each.
func (d *controlDoor) NextSlots(ctx context.Context, req *pb.NextSlotsRequest) (*pb.NextSlotsResponse, error) {
	if n := req.GetCount(); n < 0 || n > maxNext {
		return nil, refusef(pb.Refusal_REFUSAL_INVALID, fmt.Sprintf("write 1 to %d", maxNext), "%d slots can't be told", n)
	}
	view, err := d.read(ctx)
	if err != nil {
		return nil, err
	}
	s := view.Schedule(req.GetName())
	if s == nil {
		return nil, noSchedule(req.GetName())
	}
	_, made, err := d.plan(view, draft{aim: s.GetAim(), experiment: s.GetExperiment(), file: s.GetName() + ".yaml", source: s.GetSource()})
	if err != nil {
		return nil, err
	}
	outlook := d.outlook(view, s, made, view.WorldFor(s.GetSource()))
	next, err := outlook.Next(ctx, int(cmp.Or(req.GetCount(), 10)))
	if wrong, ok := errors.AsType[*schedule.Error](err); ok {
		return nil, refusef(pb.Refusal_REFUSAL_UNSUPPORTED, "upgrade this server", "this build can't tell its slots: %v", wrong)
	}
	if err != nil {
		return nil, err
	}
	return &pb.NextSlotsResponse{
		Timezone: s.GetExperiment().GetSchedule().GetTimezone(), Slots: report.Fit(next, mostNext), Refused: fewProblems(made.GetProblems()),
	}, nil
}

const (
	// maxNext is how many slots are told at the most.
	maxNext = 1000
	// mostNext is how many bytes they have at the most.
	mostNext = 512 << 10
)

func noSchedule(name string) error {
	return refusef(pb.Refusal_REFUSAL_UNKNOWN, "see them with: squall schedule list", "there is no schedule %q", name)
}

// civilNow is the time on the wall in a schedule's zone.
func (d *controlDoor) civilNow(s *pb.Schedule) (string, error) {
	zone, err := schedule.Zone(s.GetTimezone())
	if err != nil {
		return "", refusef(pb.Refusal_REFUSAL_INVALID, "write a name of the tz database", "%v", err)
	}
	return d.now().In(zone).Format(schedule.CivilLayout), nil
}

// ListSchedules tells the schedules, by name, in pages.
func (d *controlDoor) ListSchedules(ctx context.Context, req *pb.ListSchedulesRequest) (*pb.ListSchedulesResponse, error) {
	return listed(ctx, d, req, func(v *state.View, req *pb.ListSchedulesRequest) (*pb.ListSchedulesResponse, error) {
		return report.ListSchedules(v, d.now(), req)
	})
}

// GetSchedule tells one schedule whole.
func (d *controlDoor) GetSchedule(req *pb.GetScheduleRequest, stream grpc.ServerStreamingServer[pb.GetScheduleResponse]) error {
	view, err := d.read(stream.Context())
	if err != nil {
		return err
	}
	s := view.Schedule(req.GetName())
	if s == nil {
		return noSchedule(req.GetName())
	}
	return parts.Send(stream, s, func(part []byte) *pb.GetScheduleResponse { return &pb.GetScheduleResponse{Part: part} })
}

// PauseSchedule holds the slots of a schedule back, or lets them go on. One that
// is paused stays so by whom it was.
func (d *controlDoor) PauseSchedule(ctx context.Context, req *pb.PauseScheduleRequest) (*pb.PauseScheduleResponse, error) {
	view, err := d.read(ctx)
	if err != nil {
		return nil, err
	}
	if s := view.Schedule(req.GetName()); s != nil && req.GetPaused() == (s.GetPausedBy() != nil) {
		return &pb.PauseScheduleResponse{Index: view.Index(), Unchanged: true, PausedBy: s.GetPausedBy()}, nil
	}
	by := d.principal(ctx, req.GetWhy())
	outcome, err := d.propose(ctx, &pb.Command{
		Id: "schedule/" + rand.Text(), By: by,
		Kind: &pb.Command_PauseSchedule{PauseSchedule: &pb.PauseSchedule{Name: req.GetName(), Paused: req.GetPaused()}},
	})
	if !req.GetPaused() {
		by = nil
	}
	return &pb.PauseScheduleResponse{Index: outcome.GetIndex(), PausedBy: by}, err
}

// RemoveSchedule ends a schedule. Its runs stay, and one that is under way goes on.
func (d *controlDoor) RemoveSchedule(ctx context.Context, req *pb.RemoveScheduleRequest) (*pb.RemoveScheduleResponse, error) {
	outcome, err := d.act(ctx, "remove schedule", req, &pb.Command{
		By:   d.principal(ctx, req.GetWhy()),
		Kind: &pb.Command_RemoveSchedule{RemoveSchedule: &pb.RemoveSchedule{Name: req.GetName()}},
	})
	if err != nil {
		return nil, err
	}
	view, err := d.read(ctx)
	if err != nil {
		return nil, err
	}
	return &pb.RemoveScheduleResponse{Index: outcome.GetIndex(), UnderWay: report.UnderWay(view, req.GetName())}, nil
}
