package host

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// networkDoor is the abstract socket on which the one process listens whose faults
// may be in a network namespace. Such names are the namespace's own, whatever file
// systems its processes see, and go with their process.
const networkDoor = "@squall/network"

// lockTries is how often a door is tried that its holder is just leaving.
const lockTries = 5

// lockNetwork takes the network namespace of the caller's thread for this process
// until the lock is closed or the process ends. Where another agent has it, the
// error is a *Locked: two would take each other's programs for leftovers. A name
// that somebody without our rights squats on keeps nobody out, nor does a process
// that is this one or has been killed.
func lockNetwork() (io.Closer, error) {
	for range lockTries {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: networkDoor, Net: "unix"})
		if err == nil {
			go hangUp(l)
			return l, nil
		}
		if !errors.Is(err, unix.EADDRINUSE) {
			return nil, fmt.Errorf("lock the network namespace: %w", err)
		}
		held, err := networkHolder()
		switch {
		case err != nil:
			return nil, err
		case held == nil: // it has just left
		case held.other():
			return nil, fmt.Errorf("lock the network namespace: another agent has its faults there: %w", &Locked{Pid: held.pid})
		default:
			return noLock{}, nil
		}
	}
	return nil, errors.New("lock the network namespace: its lock changes hands all the time")
}

// hangUp lets go of who asked who listens.
func hangUp(l *net.UnixListener) {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			_ = c.Close()
		}
	}
}

// noLock is the lock of a process that has it already, or needs none.
type noLock struct{}

// Close implements io.Closer.
func (noLock) Close() error { return nil }

// listener is who listens on the door, as the kernel tells: no number of a process
// that has ended meanwhile.
type listener struct {
	pid int
	// trusted says that it has our rights, or root's.
	trusted bool
}

// other tells whether it is another agent. One that has been killed and that the
// kernel keeps from dying has nothing here any more.
func (l *listener) other() bool {
	return l.trusted && l.pid != os.Getpid() && (l.pid == 0 || !doomed(l.pid))
}

// networkHolder is who holds the network namespace of the caller's thread; nil for
// nobody.
func networkHolder() (*listener, error) {
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: networkDoor, Net: "unix"})
	if errors.Is(err, unix.ECONNREFUSED) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ask who holds the network namespace: %w", err)
	}
	defer c.Close()
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("ask who holds the network namespace: %w", err)
	}
	var who *unix.Ucred
	var told error
	err = raw.Control(func(fd uintptr) {
		who, told = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err = errors.Join(err, told); err != nil {
		return nil, fmt.Errorf("ask who holds the network namespace: %w", err)
	}
	return &listener{pid: int(who.Pid), trusted: who.Uid == 0 || int(who.Uid) == os.Geteuid()}, nil
}

// othersNetwork tells whether what is in the network namespace of the caller's
// thread is another agent's.
func othersNetwork() (bool, error) {
	held, err := networkHolder()
	return held != nil && held.other(), err
}
