package host

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// SocketMark is a net.Dialer's Control that sets a mark on each socket before
// it connects. What carries the mark is exempt from our faults: only the
// agent's own stream may.
func SocketMark(mark uint32) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var set error
		err := c.Control(func(fd uintptr) {
			set = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, int(mark))
		})
		if err == nil {
			err = set
		}
		return wrap(err, "mark socket")
	}
}
