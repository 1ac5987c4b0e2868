package server

import (
	"context"
	"errors"

	"squall/experiments/schedule"
	pb "squall/proto/squall/v1"
	"squall/server/report"
	"squall/server/state"
)

// PutCalendar keeps days on which the schedules that name them begin nothing, in
// the place of those of its name.
func (d *controlDoor) PutCalendar(ctx context.Context, req *pb.PutCalendarRequest) (*pb.PutCalendarResponse, error) {
	c := &pb.Calendar{Name: req.GetName(), Timezone: req.GetTimezone(), Days: req.GetDays()}
	if wrong, ok := errors.AsType[*schedule.Error](schedule.CheckCalendar(c)); ok {
		return nil, refusef(pb.Refusal_REFUSAL_INVALID, wrong.Fix, "%v", wrong)
	}
	outcome, err := d.act(ctx, "put calendar", req, &pb.Command{
		By: d.principal(ctx, req.GetReason()), Kind: &pb.Command_PutCalendar{PutCalendar: &pb.PutCalendar{Calendar: c}},
	})
	return &pb.PutCalendarResponse{Index: outcome.GetIndex()}, err
}

// ListCalendars tells the calendars, by name, in pages.
func (d *controlDoor) ListCalendars(ctx context.Context, req *pb.ListCalendarsRequest) (*pb.ListCalendarsResponse, error) {
	return listed(ctx, d, req, report.ListCalendars)
}

// GetCalendar tells one calendar, and which schedules name it.
func (d *controlDoor) GetCalendar(ctx context.Context, req *pb.GetCalendarRequest) (*pb.GetCalendarResponse, error) {
	view, err := d.read(ctx)
	if err != nil {
		return nil, err
	}
	c := view.Calendar(req.GetName())
	if c == nil {
		return nil, refusal(state.NoCalendar(req.GetName()))
	}
	return &pb.GetCalendarResponse{Calendar: c, NamedBy: view.NamedBy(req.GetName())}, nil
}

// RemoveCalendar drops a calendar that no schedule names.
func (d *controlDoor) RemoveCalendar(ctx context.Context, req *pb.RemoveCalendarRequest) (*pb.RemoveCalendarResponse, error) {
	outcome, err := d.act(ctx, "remove calendar", req, &pb.Command{
		By: d.principal(ctx, req.GetReason()), Kind: &pb.Command_RemoveCalendar{RemoveCalendar: &pb.RemoveCalendar{Name: req.GetName()}},
	})
	return &pb.RemoveCalendarResponse{Index: outcome.GetIndex()}, err
}
