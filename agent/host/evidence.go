package host

import (
	"context"
	"errors"
	"fmt"
	"time"

	"squall/agent/host/bpf"
	pb "squall/proto/squall/v1"
)

// probeLimit bounds each active probe of a fault's effect.
const probeLimit = 300 * time.Millisecond

// Evidence implements Host. What can't be read any more is shown as not held:
// the last good reading says nothing of now.
func (r *Real) Evidence(ctx context.Context, tag string) ([]*pb.Evidence, error) {
	var found []*pb.Evidence
	for _, h := range r.under(tag) {
		seen, err := h.mechanism.evidence(ctx, h.open())
		switch {
		case ctx.Err() != nil:
			return nil, fmt.Errorf("read evidence of %s: %w", tag, ctx.Err())
		case errors.Is(err, bpf.ErrDetached):
			seen = []*pb.Evidence{{Name: "ended", Text: fmt.Sprintf("%s has ended: %v", Kind(h.op), err)}}
		case err != nil:
			seen = []*pb.Evidence{{Name: "readable", Text: fmt.Sprintf("%s can't be read: %v", Kind(h.op), err)}}
		}
		found = append(found, seen...)
	}
	return found, nil
}
