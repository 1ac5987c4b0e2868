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

	pb "squall/proto/squall/v1"
)

// deathLimit is how long the dying may take, in the kernel, after the signal.
const deathLimit = 10 * time.Second

// killWorkloads kills all processes of workloads at its gate's start.
var killWorkloads = operation{
	ability: "cgroup.kill",
	trial:   func(ctx context.Context, d *doctor) (string, error) { return d.tryKill(ctx) },
	arm:     armKill,
	says:    sayKill,
}

func sayKill(op *pb.Op) string {
	k := op.GetKillWorkloads()
	what := strings.Join(k.GetWorkload(), " ")
	if k.GetUndeclared() {
		what = strings.TrimSpace(what + " and every undeclared process")
	}
	if what == "" {
		return ""
	}
	return "kill " + what
}

// killing is one kill: armed, then done or called off.
type killing struct {
	*instant
	held    *held
	op      *pb.KillWorkloads
	strokes []stroke
	// groups are the cgroups of the workloads, opened those behind strokes.
	groups, opened []string
	// removed are those that are no more what was opened: somebody has made them
	// anew, or they are gone.
	removed []string
	// lived are those that had a live process when it was armed.
	lived []string

	seen sync.Mutex // guards the rest
	// gone are those that were nowhere at the instant: that is no kill.
	gone []string
	// first and last are the boot times around the signals; 0 before.
	first, last time.Duration
	// denied is why the thread had no real-time priority.
	denied error
	// strays counts undeclared processes that were killed.
	strays int
}

// armKill opens everything that the instant needs, so that it takes one write
// for each workload.
func armKill(ctx context.Context, h *held) (mechanism, func(context.Context) error, error) {
	r, op := h.host, h.op.GetKillWorkloads()
	if op.GetUndeclared() && !r.config.GetAllowUndeclaredKill() {
		return nil, nil, errors.New("the host's config doesn't allow undeclared: kill")
	}
	at, err := h.instant()
	if err != nil {
		return nil, nil, err
	}
	k := &killing{held: h, op: op, instant: at}
	for _, name := range op.GetWorkload() {
		if err := k.add(ctx, name); err != nil {
			k.close()
			return nil, nil, fmt.Errorf("kill workload %s: %w", name, err)
		}
	}
	return k, k.act, nil
}

// act waits for the instant, kills, and returns when everything is dead. ctx, or
// Close, calls it off before the instant; afterwards ctx ends the wait for the
// dying.
func (k *killing) act(ctx context.Context) error {
	r := k.held.host
	err := k.fire(ctx, r)
	if errors.Is(err, errCalledOff) || errors.Is(err, errGateClosed) {
		return err
	}
	err = errors.Join(err, k.killRemoved(r))
	if k.op.GetUndeclared() {
		err = errors.Join(err, k.killStrays(ctx, r))
	}
	if err != nil {
		return err
	}
	return errors.Join(r.verifyDead(ctx, k.groups), k.forget(ctx))
}

// forget empties what a power cut would have emptied. What was killed may have
// taken its time to die, so the gate is read again.
func (k *killing) forget(ctx context.Context) error {
	dirs := k.op.GetVolatile()
	if len(dirs) == 0 {
		return nil
	}
	if err := errors.Join(ctx.Err(), k.held.mayAct()); err != nil {
		return fmt.Errorf("empty %s: %w", strings.Join(dirs, ", "), err)
	}
	return sparing(slices.Concat(k.held.host.options.Spare, []string{Spared})).volatile(dirs)
}

// add makes one workload ready to be killed. A cgroup that is missing now may be
// there at the instant, when it is looked for again.
func (k *killing) add(ctx context.Context, name string) error {
	r := k.held.host
	w, err := r.workload(name)
	if err != nil {
		return err
	}
	s, err := r.workloads.targets.State(ctx, w)
	if err == nil {
		err = r.workloads.cgroups.check(s.Cgroup)
	}
	if err != nil {
		return err
	}
	k.groups = append(k.groups, s.Cgroup)
	if s.Populated {
		k.lived = append(k.lived, s.Cgroup)
	}
	f, err := r.workloads.cgroups.openKill(s.Cgroup)
	switch {
	case f != nil:
		k.strokes, k.opened = append(k.strokes, stroke{file: k.keep(f).Fd()}), append(k.opened, s.Cgroup)
	case err == nil:
		k.removed = append(k.removed, s.Cgroup)
	}
	return err
}

