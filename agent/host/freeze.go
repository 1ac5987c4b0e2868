package host

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	pb "squall/proto/squall/v1"
)

// freeze keeps the processes of cgroups from running, from its gate's start on.
var freeze = operation{
	ability: "freeze",
	trial:   tryFreeze,
	arm:     armFreeze,
	remains: frozenRemains,
	says:    func(op *pb.Op) string { return "freeze " + strings.Join(op.GetFreeze().GetCgroups(), " ") },
}

// freezing is one freeze: armed, then done until it is closed.
type freezing struct {
	*instant
	held   *held
	groups []string
	// strokes freeze those at the instant that need no more than that, struck.
	// Others take their time, or were not there when it was armed.
	strokes []stroke
	struck  []string

	seen sync.Mutex // guards the rest
	// acted is the boot time at which the last cgroup was frozen; 0 before.
	acted time.Duration
	// denied is why the thread had no real-time priority.
	denied error
}

// armFreeze opens what the instant needs.
func armFreeze(_ context.Context, h *held) (thing, func(context.Context) error, error) {
	at, err := h.instant()
	if err != nil {
		return nil, nil, err
	}
	z := &freezing{held: h, groups: h.op.GetFreeze().GetCgroups(), instant: at}
	for _, cgroup := range z.groups {
		if err := z.add(cgroup); err != nil {
			z.close()
			return nil, nil, err
		}
	}
	return z, z.act, nil
}

// add makes one cgroup ready to be frozen.
func (z *freezing) add(cgroup string) error {
	c := z.held.host.workloads.cgroups
	if err := c.check(cgroup); err != nil {
		return err
	}
	f, err := z.held.host.freezerOf(cgroup)
	if err == nil {
		err = free(f, cgroup, z.held.op.GetTag())
	}
	u, ok := f.(unifiedFreezer)
	if err != nil || !ok {
		return err
	}
	s, err := u.stroke(cgroup, z.held.op.GetTag(), z.keep)
	if err == nil {
		z.strokes, z.struck = append(z.strokes, s), append(z.struck, cgroup)
	}
	return err
}

// act waits for the instant and freezes. ctx, or Close, calls it off before.
func (z *freezing) act(ctx context.Context) error {
	done, err := z.strike(ctx, z.strokes, nil)
	if err != nil {
		return err
	}
	errs := []error{z.missed()}
	for _, cgroup := range z.groups {
		if !slices.Contains(z.struck, cgroup) {
			errs = append(errs, z.freeze(cgroup))
		}
	}
	z.seen.Lock()
	defer z.seen.Unlock()
	z.acted, z.denied = z.held.host.Boot(), done.denied
	if len(z.struck) == len(z.groups) {
		z.acted = done.last + z.held.host.offset
	}
	return errors.Join(errs...)
}

// missed freezes by their names what the strokes have missed: somebody has made
// them anew, or marked them since.
func (z *freezing) missed() error {
	var errs []error
	for i, s := range z.strokes {
		switch s.failed {
		case 0, unix.EALREADY: // by us already, or by somebody else, who will thaw it
		case unix.ENODEV, unix.EEXIST:
			errs = append(errs, z.freeze(z.struck[i]))
		default:
			errs = append(errs, fmt.Errorf("freeze cgroup %s: %w", z.struck[i], s.failed))
		}
	}
	return errors.Join(errs...)
}

// freeze freezes a cgroup by its name.
func (z *freezing) freeze(cgroup string) error {
	if err := z.held.mayAct(); err != nil {
		return err
	}
	f, err := z.held.host.freezerOf(cgroup)
	if err != nil {
		return err
	}
	return f.freeze(cgroup, z.held.op.GetTag())
}

// Close implements thing.
func (z *freezing) Close() error {
	z.close()
	return each(context.Background(), z.groups, func(_ context.Context, cgroup string) error {
		return z.held.host.workloads.cgroups.thaw(cgroup, z.held.op.GetTag())
	})
}

func (z *freezing) renew(time.Duration) {} // its lease is read at the instant

func (z *freezing) died() <-chan struct{} { return nil }

// evidence tells which cgroups the kernel calls frozen. Where nothing lives, or
// somebody else froze it before, that shows nothing.
func (z *freezing) evidence(_ context.Context, _ bool) ([]*pb.Evidence, error) {
	z.seen.Lock()
	acted, denied := z.acted, z.denied
	z.seen.Unlock()
	if acted == 0 {
		return nil, nil
	}
	frozen, bitten, idle, others, engines := 0, 0, 0, 0, map[string]bool{}
	for _, cgroup := range z.groups {
		f, err := z.held.host.freezerOf(cgroup)
		if err != nil {
			return nil, err
		}
		is, err := f.frozen(cgroup)
		if err != nil {
			return nil, err
		}
		if is {
			frozen++
		}
		lives, err := z.held.host.workloads.cgroups.populated(cgroup)
		if err != nil {
			return nil, err
		}
		tag, err := f.tag(cgroup)
		if err != nil {
			return nil, err
		}
		switch {
		case !lives:
			idle++
		case tag != z.held.op.GetTag():
			others++
		default:
			bitten++
		}
		engines[f.engine()] = true
	}
	text := fmt.Sprintf("%d of %d workloads frozen by %s, %s after the instant",
		frozen, len(z.groups), strings.Join(slices.Sorted(maps.Keys(engines)), " and "), max(acted-z.planned, 0))
	if denied != nil {
		text += fmt.Sprintf(" (warning: %v)", denied)
	}
	if idle > 0 {
		text += fmt.Sprintf(", %d of them without a process", idle)
	}
	if others > 0 {
		text += fmt.Sprintf(", %d of them by somebody else before us", others)
	}
	late := max(acted-z.planned, 0)
	return []*pb.Evidence{
		{Name: "frozen", Value: float64(frozen), Holds: frozen == len(z.groups), Fact: bitten == 0, Text: text},
		{Name: "last_freeze_nanos", Value: float64(late), Fact: true, Text: fmt.Sprintf("the last was frozen %s after the instant", late)},
	}, nil
}

// frozenRemains are cgroups that we froze, whoever of us did.
func frozenRemains(s search) []string {
	c := s.host.workloads.cgroups
	var left []string
	for _, cgroup := range s.groups {
		for _, f := range c.freezers() {
			tag, err := f.tag(cgroup)
			if err != nil {
				left = append(left, fmt.Sprintf("cgroup %s: not known whether %s holds it: %v", cgroup, f.engine(), err))
				continue
			}
			if tag == "" || !s.ours(tag) || s.remove && f.thaw(cgroup, tag) == nil {
				continue
			}
			left = append(left, fmt.Sprintf("cgroup %s frozen by %s", cgroup, f.engine()))
		}
	}
	return left
}

// tryFreeze freezes and thaws a cgroup of its own.
func tryFreeze(_ context.Context, d *doctor) (engine string, err error) {
	c, cgroup, err := d.scratch()
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, c.remove(cgroup)) }()
	f, err := c.freezerOf(cgroup)
	if err != nil {
		return "", err
	}
	const tag = "squall/doctor"
	if err := f.freeze(cgroup, tag); err != nil {
		return "", errors.Join(err, f.thaw(cgroup, tag))
	}
	err = until("see cgroup "+cgroup+" frozen", func() (bool, error) { return f.frozen(cgroup) })
	return f.engine(), errors.Join(err, f.thaw(cgroup, tag))
}
