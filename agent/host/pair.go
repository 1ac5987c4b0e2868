package host

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Pair makes two connected ends: one to keep, one to give to a child. When one
// side's process ends, the other reads the end of the file.
func Pair() (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make pair: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "pair"), os.NewFile(uintptr(fds[1]), "pair"), nil
}

// Inherited is a descriptor that the parent passed on. Its own children don't
// get it.
func Inherited(fd int) (*os.File, error) {
	unix.CloseOnExec(fd)
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, fmt.Errorf("inherit descriptor %d: %w", fd, err)
	}
	return os.NewFile(uintptr(fd), "inherited"), nil
}
