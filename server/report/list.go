package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
	"squall/server/page"
	"squall/server/state"
)

// ListHosts is a page of the registry, by name. Errors are about the request.
func ListHosts(v *state.View, req *pb.ListHostsRequest) (*pb.ListHostsResponse, error) {
	hosts, next, err := page.List[*pb.Registered]{
		Name: "hosts", Entries: v.Hosts(), Key: func(h *pb.Registered) string { return h.GetHost().GetName() },
	}.Cut(req)
	res := &pb.ListHostsResponse{NextPageToken: next}
	for _, h := range hosts {
		res.Hosts = append(res.Hosts, Host(h))
	}
	return res, err
}

// ListZones is a page of the zones that hosts are in, by name.
func ListZones(v *state.View, req *pb.ListZonesRequest) (*pb.ListZonesResponse, error) {
	byName := make(map[string]*pb.Zone)
	for _, h := range v.Hosts() {
		z := byName[h.GetHost().GetZone()]
		if z == nil {
			z = &pb.Zone{Name: h.GetHost().GetZone()}
			byName[z.GetName()] = z
		}
		z.Hosts++
		if h.GetHost().GetPresence() == pb.Presence_PRESENCE_CONNECTED {
			z.Connected++
		}
	}
	list := page.List[*pb.Zone]{Name: "zones", Key: (*pb.Zone).GetName}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		list.Entries = append(list.Entries, byName[name])
	}
	zones, next, err := list.Cut(req)
	return &pb.ListZonesResponse{Zones: zones, NextPageToken: next}, err
}

// ListRuns is a page of the runs that the state knows, oldest first, those that
// only archives have among them.
func ListRuns(v *state.View, req *pb.ListRunsRequest) (*pb.ListRunsResponse, error) {
	list := page.List[*pb.RunSummary]{Name: "runs", Key: func(r *pb.RunSummary) string {
		return fmt.Sprintf("%020d/%s", r.GetAdmittedIndex(), r.GetId())
	}}
	list.Entries = Runs(v)
	runs, next, err := list.Cut(req)
	return &pb.ListRunsResponse{Runs: runs, NextPageToken: next}, err
}

// Runs are the lines of all runs that the state knows, oldest first.
func Runs(v *state.View) []*pb.RunSummary {
	var all []*pb.RunSummary
	for _, r := range v.Runs() {
		s := Summary(v, r)
		s.Place = place(v.Archived(r.GetId()), true)
		all = append(all, s)
	}
	open := openRuns(v)
	for _, a := range v.AllArchived() {
		if v.Run(a.GetSummary().GetId()) == nil {
			all = append(all, archivedSummary(a, open))
		}
	}
	slices.SortFunc(all, func(a, b *pb.RunSummary) int {
		return cmp.Or(cmp.Compare(a.GetAdmittedIndex(), b.GetAdmittedIndex()), cmp.Compare(a.GetId(), b.GetId()))
	})
	return all
}

// archivedSummary is the line of a run that the state has let go of, with what
// its hosts have left to this day.
func archivedSummary(a *pb.Archived, open map[string]uint32) *pb.RunSummary {
	s := proto.CloneOf(a.GetSummary())
	s.Residue = open[s.GetId()]
	s.Place = place(a, false)
	return s
}

// place is where the whole of a run is; inState says that the state has it.
func place(a *pb.Archived, inState bool) pb.RunPlace {
	switch {
	case len(a.GetServers()) > 0:
		return pb.RunPlace_RUN_PLACE_ARCHIVE
	case inState:
		return pb.RunPlace_RUN_PLACE_UNSPECIFIED
	}
	return pb.RunPlace_RUN_PLACE_GONE
}

// openRuns counts the hosts that are not clean, by run.
func openRuns(v *state.View) map[string]uint32 {
	hosts := make(map[string]uint32)
	for _, h := range v.Hosts() {
		seen := make(map[string]bool)
		for _, o := range h.GetOpen() {
			if !seen[o.GetRun()] {
				seen[o.GetRun()] = true
				hosts[o.GetRun()]++
			}
		}
	}
	return hosts
}

// ListArchived is a page of the runs that are sealed, oldest first.
func ListArchived(v *state.View, req *pb.ListArchivedRequest) (*pb.ListArchivedResponse, error) {
	runs, next, err := page.List[*pb.Archived]{Name: "archive", Entries: v.AllArchived(), Key: func(a *pb.Archived) string {
		return fmt.Sprintf("%020d/%s", a.GetSummary().GetAdmittedIndex(), a.GetSummary().GetId())
	}}.Cut(req)
	return &pb.ListArchivedResponse{Runs: runs, NextPageToken: next}, err
}

// ListAuditRecords is a page of the record of acts, oldest first.
func ListAuditRecords(v *state.View, req *pb.ListAuditRecordsRequest) (*pb.ListAuditRecordsResponse, error) {
	records, next, err := page.List[*pb.AuditRecord]{
		Name: "audit", Entries: v.Audit(), Key: func(r *pb.AuditRecord) string { return fmt.Sprintf("%020d", r.GetIndex()) },
	}.Cut(req)
	return &pb.ListAuditRecordsResponse{Audit: records, NextPageToken: next}, err
}
