package report

import (
	pb "squall/proto/squall/v1"
	"squall/server/page"
	"squall/server/state"
)

// ListExperiments is a page of the files that are kept, by name, without what
// stands in them.
func ListExperiments(v *state.View, req *pb.ListExperimentsRequest) (*pb.ListExperimentsResponse, error) {
	list := page.List[*pb.KeptExperiment]{Name: "experiments", Key: (*pb.KeptExperiment).GetName}
	for _, k := range v.Experiments() {
		told := &pb.KeptExperiment{Name: k.GetName()}
		for _, version := range k.GetVersions() {
			told.Versions = append(told.Versions, Version(v, k.GetName(), version))
		}
		list.Entries = append(list.Entries, told)
	}
	experiments, next, err := list.Cut(req)
	return &pb.ListExperimentsResponse{Experiments: experiments, NextPageToken: next}, err
}

// maxPinned is how many of the schedules that pin a version are told.
const maxPinned = 20

// Version is a version of a file without what stands in it, with the first of
// the schedules that pin it.
func Version(v *state.View, name string, version *pb.ExperimentVersion) *pb.ExperimentVersion {
	pinned := v.PinnedBy(name, version.GetDigest())
	return &pb.ExperimentVersion{
		Digest: version.GetDigest(), By: version.GetBy(), PutUnixNanos: version.GetPutUnixNanos(),
		Size: uint32(len(version.GetSource())), PinnedBy: pinned[:min(maxPinned, len(pinned))],
	}
}

// ListCalendars is a page of the calendars, by name.
func ListCalendars(v *state.View, req *pb.ListCalendarsRequest) (*pb.ListCalendarsResponse, error) {
	list := page.List[*pb.Calendar]{Name: "calendars", Key: (*pb.Calendar).GetName, Entries: v.Calendars()}
	calendars, next, err := list.Cut(req)
	return &pb.ListCalendarsResponse{Calendars: calendars, NextPageToken: next}, err
}
