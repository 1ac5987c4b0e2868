package host

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Priorities of real-time threads. All run before everything ordinary; what has
// an instant runs before what follows from it, here or in another agent on the
// same kernel.
const (
	// onTime is for what must happen at an instant.
	onTime = 20
	// afterwards is for what must follow at once.
	afterwards = 10
)

// RealtimeThread runs f on an OS thread of its own with SCHED_FIFO, and waits for
// it. f is told whether the priority was granted; it runs all the same when it
// was not. The thread ends with f.
//
// f must be short, and wait in no system call that Go's scheduler hears of. The
// scheduler marks a goroutine that is in one before it takes its place away, and
// the collector before it looks at its stack; who comes back spins until the mark
// is gone. On a real-time thread that would be for ever where it has pushed the
// thread that made the mark off the processor, or until the kernel throttles it
// (0.95 s of every second). So nothing is collected while f runs.
func RealtimeThread(f func(denied error)) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		// Never unlocked: the runtime ends the thread.
		runtime.LockOSThread()
		defer collector.rest()()
		usual, err := nice(unix.Gettid())
		if err == nil {
			err = realtime(onTime)
		}
		f(err)
		// Before it meets the collector again, and others wait for it.
		_ = ordinary(0, usual, usualSlice)
	}()
	<-done
}

// collector is Go's garbage collector, as far as this package keeps it from work.
var collector resting

// resting counts who needs the collector to rest.
type resting struct {
	mu    sync.Mutex
	count int
	// percent and limit are its settings while it works.
	percent int
	limit   int64
}

// litter is how much memory, in bytes, may be in use before the collector works
// after all: where one kill follows the other, it would never get to it.
const litter = 256 << 20

// rest collects once, and allows no other collection until wake.
func (r *resting) rest() (wake func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.count++; r.count == 1 {
		r.limit = debug.SetMemoryLimit(litter)
		r.percent = debug.SetGCPercent(-1)
		// That waits for a collection that is under way. One that another thread
		// has just decided on would still begin, unless this comes of it.
		runtime.GC()
	}
	return r.wake
}

func (r *resting) wake() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.count--; r.count == 0 {
		debug.SetGCPercent(r.percent)
		debug.SetMemoryLimit(r.limit)
	}
}

// collect collects everything now, unless somebody needs the collector to rest.
func (r *resting) collect() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.count == 0 {
		debug.FreeOSMemory()
	}
}

// realtime gives the calling thread real-time priority and exact sleeps.
func realtime(priority uint32) error {
	attr := unix.SchedAttr{
		Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: priority,
		// Children must not run at this priority.
		Flags: unix.SCHED_FLAG_RESET_ON_FORK,
	}
	if err := unix.SchedSetAttr(0, &attr, 0); err != nil {
		return wrap(err, "get real-time priority (needs CAP_SYS_NICE)")
	}
	return wrap(unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0), "set timer slack")
}

// urgent runs f on a locked thread, before everything that is not real-time, and
// returns what it returned. Where that is denied it takes its turn. What f
// starts inherits the priority: see calm.
func urgent(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		usual, err := nice(unix.Gettid())
		if err == nil {
			err = ordinary(0, firstOfAll, shortSlice)
		}
		failed := f()
		if err == nil {
			// It may be the first thread, whose priority stands for the process's.
			_ = ordinary(0, usual, usualSlice)
		}
		done <- failed
	}()
	return <-done
}

// sessionFirst lets the session that a process leads go before all others, where
// that is allowed. A kernel with autogroups, as distributions build it, shares the
// processor among sessions before it looks at nice values, and the ones of one
// session are nothing to another. What moves to a session of its own leaves that
// behind.
func sessionFirst(leader int) {
	// It needs CAP_SYS_NICE, a writable /proc, and without CAP_SYS_ADMIN patience:
	// Linux takes ten of these a second in all. A start hangs on none of them.
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/autogroup", leader), strconv.AppendInt(nil, firstOfAll, 10), 0)
}

const (
	// firstOfAll is the nice value that goes before every other.
	firstOfAll = -20
	// shortSlice is the least time slice that the kernel grants: who asks for
	// less than others is let in when it wakes up, and does not wait for the end
	// of theirs (since Linux 6.12; older ones take no notice).
	shortSlice = 100 * time.Microsecond
	// usualSlice is the kernel's own.
	usualSlice = 0
)

// ordinary gives a thread a nice value and a time slice; 0 is the calling one.
func ordinary(thread, nice int, slice time.Duration) error {
	attr := unix.SchedAttr{
		Size: unix.SizeofSchedAttr, Policy: unix.SCHED_NORMAL, Nice: int32(nice), Runtime: uint64(slice),
	}
	return unix.SchedSetAttr(thread, &attr, 0)
}

// calm takes the urgency of this process from a child that was started just
// now and leads a process group, and from all that it has started there: it gets
// the nice value of our parent, unless ours is the humbler one.
func calm(leader int) error {
	ours, err := nice(os.Getpid())
	if err != nil {
		return err
	}
	if parent, err := nice(os.Getppid()); err == nil {
		ours = max(ours, parent)
	}
	err = errors.Join(ordinary(leader, ours, usualSlice), unix.Setpriority(unix.PRIO_PGRP, leader, ours))
	if errors.Is(err, unix.ESRCH) {
		return nil // it has ended
	}
	return wrap(err, "set priority of process %d", leader)
}

// nice is the nice value of a thread, of which a process's number is the first.
func nice(pid int) (int, error) {
	const highest = 20 // the system call counts down from here
	n, err := unix.Getpriority(unix.PRIO_PROCESS, pid)
	return highest - n, wrap(err, "read priority of process %d", pid)
}
