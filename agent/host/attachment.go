package host

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"squall/agent/host/bpf"
	pb "squall/proto/squall/v1"
)

// activeProbe tries what programs do, by the path that they are on; nil where
// it can't be tried here. before are their counters from just before.
type activeProbe func(ctx context.Context, a bpf.Attachment, before map[string]uint64) (*pb.Evidence, error)

// program is a thing made of BPF programs.
type program struct {
	attachment bpf.Attachment
	try        activeProbe // nil without one
}

// program attaches programs as what the operation holds.
func (h *held) program(attach func(*bpf.Kit) (bpf.Attachment, error), try activeProbe) (thing, func(context.Context) error, error) {
	if h.host.kit == nil {
		return nil, nil, fmt.Errorf("%w: %w", h.host.why, ErrUnsupported)
	}
	a, err := attach(h.host.kit)
	if err != nil {
		return nil, nil, err
	}
	return &program{a, try}, nil, nil
}

// evidence shows counters, and what an active probe sees.
func (p *program) evidence(ctx context.Context, open bool) ([]*pb.Evidence, error) {
	before, err := p.attachment.Counters()
	if err != nil || !open || p.try == nil {
		return counterEvidence(before, open), err
	}
	seen, err := p.try(ctx, p.attachment, before)
	if err != nil || seen == nil {
		return counterEvidence(before, open), err
	}
	now, err := p.attachment.Counters()
	return append(counterEvidence(now, open), seen), err
}

func (p *program) renew(until time.Duration) { p.attachment.Renew(until) }

func (p *program) died() <-chan struct{} {
	if d, ok := p.attachment.(interface{ Done() <-chan struct{} }); ok {
		return d.Done()
	}
	return nil // held by this process, and gone with it
}

// Close implements thing.
func (p *program) Close() error { return p.attachment.Close() }

// counterEvidence shows counters by name. They are facts of the mechanism: they
// hold for as long as it acts, whether or not anyone has called.
func counterEvidence(counters map[string]uint64, acts bool) []*pb.Evidence {
	var found []*pb.Evidence
	for _, name := range slices.Sorted(maps.Keys(counters)) {
		text := fmt.Sprintf("%s: %d", name, counters[name])
		if !acts {
			text += " (does not act now)"
		}
		found = append(found, &pb.Evidence{Name: name, Value: float64(counters[name]), Holds: acts, Text: text})
	}
	return found
}
