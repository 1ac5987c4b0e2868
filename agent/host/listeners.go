package host

import (
	"encoding/binary"
	"fmt"
	"strconv"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

const (
	// diagRequestSize is that of the kernel's struct inet_diag_req_v2.
	diagRequestSize = 56
	// diagPort, diagInode and diagSize are places in its struct inet_diag_msg.
	diagPort, diagInode, diagSize = 4, 68, 72
	// tcpListenState is the kernel's TCP_LISTEN.
	tcpListenState = 10
)

// tcpListeners adds the ports of the caller's network namespace on which one of
// the sockets listens. The kernel keeps listening sockets apart, so this takes
// microseconds; /proc/net/tcp walks a table as large as the machine's memory
// asks for.
func tcpListeners(inodes map[string]bool, ports map[uint32]bool) error {
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		req := nl.NewNetlinkRequest(nl.SOCK_DIAG_BY_FAMILY, unix.NLM_F_DUMP)
		req.AddRawData(listenersOf(family))
		answers, err := req.Execute(unix.NETLINK_INET_DIAG, 0)
		if err != nil {
			return fmt.Errorf("list listening sockets: %w", err)
		}
		for _, a := range answers {
			if len(a) < diagSize {
				continue
			}
			inode := strconv.FormatUint(uint64(binary.NativeEndian.Uint32(a[diagInode:])), 10)
			if inodes[inode] {
				ports[uint32(binary.BigEndian.Uint16(a[diagPort:]))] = true
			}
		}
	}
	return nil
}

func listenersOf(family byte) []byte {
	req := make([]byte, diagRequestSize)
	req[0], req[1] = family, unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(req[4:], 1<<tcpListenState)
	return req
}
