package host

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
	"unsafe"

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

// SleepUntil blocks its OS thread until boot time is at least at, some
// milliseconds away at most: Go's scheduler doesn't hear of it, see
// RealtimeThread. It is for threads that have priority: a Go timer wakes
// milliseconds late on a busy machine. A signal doesn't end it early.
func SleepUntil(at time.Duration) error {
	ts := unix.NsecToTimespec(int64(at))
	for {
		_, _, errno := unix.RawSyscall6(unix.SYS_CLOCK_NANOSLEEP, unix.CLOCK_BOOTTIME, unix.TIMER_ABSTIME,
			uintptr(unsafe.Pointer(&ts)), 0, 0, 0)
		switch errno {
		case unix.EINTR:
		case 0:
			return nil
		default:
			return fmt.Errorf("sleep until boot time %s: %w", at, errno)
		}
	}
}

// timer is an absolute wake-up in boot time that can be called off.
type timer struct {
	at       time.Duration
	fd, stop int
}

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
	return &timer{at: at, fd: fd, stop: stop}, nil
}

// approach blocks the OS thread until some time before the instant, and tells
// whether it was not cancelled.
func (t *timer) approach(before time.Duration) bool {
	fds := t.fds()
	for {
		left := unix.NsecToTimespec(int64(max(t.at-before-BootTime(), 0)))
		if _, err := unix.Ppoll(fds[:], &left, nil); !errors.Is(err, unix.EINTR) {
			return err == nil && fds[0].Revents == 0
		}
	}
}

// limit is until when a timer's owner may act. The offset is that of boot times
// in gates from those that this process reads.
type limit struct {
	end, offset int64
	// lease is read at the instant; nil where the end alone counts.
	lease *atomic.Int64
}

// allows says that an instant, as this process reads boot time, is early enough.
//
//go:nosplit
func (l limit) allows(now time.Duration) bool {
	at := int64(now) + l.offset
	return at < l.end && (l.lease == nil || at < l.lease.Load())
}

// ending is how a wait for an instant ended.
type ending int

const (
	acted ending = iota
	calledOff
	// tooLate: the process was stopped or starved past its limit.
	tooLate
)

// stroke is what happens to one cgroup at an instant: a "1" is written to a file
// of it.
type stroke struct {
	file uintptr
	// mark is put on the cgroup's folder first, unless the file says 1 by then:
	// that stroke fails with EALREADY. It is nil for none.
	mark *strokeMark
	// failed is why nothing was written; 0 where it was.
	failed unix.Errno
}

// strokeMark is an attribute of a folder, in the kernel's form: the name ends
// with a zero byte.
type strokeMark struct {
	dir         uintptr
	name, value []byte
}

// strike waits for the instant and then makes each stroke, on an OS thread that
// the scheduler knows nothing of: a goroutine that comes back from a system call,
// or calls a function after ten milliseconds on its processor, may have to wait
// for another thread, of ordinary priority, to make room for it. So it is to be
// called shortly before the instant. Nothing is done when the timer was called
// off, or when it is past the limit: who was stopped over the instant must not
// act when he goes on. began and ended are around all strokes.
//
//go:nosplit
func (t *timer) strike(strokes []stroke, until limit) (began, ended time.Duration, how ending) {
	fds := t.fds()
	var around [2]unix.Timespec
	errno := unix.EINTR
	for errno == unix.EINTR {
		_, _, errno = unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&fds[0])), uintptr(len(fds)), 0, 0, 0, 0)
	}
	if errno != 0 || fds[0].Revents != 0 {
		return 0, 0, calledOff
	}
	_, _, _ = unix.RawSyscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_BOOTTIME, uintptr(unsafe.Pointer(&around[0])), 0)
	if !until.allows(sinceBoot(around[0])) {
		return 0, 0, tooLate
	}
	for i := range strokes {
		strokes[i].failed = strokes[i].do()
	}
	_, _, _ = unix.RawSyscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_BOOTTIME, uintptr(unsafe.Pointer(&around[1])), 0)
	return sinceBoot(around[0]), sinceBoot(around[1]), acted
}

//go:nosplit
func (s *stroke) do() unix.Errno {
	one := [...]byte{'1'}
	if s.mark != nil {
		if errno := s.mark.put(s.file); errno != 0 {
			return errno
		}
	}
	_, _, errno := unix.RawSyscall(unix.SYS_WRITE, s.file, uintptr(unsafe.Pointer(&one[0])), 1)
	return errno
}

// put marks the folder, unless a file says 1.
//
//go:nosplit
func (m *strokeMark) put(file uintptr) unix.Errno {
	var is [1]byte
	_, _, errno := unix.RawSyscall6(unix.SYS_PREAD64, file, uintptr(unsafe.Pointer(&is[0])), 1, 0, 0, 0)
	switch {
	case errno != 0:
		return errno
	case is[0] == '1':
		return unix.EALREADY
	}
	_, _, errno = unix.RawSyscall6(unix.SYS_FSETXATTR, m.dir, uintptr(unsafe.Pointer(&m.name[0])),
		uintptr(unsafe.Pointer(&m.value[0])), uintptr(len(m.value)), unix.XATTR_CREATE, 0)
	return errno
}

// fds are what ends a wait: the call-off, and the instant.
//
//go:nosplit
func (t *timer) fds() [2]unix.PollFd {
	return [...]unix.PollFd{{Fd: int32(t.stop), Events: unix.POLLIN}, {Fd: int32(t.fd), Events: unix.POLLIN}}
}

// sinceBoot is a reading of a clock as a duration.
//
//go:nosplit
func sinceBoot(ts unix.Timespec) time.Duration {
	return time.Duration(ts.Sec)*time.Second + time.Duration(ts.Nsec)
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
