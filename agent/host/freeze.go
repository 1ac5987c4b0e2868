package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"squall/agent/target"
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
	// strokes freeze struck at the instant, cgroups that need no more than that.
	// Others take their time, or were not there when it was armed.
	strokes []stroke
	struck  []string
	// guard thaws when this process dies; ended is closed when the guard has, and
	// everything is thawed.
	guard *guard
	ended chan struct{}
	// aimed are the kernel's numbers of what was frozen; 0 of what is not there.
	aimed map[string]uint64

	seen sync.Mutex // guards the rest
	// acted is the boot time at which the last cgroup was frozen; 0 before.
	acted time.Duration
	// denied is why the thread had no real-time priority.
	denied error
	// follower freezes what is made anew; nil before the instant.
	follower *target.Follower
	// newcomers freezes who comes where that takes more than the cgroup's own
	// mechanism; nil where it doesn't.
	newcomers *newcomers
	closed    bool
}

// armFreeze opens what the instant needs, and starts the guard.
func armFreeze(ctx context.Context, h *held) (mechanism, func(context.Context) error, error) {
	at, err := h.instant()
	if err != nil {
		return nil, nil, err
	}
	z := &freezing{
		held: h, groups: h.op.GetFreeze().GetCgroups(), instant: at, aimed: map[string]uint64{}, ended: make(chan struct{}),
	}
	for _, cgroup := range z.groups {
		if err := z.add(cgroup); err != nil {
			z.close()
			return nil, nil, err
		}
	}
	if z.guard, err = startGuard(ctx, z.guarded(), time.Duration(h.lease.Load())); err != nil {
		z.close()
		return nil, nil, err
	}
	go z.watchGuard()
	return z, z.act, nil
}

// guarded is what its guard is told.
func (z *freezing) guarded() guardOrder {
	l := z.held.limit()
	return guardOrder{
		Tag: z.held.op.GetTag(), Cgroups: z.groups, End: l.end, Offset: l.offset, IgnoreLease: l.lease == nil,
	}
}

// watchGuard ends the freeze when its guard has ended: with one holder alone,
// nobody would thaw when that dies.
func (z *freezing) watchGuard() {
	defer close(z.ended)
	<-z.guard.done
	if z.letGo() {
		return
	}
	if err := z.thaw(); err != nil {
		z.held.host.log.Error("thaw without a guard", "tag", z.held.op.GetTag(), "err", err)
	}
}

// add makes one cgroup ready to be frozen. One that is missing now, as between
// two restarts of its unit, is frozen when it comes.
func (z *freezing) add(cgroup string) error {
	c := z.held.host.workloads.cgroups
	if err := c.check(cgroup); err != nil {
		return err
	}
	err := z.open(cgroup)
	if vanished(err) {
		return nil
	}
	return err
}

// open opens what freezes a cgroup at the instant, where its mechanism is as
// fast as that.
func (z *freezing) open(cgroup string) error {
	tag := z.held.op.GetTag()
	f, err := z.held.host.freezerOf(cgroup)
	if err == nil {
		err = free(f, cgroup, tag)
	}
	u, ok := f.(unifiedFreezer)
	if err != nil || !ok {
		return err
	}
	s, id, err := u.stroke(cgroup, tag, z.keep)
	if err == nil {
		z.strokes, z.struck, z.aimed[cgroup] = append(z.strokes, s), append(z.struck, cgroup), id
	}
	return err
}

// act waits for the instant and freezes. ctx, or Close, calls it off before.
func (z *freezing) act(ctx context.Context) error {
	done, err := z.strike(ctx, z.strokes, nil)
	if err != nil {
		return errors.Join(err, z.Close())
	}
	late, err := z.missed()
	for _, cgroup := range z.groups {
		if !slices.Contains(z.struck, cgroup) {
			late = append(late, cgroup)
		}
	}
	for _, cgroup := range late {
		err = errors.Join(err, z.freezeLate(cgroup))
	}
	last := done.last + z.held.host.offset
	if len(late) > 0 {
		last = z.held.host.Boot()
	}
	return errors.Join(err, z.follow(last, done.denied))
}

