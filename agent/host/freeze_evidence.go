package host

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	pb "squall/proto/squall/v1"
)

// evidence tells which cgroups the kernel calls frozen. Where nothing lives, or
// somebody else froze it before, that shows nothing.
func (z *freezing) evidence(ctx context.Context, _ bool) ([]*pb.Evidence, error) {
	z.seen.Lock()
	acted, denied, follower := z.acted, z.denied, z.follower
	z.seen.Unlock()
	if acted == 0 {
		return nil, nil
	}
	n, err := z.settled(ctx)
	if err != nil {
		return nil, err
	}
	late := max(acted-z.planned, 0)
	text := fmt.Sprintf("%d of %d workloads frozen by %s, %s after the instant",
		n.frozen, n.there, strings.Join(slices.Sorted(maps.Keys(n.engines)), " and "), late)
	if n.there == 0 {
		text = "no workload is there to be frozen"
	}
	if denied != nil {
		text += fmt.Sprintf(" (warning: %v)", denied)
	}
	if n.idle > 0 {
		text += fmt.Sprintf(", %d of them without a process", n.idle)
	}
	if n.others > 0 {
		text += fmt.Sprintf(", %d of them by somebody else before us", n.others)
	}
	return append([]*pb.Evidence{
		{Name: "frozen", Value: float64(n.frozen), Holds: n.frozen == n.there, Fact: n.frozen == n.there && n.bitten == 0, Text: text},
		{Name: "last_freeze_nanos", Value: float64(late), Fact: true, Text: fmt.Sprintf("the last was frozen %s after the instant", late)},
	}, followed(follower.Told())...), nil
}

// frozenTally counts cgroups: those that are there, those of them that are frozen,
// and by what; bitten are frozen by us and have processes, idle have none, and
// others are not frozen by us.
type frozenTally struct {
	there, frozen, bitten, idle, others int
	engines                             map[string]bool
}

// freezeTime is how long what was made anew may take until it is frozen: so long
// it is not told as running.
const freezeTime = 100 * time.Millisecond

// settled is the tally once all that is there is frozen, or after freezeTime.
func (z *freezing) settled(ctx context.Context) (frozenTally, error) {
	ctx, cancel := context.WithTimeout(ctx, freezeTime)
	defer cancel()
	for {
		n, err := z.tally()
		if err != nil || n.frozen == n.there || pause(ctx, settleTick) != nil {
			return n, err
		}
	}
}

func (z *freezing) tally() (frozenTally, error) {
	n := frozenTally{engines: map[string]bool{}}
	for _, cgroup := range z.groups {
		if err := z.count(cgroup, &n); err != nil && !vanished(err) {
			return n, err
		}
	}
	return n, nil
}

// count adds one cgroup to a tally, unless it is not there.
func (z *freezing) count(cgroup string, n *frozenTally) error {
	f, err := z.held.host.freezerOf(cgroup)
	if err != nil {
		return err
	}
	// In this order: who comes between the two is not told as frozen.
	lives, err := z.held.host.workloads.cgroups.populated(cgroup)
	if err != nil {
		return err
	}
	is, err := f.frozen(cgroup)
	if err != nil {
		return err
	}
	tag, err := f.tag(cgroup)
	if err != nil {
		return err
	}
	n.there++
	n.engines[f.engine()] = true
	if is {
		n.frozen++
	}
	switch ours := tag == z.held.op.GetTag(); {
	case !lives:
		n.idle++
	case !ours && is:
		n.others++
	case ours && is:
		n.bitten++
	}
	return nil
}
