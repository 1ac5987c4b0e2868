package main

import (
	"context"

	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
)

// pageSize is how many entries a page is asked to hold: the most that it may.
const pageSize = 1000

// pageOf is a page of a list.
type pageOf interface {
	proto.Message
	GetNextPageToken() string
}

// collect asks for a list page by page, and joins the pages into the first. ask
// gives the page of a token.
func collect[P pageOf](ask func(token string) (P, error)) (P, error) {
	whole, err := ask("")
	for token := whole.GetNextPageToken(); err == nil && token != ""; {
		var next P
		if next, err = ask(token); err == nil {
			token = next.GetNextPageToken()
			proto.Merge(whole, next)
		}
	}
	return whole, err
}

// hosts are all hosts of the registry, by name.
func (c *client) hosts(ctx context.Context) ([]*pb.Registered, error) {
	resp, err := listHosts(ctx, c)
	return resp.GetHosts(), err
}

func listHosts(ctx context.Context, c *client) (*pb.ListHostsResponse, error) {
	return collect(func(token string) (*pb.ListHostsResponse, error) {
		return ask(ctx, c, pb.ControlServiceClient.ListHosts, &pb.ListHostsRequest{PageSize: pageSize, PageToken: token})
	})
}

func listZones(ctx context.Context, c *client) (*pb.ListZonesResponse, error) {
	return collect(func(token string) (*pb.ListZonesResponse, error) {
		return ask(ctx, c, pb.ControlServiceClient.ListZones, &pb.ListZonesRequest{PageSize: pageSize, PageToken: token})
	})
}

func listArchived(ctx context.Context, c *client) (*pb.ListArchivedResponse, error) {
	return collect(func(token string) (*pb.ListArchivedResponse, error) {
		return ask(ctx, c, pb.ControlServiceClient.ListArchived, &pb.ListArchivedRequest{PageSize: pageSize, PageToken: token})
	})
}

func listAuditRecords(ctx context.Context, c *client) (*pb.ListAuditRecordsResponse, error) {
	return collect(func(token string) (*pb.ListAuditRecordsResponse, error) {
		return ask(ctx, c, pb.ControlServiceClient.ListAuditRecords, &pb.ListAuditRecordsRequest{PageSize: pageSize, PageToken: token})
	})
}

// listSchedules are all schedules, by name.
func listSchedules(ctx context.Context, c *client) (*pb.ListSchedulesResponse, error) {
	return collect(func(token string) (*pb.ListSchedulesResponse, error) {
		return ask(ctx, c, pb.ControlServiceClient.ListSchedules, &pb.ListSchedulesRequest{PageSize: pageSize, PageToken: token})
	})
}
