package report

import (
	"fmt"

	pb "squall/proto/squall/v1"
	"squall/server/page"
	"squall/server/state"
)

// ListSinks is a page of the sinks, by name, without what was given up.
func ListSinks(v *state.View, req *pb.ListSinksRequest) (*pb.ListSinksResponse, error) {
	list := page.List[*pb.KeptSink]{Name: "sinks", Key: func(s *pb.KeptSink) string { return s.GetSink().GetName() }}
	for _, s := range v.Sinks() {
		list.Entries = append(list.Entries, &pb.KeptSink{
			Sink: s.GetSink(), By: s.GetBy(), PutUnixNanos: s.GetPutUnixNanos(), PutIndex: s.GetPutIndex(), Watermark: s.GetWatermark(),
			Delivered: s.GetDelivered(), Failed: s.GetFailed(), DeadEver: s.GetDeadEver(), Lost: s.GetLost(), Gone: s.GetGone(),
			LastDeliveredUnixNanos: s.GetLastDeliveredUnixNanos(), Waiting: uint32(len(v.Notices(s.GetSink().GetName(), 0))), DeadLetters: uint32(len(s.GetDead())),
		})
	}
	sinks, next, err := list.Cut(req)
	return &pb.ListSinksResponse{Sinks: sinks, NextPageToken: next}, err
}

// ListDeadNotices is a page of what was given up, by sink and in the order in
// which it came up.
func ListDeadNotices(v *state.View, req *pb.ListDeadNoticesRequest) (*pb.ListDeadNoticesResponse, error) {
	list := page.List[*pb.SinkDead]{Name: "dead", Key: func(d *pb.SinkDead) string {
		return fmt.Sprintf("%s/%020d", d.GetSink(), d.GetDead().GetNotice().GetSeq())
	}}
	for _, s := range v.Sinks() {
		if req.GetSink() != "" && req.GetSink() != s.GetSink().GetName() {
			continue
		}
		for _, d := range s.GetDead() {
			list.Entries = append(list.Entries, &pb.SinkDead{Sink: s.GetSink().GetName(), Dead: d})
		}
	}
	dead, next, err := list.Cut(req)
	return &pb.ListDeadNoticesResponse{Dead: dead, NextPageToken: next}, err
}
