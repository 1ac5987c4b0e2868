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
	held     *held
	planned  time.Duration
	groups   []string
	freezers []freezer // one for each of groups

	mu sync.Mutex // guards the rest
	// timer is nil once it is not to be touched any more.
	timer *timer
	// acted is the boot time at which the last cgroup was frozen; 0 before.
	acted time.Duration
	// denied is why the thread had no real-time priority.
	denied error
}

// armFreeze finds the mechanism of each cgroup.
func armFreeze(_ context.Context, h *held) (thing, func(context.Context) error, error) {
	r := h.host
	z := &freezing{
		held: h, groups: h.op.GetFreeze().GetCgroups(),
		planned: max(time.Duration(h.op.GetGate().GetStartBootNanos()), r.Boot()),
	}
	for _, cgroup := range z.groups {
		f, err := r.workloads.cgroups.freezerOf(cgroup)
		if err == nil {
			err = r.workloads.cgroups.check(cgroup)
		}
		if err != nil {
			return nil, nil, err
		}
		z.freezers = append(z.freezers, f)
	}
	var err error
	if z.timer, err = newTimer(z.planned - r.offset); err != nil {
		return nil, nil, err
	}
	return z, z.act, nil
}

// act waits for the instant, on a real-time thread in the end, and freezes. ctx,
// or Close, calls it off before the instant.
func (z *freezing) act(ctx context.Context) error {
	defer z.free()
	stop := context.AfterFunc(ctx, z.callOff)
	defer stop()
	if !z.timer.approach(brink) {
		return errCalledOff
	}
	var err error
	RealtimeThread(func(denied error) { err = z.fire(denied) })
	return err
}

// fire freezes at the instant. The gate is read just before.
func (z *freezing) fire(denied error) error {
	if !z.timer.approach(0) {
		return errCalledOff
	}
	if err := z.held.mayAct(); err != nil {
		return err
	}
	var errs []error
	for i, f := range z.freezers {
		errs = append(errs, f.freeze(z.groups[i], z.held.op.GetTag()))
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	z.acted, z.denied = z.held.host.Boot(), denied
	return errors.Join(errs...)
}

// callOff stops a freeze whose instant has not come.
func (z *freezing) callOff() {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.timer != nil {
		z.timer.cancel()
	}
}

// free lets go of what the instant needed.
func (z *freezing) free() {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.timer.close()
	z.timer = nil
}

// Close implements thing.
func (z *freezing) Close() error {
	z.callOff()
	of := map[string]freezer{}
	for i, f := range z.freezers {
		of[z.groups[i]] = f
	}
	return each(context.Background(), z.groups, func(_ context.Context, cgroup string) error {
		return of[cgroup].thaw(cgroup, z.held.op.GetTag())
	})
}

func (z *freezing) renew(time.Duration) {} // its lease is read at the instant

func (z *freezing) died() <-chan struct{} { return nil }

// evidence tells which cgroups the kernel calls frozen. Where nothing lives, or
// somebody else froze it before, that shows nothing.
func (z *freezing) evidence(_ context.Context, _ bool) ([]*pb.Evidence, error) {
	z.mu.Lock()
	acted, denied := z.acted, z.denied
	z.mu.Unlock()
	if acted == 0 {
		return nil, nil
	}
	frozen, bitten, idle, others, engines := 0, 0, 0, 0, map[string]bool{}
	for i, f := range z.freezers {
		is, err := f.frozen(z.groups[i])
		if err != nil {
			return nil, err
		}
		if is {
			frozen++
		}
		lives, err := z.held.host.workloads.cgroups.populated(z.groups[i])
		if err != nil {
			return nil, err
		}
		tag, err := f.tag(z.groups[i])
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
func frozenRemains(c cgroups, groups []string, ours func(tag string) bool, remove bool) []string {
	var left []string
	for _, cgroup := range groups {
		for _, f := range c.freezers() {
			tag, err := f.tag(cgroup)
			if err != nil {
				left = append(left, fmt.Sprintf("cgroup %s: not known whether %s holds it: %v", cgroup, f.engine(), err))
				continue
			}
			if tag == "" || !ours(tag) || remove && f.thaw(cgroup, tag) == nil {
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
