package report

import (
	"fmt"
	"time"

	"squall/experiments/schedule"
	pb "squall/proto/squall/v1"
	"squall/server/page"
	"squall/server/state"
)

// ListSchedules is a page of the schedules, by name, each with its next slot after
// an instant of cluster time: without files and calendars, and with no more of each
// experiment than its name and when it begins, so that an entry is far smaller than
// a page.
func ListSchedules(v *state.View, now time.Time, req *pb.ListSchedulesRequest) (*pb.ListSchedulesResponse, error) {
	list := page.List[*pb.Scheduled]{Name: "schedules", Key: (*pb.Scheduled).GetName}
	for _, s := range v.Schedules() {
		list.Entries = append(list.Entries, brief(s))
	}
	schedules, next, err := list.Cut(req)
	for _, s := range schedules {
		setNext(s, v.Schedule(s.GetName()), now)
	}
	return &pb.ListSchedulesResponse{Schedules: schedules, NextPageToken: next}, err
}

// setNext says in an entry when the schedule is next.
func setNext(entry, s *pb.Scheduled, now time.Time) {
	c, err := schedule.Of(s)
	if err != nil { // another build keeps it
		entry.NextUnknown = cut(err.Error(), 200)
		return
	}
	if schedule.Left(s) == 0 {
		return
	}
	n := 0
	for slot := range c.Since(now) {
		if slot.Skip == "" {
			entry.Next = slot.Civil
			return
		}
		if n++; n == mostIdle {
			entry.NextUnknown = fmt.Sprintf("its rules skip the next %d slots", n)
			return
		}
	}
}

// brief is a schedule with the last of its history alone.
func brief(s *pb.Scheduled) *pb.Scheduled {
	e := s.GetExperiment()
	out := &pb.Scheduled{
		Name: s.GetName(), By: s.GetBy(), PutUnixNanos: s.GetPutUnixNanos(), Watermark: s.GetWatermark(), Begun: s.GetBegun(),
		PausedBy: s.GetPausedBy(), PausedUnixNanos: s.GetPausedUnixNanos(),
		Experiment: &pb.Experiment{Name: e.GetName(), Schedule: e.GetSchedule()},
	}
	if n := len(s.GetHistory()); n > 0 {
		out.History = s.GetHistory()[n-1:]
	}
	return out
}
