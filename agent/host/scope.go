package host

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"squall/agent/host/bpf"
	"squall/agent/target"
	pb "squall/proto/squall/v1"
)

// scope is the cgroups that an operation is aimed at.
type scope struct {
	cgroups []string
	now     map[string]uint64
}

// scope finds cgroups. One that is not there now, as between two restarts of its
// unit, is aimed at when it comes.
func (h *held) scope(cgroups []string) (scope, error) {
	now, err := target.IDs(machine{h.host.workloads.cgroups}, cgroups)
	return scope{cgroups, now}, err
}

// ids are the kernel's numbers of all, bpf.Nobody of what is not there.
func (s scope) ids() []uint64 {
	var ids []uint64
	for _, cgroup := range s.cgroups {
		id := s.now[cgroup]
		if id == 0 {
			id = bpf.Nobody
		}
		ids = append(ids, id)
	}
	return ids
}

// aimed attaches programs that follow the cgroups of a scope when they are made
// anew. Their undo is the detach of their tag, whatever they have come to.
func (h *held) aimed(s scope, e effect, attach func(*bpf.Loader) (bpf.Attachment, error), try activeProbe) (mechanism, func(context.Context) error, error) {
	t, act, err := h.program(e, attach, try)
	p, ok := t.(*program)
	if err != nil || !ok || len(s.cgroups) == 0 {
		return t, act, err
	}
	set, ok := p.attachment.(interface{ Follow(old, anew uint64) error })
	if !ok {
		return t, act, errors.New("follow cgroups: its programs take no more of them")
	}
	move := func(_ string, old, anew uint64) error { return set.Follow(old, anew) }
	return &following{p, target.Follow(machine{h.host.workloads.cgroups}, s.now, move)}, act, nil
}

// following is programs that are kept aimed at their cgroups.
type following struct {
	*program
	follower *target.Follower
}

// Close implements mechanism.
func (f *following) Close() error {
	f.follower.Close()
	return f.program.Close()
}

func (f *following) evidence(ctx context.Context, open bool) ([]*pb.Evidence, error) {
	found, err := f.program.evidence(ctx, open)
	return append(found, followed(f.follower.Told())...), err
}

// followed tells of cgroups that were made anew. One that could not be followed
// is without the fault, and one that is gone is nobody's.
func followed(told target.Followed) []*pb.Evidence {
	var found []*pb.Evidence
	if told.Anew > 0 {
		found = append(found, &pb.Evidence{Name: "followed", Value: float64(told.Anew), Fact: true, Text: fmt.Sprintf(
			"%d cgroups made anew were followed, the slowest within %s", told.Anew, told.Longest.Round(time.Millisecond))})
	}
	if len(told.Gone) > 0 {
		found = append(found, &pb.Evidence{Name: "gone", Value: float64(len(told.Gone)), Fact: true, Text: "gone now: " + strings.Join(told.Gone, " ")})
	}
	if told.Err != nil {
		found = append(found, &pb.Evidence{Name: "lost", Value: 1, Text: "not followed: " + told.Err.Error()})
	}
	return found
}
