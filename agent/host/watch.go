package host

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"squall/agent/host/bpf"
	pb "squall/proto/squall/v1"
)

// The watch looks by itself, beside every event: each watchTick while a cgroup
// isn't known to be empty, for the folder it is made in may be made anew; each
// restTick while nothing can come that no event tells.
const (
	watchTick = 20 * time.Millisecond
	restTick  = 250 * time.Millisecond
)

// A respawn that was caught is watched this often and this long until it is dead.
const (
	catchTick  = 100 * time.Microsecond
	catchTries = 50
)

// watch kills whatever comes alive in cgroups that are held down.
type watch struct {
	host *Real
	held *held
	down []*downed
	hook *bpf.Hold // nil without one
	stop int       // eventfd
	made int       // inotify: a cgroup was made anew
	done chan struct{}

	mu       sync.Mutex // guards the rest
	dying    map[string]map[int]bool
	respawns int
	longest  time.Duration
}

// downed is one cgroup under watch.
type downed struct {
	cgroup string
	events *os.File // nil while the cgroup doesn't exist
	id     uint64   // of the cgroup whose events these are
	// gone says that there is no such cgroup now.
	gone bool
	// armed says that it was seen empty since the gate opened.
	armed bool
	// born is when the respawn that lives was seen.
	born time.Duration
}

// newWatch makes a watch that start begins. It acts while the gate is open.
func (r *Real) newWatch(h *held, op *pb.HoldDown) (*watch, error) {
	w := &watch{host: r, held: h, done: make(chan struct{}), dying: map[string]map[int]bool{}}
	for _, cgroup := range op.GetCgroups() {
		if err := r.workloads.cgroups.check(cgroup); err != nil {
			return nil, fmt.Errorf("%w", err)
		}
		w.down = append(w.down, &downed{cgroup: cgroup})
	}
	var err error
	if w.stop, err = unix.Eventfd(0, unix.EFD_CLOEXEC); err != nil {
		return nil, fmt.Errorf("%w", err)
	}
	if w.made, err = unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK); err != nil {
		return nil, fmt.Errorf("%w", errors.Join(err, unix.Close(w.stop)))
	}
	for _, d := range w.down {
		// Without it, the tick sees a new cgroup a little later.
		_, _ = unix.InotifyAddWatch(w.made, filepath.Dir(r.workloads.cgroups.path(d.cgroup)), unix.IN_CREATE)
	}
	return w, nil
}

// start has no real-time thread for the watch: that may last for hours, see
// RealtimeThread. The worker it is in goes before everything ordinary.
func (w *watch) start() { go w.run() }

// close ends the watch, and returns when it has ended.
func (w *watch) close() {
	if w.stop < 0 {
		return
	}
	signalEvent(w.stop)
	<-w.done
	_ = w.free()
}

// free frees what newWatch made.
func (w *watch) free() error {
	// The kernel waits for every reader of its marks before it lets go of an
	// inotify descriptor: milliseconds in which no workload would be started.
	made := w.made
	go func() { _ = unix.Close(made) }()
	err := unix.Close(w.stop)
	w.stop = -1
	return wrap(err, "end watch")
}

// run looks at every cgroup each time that one of them changes.
func (w *watch) run() {
	defer close(w.done)
	defer w.closeEvents()
	runtime.LockOSThread() // its exact sleeps end with it; without them a life seems longer
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	for {
		for _, d := range w.down {
			w.look(d)
		}
		if w.sleep() {
			return
		}
	}
}

// sleep waits for a change, or for the tick. It tells whether to stop.
func (w *watch) sleep() bool {
	fds := []unix.PollFd{{Fd: int32(w.stop), Events: unix.POLLIN}, {Fd: int32(w.made), Events: unix.POLLIN}}
	for _, d := range w.down {
		if d.events != nil {
			fds = append(fds, unix.PollFd{Fd: int32(d.events.Fd()), Events: unix.POLLPRI})
		}
	}
	ts := unix.NsecToTimespec(int64(w.pause()))
	_, err := unix.Ppoll(fds, &ts, nil)
	if fds[1].Revents != 0 {
		var news [4096]byte
		_, _ = unix.Read(w.made, news[:])
	}
	return fds[0].Revents != 0 || (err != nil && !errors.Is(err, unix.EINTR))
}

