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

// effect is the one counter that shows that programs did what they are for. What
// else they count tells what happened besides.
type effect struct {
	name string
	of   []string // counters, of which it is the sum
	// shared says that other operations show the fault too, so that nothing
	// counted here is no lack of proof.
	shared bool
}

// program is a mechanism made of BPF programs.
type program struct {
	attachment bpf.Attachment
	effect     effect
	try        activeProbe // nil without one
}

// program attaches programs as what the operation holds.
func (h *held) program(e effect, attach func(*bpf.Loader) (bpf.Attachment, error), try activeProbe) (mechanism, func(context.Context) error, error) {
	if h.host.loader == nil {
		return nil, nil, fmt.Errorf("%w: %w", h.host.why, ErrUnsupported)
	}
	if err := h.host.holdNetwork(); err != nil {
		return nil, nil, err
	}
	a, err := attach(h.host.loader)
	if err != nil {
		return nil, nil, err
	}
	return &program{a, e, try}, nil, nil
}

// evidence shows counters, and what an active probe sees.
func (p *program) evidence(ctx context.Context, open bool) ([]*pb.Evidence, error) {
	before, err := p.attachment.Counters()
	if err != nil || !open || p.try == nil {
		return p.effect.evidence(before, open), err
	}
	seen, err := p.try(ctx, p.attachment, before)
	if err != nil || seen == nil {
		return p.effect.evidence(before, open), err
	}
	now, err := p.attachment.Counters()
	return append(p.effect.evidence(now, open), seen), err
}

func (p *program) renew(until time.Duration) { p.attachment.Renew(until) }

func (p *program) died() <-chan struct{} { return p.attachment.Done() }

// cause is why the programs have ended by themselves.
func (p *program) cause() string {
	if err := p.attachment.Cause(); err != nil {
		return err.Error()
	}
	return ""
}

// Close implements mechanism.
func (p *program) Close() error { return p.attachment.Close() }

// evidence shows the effect, which holds once there was any, and then all counters
// by name, which are facts.
func (e effect) evidence(counters map[string]uint64, acts bool) []*pb.Evidence {
	total := uint64(0)
	for _, name := range e.of {
		total += counters[name]
	}
	found := []*pb.Evidence{counted(e.name, total, acts)}
	found[0].Holds = total > 0
	found[0].Fact = total == 0 && e.shared
	for _, name := range slices.Sorted(maps.Keys(counters)) {
		fact := counted(name, counters[name], acts)
		fact.Fact = true
		found = append(found, fact)
	}
	return found
}

func counted(name string, n uint64, acts bool) *pb.Evidence {
	text := fmt.Sprintf("%s: %d", name, n)
	if !acts {
		text += " (does not act now)"
	}
	return &pb.Evidence{Name: name, Value: float64(n), Text: text}
}
