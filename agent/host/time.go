package host

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// BootTime is the time since boot, suspend included, as this process reads
// it. Programs in the kernel may read another one: see Host.Boot.
func BootTime() time.Duration {
	var ts unix.Timespec
	// CLOCK_BOOTTIME is older than every kernel that runs Go: this can't fail.
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts)
	return time.Duration(ts.Nano())
}

// SleepUntil blocks its OS thread until boot time is at least at. It is for
// threads with real-time priority: a Go timer wakes milliseconds late on a
// busy machine. A signal doesn't end it early.
func SleepUntil(at time.Duration) error {
	ts := unix.NsecToTimespec(int64(at))
	for {
		err := unix.ClockNanosleep(unix.CLOCK_BOOTTIME, unix.TIMER_ABSTIME, &ts, nil)
		if !errors.Is(err, unix.EINTR) {
			return wrap(err, "sleep until boot time %s", at)
		}
	}
}

// timer is an absolute wake-up in boot time that can be called off.
type timer struct{ fd, stop int }

// newTimer arms a timer for boot time at; in the past, it is due at once.
func newTimer(at time.Duration) (*timer, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_BOOTTIME, unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create timer: %w", err)
	}
	stop, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("create timer: %w", err)
	}
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(max(int64(at), 1))}
	if err := unix.TimerfdSettime(fd, unix.TFD_TIMER_ABSTIME, &spec, nil); err != nil {
		unix.Close(fd)
		unix.Close(stop)
		return nil, fmt.Errorf("set timer: %w", err)
	}
	return &timer{fd: fd, stop: stop}, nil
}

// wait blocks the OS thread and tells whether the instant came before cancel.
func (t *timer) wait() bool {
	fds := []unix.PollFd{{Fd: int32(t.stop), Events: unix.POLLIN}, {Fd: int32(t.fd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, -1)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil || n == 0 || fds[0].Revents != 0:
			return false
		default:
			return true
		}
	}
}

// cancel calls the timer off. It may be called more than once.
func (t *timer) cancel() { signalEvent(t.stop) }

// close frees the timer, after wait has returned.
func (t *timer) close() {
	unix.Close(t.fd)
	unix.Close(t.stop)
}

// signalEvent makes an eventfd readable, for good.
func signalEvent(fd int) {
	_, _ = unix.Write(fd, []byte{1, 0, 0, 0, 0, 0, 0, 0})
}

// pause waits for d or for ctx.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// wrap adds what was tried to an error, and leaves nil alone.
func wrap(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}
