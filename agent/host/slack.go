package host

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// The kernel may wake a thread that sleeps for a length of time so much later, to
// wake several at once: usualSlack by itself. It wakes real-time threads, and who
// waits for a timerfd, as exactly as ever. SleepUntil on any other thread is as late.
const (
	usualSlack  = 50 * time.Microsecond
	coarseSlack = 500 * time.Microsecond
)

// CoarseTimers lets this process's threads be woken up to half a millisecond late.
// Go's scheduler has one thread that sleeps for 20 µs at a time while anything
// runs; on a busy host those wake-ups were a quarter of an agent's processor time,
// and of a server's. What workloads are started with stays usual. Where a thread's
// slack can't be set (needs CAP_SYS_NICE), it stays as it was.
func CoarseTimers() error { return setSlack(coarseSlack) }

// UsualTimers undoes the CoarseTimers of the process that started this one.
func UsualTimers() error { return setSlack(usualSlack) }

// setSlack sets the slack of all threads; those to come have it from the one that
// makes them. It looks twice: one that was not set yet may have made another.
func setSlack(slack time.Duration) error {
	if err := setSlackOnce(slack); err != nil {
		return err
	}
	return setSlackOnce(slack)
}

func setSlackOnce(slack time.Duration) error {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return fmt.Errorf("set timer slack: %w", err)
	}
	var errs []error
	for _, t := range threads {
		// It is written at the root of /proc, where threads are not listed.
		file := filepath.Join("/proc", t.Name(), "timerslack_ns")
		err := os.WriteFile(file, strconv.AppendInt(nil, slack.Nanoseconds(), 10), 0)
		if err != nil && !errors.Is(err, unix.ESRCH) && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, fmt.Errorf("set timer slack: %w", err))
		}
	}
	return errors.Join(errs...)
}

// onUsualTime starts a program with the usual slack, which it inherits from the
// thread that forks it.
func onUsualTime(start func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	ours, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err == nil && unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(usualSlack), 0, 0, 0) == nil {
		defer func() { _ = unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(ours), 0, 0, 0) }()
	}
	return start() // a way back hangs on no setting
}
