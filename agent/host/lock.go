package host

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Locked says which process holds a lock: 0 when it has just been given back.
type Locked struct{ Pid int }

// Error names the holder.
func (l *Locked) Error() string { return fmt.Sprintf("process %d holds it", l.Pid) }

// LockFile takes a lock that the kernel gives back when this process ends,
// however it ends. Where another process holds it, the error is a *Locked: the
// kernel says who that is, so that no stale number has to be trusted. A process
// must not open the file by other means: closing that would let go of the lock.
func LockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	err = eachIntr(func() error { return unix.FcntlFlock(f.Fd(), unix.F_SETLK, &lock) })
	if err == nil {
		return f, nil
	}
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		err = holder(f)
	}
	return nil, errors.Join(wrap(err, "lock %s", path), f.Close())
}

// holder asks the kernel who holds a lock.
func holder(f *os.File) error {
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(f.Fd(), unix.F_GETLK, &lock); err != nil {
		return err
	}
	return &Locked{Pid: int(lock.Pid)}
}
