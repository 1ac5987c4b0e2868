package server

import (
	"context"
	"crypto/rand"
	"time"

	pb "squall/proto/squall/v1"
)

// takenWithin is how long a confirmation waits for the host to say that it has
// taken it up.
const takenWithin = 2 * time.Second

// ConfirmDamage lets a host whose journal was damaged take faults again.
func (d *controlDoor) ConfirmDamage(ctx context.Context, req *pb.ConfirmDamageRequest) (*pb.ConfirmDamageResponse, error) {
	view, err := d.read(ctx)
	if err != nil {
		return nil, err
	}
	damage, id := view.Host(req.GetHost()).GetDamage(), req.GetId()
	if id == "" {
		id = damage.GetId()
	}
	outcome, err := d.propose(ctx, &pb.Command{
		Id: rand.Text(), By: d.principal(ctx, req.GetReason()),
		Kind: &pb.Command_ConfirmDamage{ConfirmDamage: &pb.ConfirmDamage{Host: req.GetHost(), Id: id}},
	})
	if err != nil {
		return nil, err
	}
	return &pb.ConfirmDamageResponse{
		Index: outcome.GetIndex(), Damage: damage, Taken: d.taken(ctx, req.GetHost(), id),
	}, nil
}

// taken waits until a connected host has said that its damage is confirmed, but
// not long, and tells whether it has.
func (s *Server) taken(ctx context.Context, host, id string) bool {
	ctx, cancel := context.WithTimeout(ctx, takenWithin)
	defer cancel()
	for {
		view := s.machine.View()
		switch h := view.Host(host); {
		case h.GetDamage().GetId() != id:
			return true
		case h.GetServer() == "":
			return false
		}
		select {
		case <-view.Stale():
		case <-ctx.Done():
			return false
		}
	}
}