// missed are cgroups that the strokes have missed: somebody has made them anew,
// or marked them since.
func (z *freezing) missed() (late []string, err error) {
	for i, s := range z.strokes {
		switch s.failed {
		case 0, unix.EALREADY: // by somebody else, who will thaw it
		case unix.ENODEV, unix.EEXIST:
			late = append(late, z.struck[i])
		default:
			err = errors.Join(err, fmt.Errorf("freeze cgroup %s: %w", z.struck[i], s.failed))
		}
	}
	return late, err
}

// freezeLate freezes a cgroup as it is now, after the instant.
func (z *freezing) freezeLate(cgroup string) error {
	now, err := target.IDs(machine{z.held.host.workloads.cgroups}, []string{cgroup})
	if err != nil {
		return err
	}
	z.aimed[cgroup] = 0
	if now[cgroup] == 0 {
		return nil // it is frozen when it comes
	}
	err = z.freeze(cgroup)
	switch {
	case vanished(err):
		return nil
	case err == nil:
		z.aimed[cgroup] = now[cgroup]
	}
	return err
}

// freeze freezes a cgroup by its name. The gate is read before.
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

// follow notes when it has acted, and freezes what is made anew from then on. Its
// undo is the thaw of a tag, whatever the cgroups have come to. Where it was
// closed meanwhile, what it has frozen since is thawed.
func (z *freezing) follow(acted time.Duration, denied error) error {
	z.seen.Lock()
	defer z.seen.Unlock()
	if z.closed {
		return errors.Join(errCalledOff, z.thaw())
	}
	z.acted, z.denied = acted, denied
	z.follower = target.Follow(machine{z.held.host.workloads.cgroups}, z.aimed,
		func(cgroup string, _, _ uint64) error { return z.freeze(cgroup) })
	if len(z.struck) < len(z.groups) {
		z.newcomers = watchNewcomers(z)
	}
	return nil
}

// Close implements mechanism. The guard stays until everything runs.
func (z *freezing) Close() error {
	z.held.ending.Store(true) // the guard's end is no death
	z.letGo()
	if err := z.thaw(); err != nil {
		return err
	}
	return z.guard.Close()
}

// letGo ends whatever would freeze anything from now on, and tells whether
// somebody has done so before.
func (z *freezing) letGo() (before bool) {
	z.close()
	z.seen.Lock()
	before = z.closed
	z.closed = true
	follower, newcomers := z.follower, z.newcomers
	z.seen.Unlock()
	if follower != nil {
		follower.Close()
	}
	if newcomers != nil {
		newcomers.close()
	}
	return before
}

// thaw lets run again what was frozen under its tag.
func (z *freezing) thaw() error {
	return each(context.Background(), z.groups, func(_ context.Context, cgroup string) error {
		return z.held.host.workloads.cgroups.thaw(cgroup, z.held.op.GetTag())
	})
}

// renew moves the lease of the guard; its own is read at the instant.
func (z *freezing) renew(until time.Duration) { z.guard.lease.set(until) }

func (z *freezing) died() <-chan struct{} { return z.ended }

// frozenRemains are cgroups that we froze, whoever of us did.
func frozenRemains(s search) []string {
	once := slices.Compact(slices.Sorted(slices.Values(s.groups)))
	if len(once) == 0 {
		return nil
	}
	s.freezers = s.host.workloads.cgroups.freezers()
	return gather(once, s.frozen, func(cgroup string) string {
		return fmt.Sprintf("cgroup %s: not known whether it is frozen: the look at it hangs", cgroup)
	})
}

// frozen is what of ours keeps one cgroup frozen.
func (s search) frozen(cgroup string) (left []string) {
	for _, f := range s.freezers {
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
