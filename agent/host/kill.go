package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	pb "squall/proto/squall/v1"
)

// deathLimit is how long the dying may take, in the kernel, after the signal.
const deathLimit = 10 * time.Second

// killing is one kill: armed, then done or called off.
type killing struct {
	timer  *timer
	files  []*os.File
	groups []string

	mu sync.Mutex // guards the rest
	// closed says that the timer is not to be touched any more.
	closed bool
	// first and last are the boot times around the signals; 0 before.
	planned, first, last time.Duration
	// denied is why the thread had no real-time priority.
	denied error
	// strays counts undeclared processes that were killed.
	strays int
}

// lead is how long before its instant a kill lets the collector rest, and brink
// how long before it the kill gets a real-time thread: each takes its time on a
// busy machine.
const lead, brink = time.Second, 100 * time.Millisecond

// kill arms, waits for the instant, on a real-time thread in the end, kills, and
// returns when everything is dead. ctx, or a detach of the tag, calls it off
// before the instant.
func (r *Real) kill(ctx context.Context, op *pb.KillWorkloads) error {
	k, err := r.armKill(ctx, op)
	if err != nil {
		return fmt.Errorf("kill workloads: %w", err)
	}
	defer k.close()
	r.remember(op.GetTag(), k)
	stop := context.AfterFunc(ctx, k.callOff)
	defer stop()
	err = k.strike(r)
	if op.GetUndeclared() && !errors.Is(err, errCalledOff) {
		err = errors.Join(err, k.killStrays(r))
	}
	if err != nil {
		return fmt.Errorf("kill workloads: %w", err)
	}
	return errors.Join(r.verifyDead(context.WithoutCancel(ctx), k.groups), emptyVolatile(op.GetVolatile()))
}

// armKill opens everything that the instant needs, so that it takes one write
// for each workload.
func (r *Real) armKill(ctx context.Context, op *pb.KillWorkloads) (*killing, error) {
	if op.GetUndeclared() && !r.config.GetAllowUndeclaredKill() {
		return nil, errors.New("the host's config doesn't allow undeclared: kill")
	}
	k := &killing{planned: max(time.Duration(op.GetAtBootNanos()), r.Boot())}
	for _, name := range op.GetWorkload() {
		w, err := r.workload(name)
		if err == nil {
			cgroup := r.workloads.Cgroup(ctx, w)
			k.groups = append(k.groups, cgroup)
			err = k.open(r.workloads.cgroups, cgroup)
		}
		if err != nil {
			k.closeFiles()
			return nil, err
		}
	}
	var err error
	if k.timer, err = newTimer(k.planned - r.offset); err != nil {
		k.closeFiles()
	}
	return k, err
}

// open makes one cgroup ready to be killed.
func (k *killing) open(c cgroups, cgroup string) error {
	if err := c.check(cgroup); err != nil {
		return err
	}
	f, err := c.openKill(cgroup)
	if f != nil {
		k.files = append(k.files, f)
	}
	return err
}

// errCalledOff says that a kill was cancelled before its instant.
var errCalledOff = errors.New("called off before its instant")

// strike waits and kills the workloads.
func (k *killing) strike(r *Real) (err error) {
	if !k.timer.approach(lead) {
		return errCalledOff
	}
	defer collector.rest()()
	if !k.timer.approach(brink) {
		return errCalledOff
	}
	RealtimeThread(func(denied error) {
		k.denied = denied
		err = k.fire(r)
	})
	return err
}

// fire kills the workloads at the instant, on the real-time thread.
func (k *killing) fire(r *Real) error {
	var files []uintptr
	for _, f := range k.files {
		files = append(files, f.Fd())
	}
	failed := make([]unix.Errno, len(files))
	first, last, ok := k.timer.write(files, failed)
	if !ok {
		return errCalledOff
	}
	// Others may still wait for a processor, for the same instant.
	_ = realtime(afterwards)
	r.tellWatches(k.groups)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.first, k.last = first+r.offset, last+r.offset
	var errs []error
	for i, errno := range failed {
		if errno != 0 {
			errs = append(errs, fmt.Errorf("write %s: %w", k.files[i].Name(), errno))
		}
	}
	return errors.Join(errs...)
}

// tellWatches lets those who hold the cgroups down know that whoever lives
// there now is dying, and that whoever comes is a respawn.
func (r *Real) tellWatches(groups []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, h := range r.attached {
		if h.watch != nil {
			h.watch.killed(groups)
		}
	}
}

// killStrays kills what no workload claims, until a scan finds nobody new.
func (k *killing) killStrays(r *Real) (failed error) {
	killed := map[int]bool{}
	defer func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.strays = len(killed)
	}()
	for range 50 {
		strays, err := r.strays()
		if err != nil {
			return errors.Join(failed, err)
		}
		fresh := 0
		for pid := range strays {
			p, err := OpenPidfd(pid)
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

// callOff stops a kill whose instant has not come.
func (k *killing) callOff() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.closed {
		k.timer.cancel()
	}
}

func (k *killing) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = true
	k.timer.close()
	k.closeFiles()
}

func (k *killing) closeFiles() {
	for _, f := range k.files {
		f.Close()
	}
}

// remember keeps a kill for evidence, and to be called off.
func (r *Real) remember(tag string, k *killing) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kills[tag] = k
}

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
