package host

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// realtimePriority is enough to run before everything ordinary.
const realtimePriority = 10

// RealtimeThread runs f on an OS thread of its own with SCHED_FIFO priority 10
// and waits for it. f is told whether the priority was granted; it runs all
// the same when it was not. The thread ends with f.
func RealtimeThread(f func(denied error)) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		// Never unlocked: the runtime ends the thread, and its priority with it.
		runtime.LockOSThread()
		f(realtime())
	}()
	<-done
}

// realtime gives the calling thread real-time priority and exact sleeps.
func realtime() error {
	attr := unix.SchedAttr{
		Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: realtimePriority,
		// Children must not run at this priority.
		Flags: unix.SCHED_FLAG_RESET_ON_FORK,
	}
	if err := unix.SchedSetAttr(0, &attr, 0); err != nil {
		return wrap(err, "get real-time priority (needs CAP_SYS_NICE)")
	}
	return wrap(unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0), "set timer slack")
}

// Nice moves the calling process by priority: -20 runs first, 19 last.
func Nice(priority int) error {
	return wrap(unix.Setpriority(unix.PRIO_PROCESS, 0, priority), "set priority %d", priority)
}
