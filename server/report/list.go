package report

import (
	"fmt"
	"maps"
	"slices"

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
