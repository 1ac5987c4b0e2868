package host

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// network is the network namespace of a thread, for work that others do for it:
// what they start lives there.
type network struct{ f *os.File }

// ownNetwork is that of the caller's thread. Its descriptor is closed when nobody
// holds it any more: what hangs may need it later than whoever asked.
func ownNetwork() (network, error) {
	f, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return network{}, fmt.Errorf("open the network namespace: %w", err)
	}
	return network{f}, nil
}

// do runs work there. It is the last thing that its goroutine does: a thread that
// had to enter the namespace ends with it.
func (n network) do(work func() error) error {
	runtime.LockOSThread()
	if n.here() {
		defer runtime.UnlockOSThread()
		return work()
	}
	if err := unix.Setns(int(n.f.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter the network namespace: %w", err)
	}
	return work()
}

// here tells whether the caller's thread is in it already.
func (n network) here() bool {
	var own, there unix.Stat_t
	return unix.Stat("/proc/thread-self/ns/net", &own) == nil && unix.Fstat(int(n.f.Fd()), &there) == nil &&
		own.Dev == there.Dev && own.Ino == there.Ino
}
