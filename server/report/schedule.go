package report

import (
	pb "squall/proto/squall/v1"
	"squall/server/page"
	"squall/server/state"
)

// ListSchedules is a page of the schedules, by name: without files, and with no
// more of each experiment than its name and when it begins, so that an entry is
// far smaller than a page.
func ListSchedules(v *state.View, req *pb.ListSchedulesRequest) (*pb.ListSchedulesResponse, error) {
	list := page.List[*pb.Scheduled]{Name: "schedules", Key: (*pb.Scheduled).GetName}
	for _, s := range v.Schedules() {
		list.Entries = append(list.Entries, brief(s))
	}
	schedules, next, err := list.Cut(req)
	return &pb.ListSchedulesResponse{Schedules: schedules, NextPageToken: next}, err
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