// pause is how long the watch may sleep without an event.
func (w *watch) pause() time.Duration {
	if early := time.Duration(w.held.op.GetGate().GetStartBootNanos()) - w.host.Boot(); early > 0 {
		return min(early, restTick)
	}
	if slices.ContainsFunc(w.down, func(d *downed) bool { return d.gone || !d.armed || d.born != 0 }) {
		return watchTick
	}
	return restTick
}

// look reads one cgroup and kills who came alive there.
func (w *watch) look(d *downed) {
	alive := w.read(d)
	if !w.held.open() {
		d.armed, d.born = false, 0
		return
	}
	switch {
	case !alive:
		w.died(d)
		d.armed = true
	case d.armed || w.respawned(d.cgroup):
		w.catch(d)
	}
}

// catch kills a respawn and sees it die. Changes are told at most every ten
// milliseconds, which is too late to measure a life.
func (w *watch) catch(d *downed) {
	if d.born == 0 && w.respawned(d.cgroup) {
		d.born = w.host.Boot()
	}
	if err := w.host.workloads.cgroups.kill(d.cgroup); err != nil {
		w.host.log.Error("catch respawn", "cgroup", d.cgroup, "err", err)
	}
	for range catchTries {
		if !w.read(d) {
			w.died(d)
			return
		}
		_ = SleepUntil(BootTime() + catchTick)
	}
}

// killed notes who lives in cgroups just after a kill: they are dying.
func (w *watch) killed(groups []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range w.down {
		if !slices.Contains(groups, d.cgroup) {
			continue
		}
		w.dying[d.cgroup] = map[int]bool{}
		pids, _ := w.host.workloads.cgroups.pids(d.cgroup)
		for _, pid := range pids {
			w.dying[d.cgroup][pid] = true
		}
	}
}

// respawned tells whether someone lives in a cgroup who was not killed with it.
// Before the kill, nobody is a respawn.
func (w *watch) respawned(cgroup string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	dying := w.dying[cgroup]
	if dying == nil {
		return false
	}
	pids, _ := w.host.workloads.cgroups.pids(cgroup)
	return slices.ContainsFunc(pids, func(pid int) bool { return !dying[pid] })
}

// read tells whether something lives in the cgroup. When the cgroup was made
// anew, its events are opened again, and the hook learns its new id.
func (w *watch) read(d *downed) bool {
	id, err := w.host.workloads.cgroups.id(d.cgroup)
	if d.gone = err != nil; d.gone {
		return false
	}
	if (d.events == nil || d.id != id) && !w.reopen(d, id) {
		return false
	}
	var b [128]byte
	n, err := unix.Pread(int(d.events.Fd()), b[:], 0)
	return err == nil && populated(b[:n])
}

// reopen opens the events of a cgroup, and hands a new one to the hook first.
func (w *watch) reopen(d *downed, id uint64) bool {
	if w.hook != nil {
		if err := w.hook.Follow(d.id, id); err != nil {
			w.host.log.Error("hold down a new cgroup", "cgroup", d.cgroup, "err", err)
		}
	}
	if d.events != nil {
		d.events.Close()
	}
	var err error
	if d.events, err = os.Open(w.host.workloads.cgroups.path(d.cgroup, "cgroup.events")); err != nil {
		d.events = nil
		return false
	}
	d.id = id
	return true
}

// died records the end of a respawn.
func (w *watch) died(d *downed) {
	if d.born == 0 {
		return
	}
	life := w.host.Boot() - d.born
	d.born = 0
	w.mu.Lock()
	defer w.mu.Unlock()
	w.respawns++
	w.longest = max(w.longest, life)
}

// caught is how many respawns the watch has killed, and how long one lived at most.
func (w *watch) caught() (respawns int, longest time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.respawns, w.longest
}

func (w *watch) closeEvents() {
	for _, d := range w.down {
		if d.events != nil {
			d.events.Close()
		}
	}
}