// fire kills the workloads at the instant.
func (k *killing) fire(ctx context.Context, r *Real) error {
	done, err := k.strike(ctx, k.strokes, func() { r.tellWatches(k.groups) })
	if err != nil {
		return err
	}
	k.seen.Lock()
	defer k.seen.Unlock()
	k.first, k.last, k.denied = done.first+r.offset, done.last+r.offset, done.denied
	var errs []error
	for i, s := range k.strokes {
		switch s.failed {
		case 0:
		case unix.ENODEV:
			k.removed = append(k.removed, k.opened[i])
		default:
			errs = append(errs, fmt.Errorf("kill cgroup %s: %w", k.opened[i], s.failed))
		}
	}
	return errors.Join(errs...)
}

// removedTries is how often a cgroup is killed by its name that somebody makes
// anew all the time.
const removedTries = 20

// killRemoved kills what runs now where a cgroup was removed between arming and
// the instant, as by a restart of its unit. Where there is none, it is gone.
func (k *killing) killRemoved(r *Real) error {
	var errs []error
	for _, cgroup := range k.removed {
		there, err := true, error(unix.ENODEV)
		for try := 0; try < removedTries && errors.Is(err, unix.ENODEV); try++ {
			if err = k.held.mayAct(); err == nil {
				there, err = r.workloads.cgroups.killThere(cgroup)
			}
		}
		if !there && err == nil {
			k.seen.Lock()
			k.gone = append(k.gone, cgroup)
			k.seen.Unlock()
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// tellWatches lets those who hold the cgroups down know that whoever lives
// there now is dying, and that whoever comes is a respawn.
func (r *Real) tellWatches(groups []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, h := range r.held {
		if down, ok := h.mechanism.(*heldDown); ok {
			down.watch.killed(groups)
		}
	}
}

// killStrays kills what no workload claims, until a scan finds nobody new. The gate
// is read before each.
func (k *killing) killStrays(ctx context.Context, r *Real) (failed error) {
	killed := map[int]bool{}
	defer func() {
		k.seen.Lock()
		defer k.seen.Unlock()
		k.strays = len(killed)
	}()
	for range 50 {
		strays, err := r.strays()
		err = errors.Join(err, ctx.Err(), k.held.mayAct())
		if err != nil {
			return errors.Join(failed, err)
		}
		fresh := 0
		for pid, seen := range strays {
			p, err := openSeen(pid, seen)
			if err != nil {
				continue // it has ended
			}
			failed = errors.Join(failed, p.Kill(), p.Close())
			if !killed[pid] {
				killed[pid] = true
				fresh++
			}
		}
		if fresh == 0 {
			break
		}
	}
	return failed
}

// Close implements mechanism.
func (k *killing) Close() error {
	k.close()
	return nil
}

func (k *killing) renew(time.Duration) {} // its lease is read at the instant

func (k *killing) died() <-chan struct{} { return nil }

// verifyDead returns when nothing lives in the cgroups.
func (r *Real) verifyDead(ctx context.Context, groups []string) error {
	ctx, cancel := context.WithTimeout(ctx, deathLimit)
	defer cancel()
	var errs []error
	for _, cgroup := range groups {
		errs = append(errs, r.workloads.cgroups.waitEmpty(ctx, cgroup))
	}
	return wrap(errors.Join(errs...), "kill workloads")
}

// idle counts the workloads that were dead already. The caller holds seen.
func (k *killing) idle() (n int) {
	for _, cgroup := range k.groups {
		if !slices.Contains(k.lived, cgroup) && !slices.Contains(k.gone, cgroup) {
			n++
		}
	}
	return n
}

// evidence tells when the signals went out. Where nothing ran, they show nothing.
func (k *killing) evidence(context.Context, bool) ([]*pb.Evidence, error) {
	k.seen.Lock()
	defer k.seen.Unlock()
	if k.first == 0 {
		return nil, nil
	}
	text := fmt.Sprintf("%d workloads killed, %s after the instant, signals within %s",
		len(k.groups)-len(k.gone), max(k.first-k.planned, 0), k.last-k.first)
	if idle := k.idle(); idle > 0 {
		text += fmt.Sprintf(", %d of them dead already", idle)
	}
	if k.strays > 0 {
		text += fmt.Sprintf(", and %d undeclared processes", k.strays)
	}
	if anew := len(k.removed) - len(k.gone); anew > 0 {
		text += fmt.Sprintf(", %d of them made anew just before", anew)
	}
	if len(k.gone) > 0 {
		text += fmt.Sprintf(", and %s gone before the instant, not killed", strings.Join(k.gone, " "))
	}
	if k.denied != nil {
		text += fmt.Sprintf(" (warning: %v)", k.denied)
	}
	late := max(k.last-k.planned, 0)
	return []*pb.Evidence{
		{Name: "killed", Value: float64(k.last - k.first), Holds: len(k.gone) == 0, Fact: len(k.lived)+k.strays == 0, Text: text},
		{Name: "last_kill_nanos", Value: float64(late), Fact: true, Text: fmt.Sprintf("the last signal left %s after the instant", late)},
	}, nil
}
