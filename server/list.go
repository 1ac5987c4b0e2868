package server

import (
	"context"
	"errors"

	"google.golang.org/grpc"

	"squall/proto/parts"
	pb "squall/proto/squall/v1"
	"squall/server/report"
	"squall/server/state"
)

// ListHosts tells the hosts of the registry, by name, in pages.
func (d *controlDoor) ListHosts(ctx context.Context, req *pb.ListHostsRequest) (*pb.ListHostsResponse, error) {
	return listed(ctx, d, req, report.ListHosts)
}

// ListZones tells the zones that hosts are in, by name, in pages.
func (d *controlDoor) ListZones(ctx context.Context, req *pb.ListZonesRequest) (*pb.ListZonesResponse, error) {
	return listed(ctx, d, req, report.ListZones)
}

// ListRuns tells the runs that are known, in pages.
func (d *controlDoor) ListRuns(ctx context.Context, req *pb.ListRunsRequest) (*pb.ListRunsResponse, error) {
	return listed(ctx, d, req, report.ListRuns)
}

// ListArchived tells the runs that are sealed, oldest first, in pages.
func (d *controlDoor) ListArchived(ctx context.Context, req *pb.ListArchivedRequest) (*pb.ListArchivedResponse, error) {
	return listed(ctx, d, req, report.ListArchived)
}

// History tells how the runs of an experiment went, the newest first, in pages.
func (d *controlDoor) History(ctx context.Context, req *pb.HistoryRequest) (*pb.HistoryResponse, error) {
	return listed(ctx, d, req, report.History)
}

// ListDue tells when each experiment last passed, by name, in pages.
func (d *controlDoor) ListDue(ctx context.Context, req *pb.ListDueRequest) (*pb.ListDueResponse, error) {
	return listed(ctx, d, req, func(v *state.View, req *pb.ListDueRequest) (*pb.ListDueResponse, error) {
		return report.ListDue(v, d.now(), req)
	})
}

// ListAuditRecords tells who did what, oldest first, in pages.
func (d *controlDoor) ListAuditRecords(ctx context.Context, req *pb.ListAuditRecordsRequest) (*pb.ListAuditRecordsResponse, error) {
	return listed(ctx, d, req, report.ListAuditRecords)
}

// listed is a page of the newest state. A page can't be cut only for what is
// wrong with the request.
func listed[Q, R any](ctx context.Context, d *controlDoor, req Q, list func(*state.View, Q) (*R, error)) (*R, error) {
	view, err := d.read(ctx)
	if err != nil {
		return nil, err
	}
	res, err := list(view, req)
	if unknown, ok := errors.AsType[*report.Unknown](err); ok {
		return nil, refusef(pb.Refusal_REFUSAL_UNKNOWN, unknown.Fix, "%v", unknown)
	}
	if err != nil {
		return nil, refusef(pb.Refusal_REFUSAL_INVALID, "leave it out to begin with the first page", "%v", err)
	}
	return res, nil
}

// GetHost tells one host of the registry.
func (d *controlDoor) GetHost(ctx context.Context, req *pb.GetHostRequest) (*pb.GetHostResponse, error) {
	view, err := d.read(ctx)
	if err != nil {
		return nil, err
	}
	h := view.Host(req.GetHost())
	if h == nil {
		return nil, refusef(pb.Refusal_REFUSAL_UNKNOWN, "list them with: squall get hosts", "there is no host %q", req.GetHost())
	}
	return &pb.GetHostResponse{Host: report.Host(h)}, nil
}

// GetRun tells one run whole.
func (d *controlDoor) GetRun(req *pb.GetRunRequest, stream grpc.ServerStreamingServer[pb.GetRunResponse]) error {
	view, err := d.read(stream.Context())
	if err != nil {
		return err
	}
	run, err := d.keeper.find(stream.Context(), view, req.GetRun())
	if err != nil {
		return err
	}
	return parts.Send(stream, run, func(part []byte) *pb.GetRunResponse { return &pb.GetRunResponse{Part: part} })
}
