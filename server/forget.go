package server

import (
	"context"
	"crypto/rand"

	pb "squall/proto/squall/v1"
	"squall/server/report"
)

// ForgetHost takes a lost host out of the registry, and says what was never
// shown clean there.
func (d *controlDoor) ForgetHost(ctx context.Context, req *pb.ForgetHostRequest) (*pb.ForgetHostResponse, error) {
	view, err := d.read(ctx)
	if err != nil {
		return nil, err
	}
	open := report.Host(view.Host(req.GetHost())).GetOpen()
	outcome, err := d.propose(ctx, &pb.Command{
		Id: rand.Text(), By: d.principal(ctx, req.GetReason()),
		Kind: &pb.Command_ForgetHost{ForgetHost: &pb.ForgetHost{Host: req.GetHost()}},
	})
	if err != nil {
		return nil, err
	}
	return &pb.ForgetHostResponse{Index: outcome.GetIndex(), Open: open}, nil
}
