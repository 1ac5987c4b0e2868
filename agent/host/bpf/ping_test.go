package bpf

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	echoRequest, echoReply = 8, 0
	icmpSize               = 8 + 56 // as ping has it
	ipv4Size               = 20
)

// pings are the round trips of n echo requests, as ping measures them: from
// before the request to the instant that the kernel stamps on its answer. The
// peer's kernel answers, so that no process is to be woken up in between.
func pings(t testing.TB, s *space, host string, pause time.Duration, n int) []time.Duration {
	t.Helper()
	var took []time.Duration
	s.run(t, func() {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMP)
		must(t, err)
		defer func() { _ = unix.Close(fd) }()
		must(t, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1))
		must(t, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 3}))
		must(t, unix.Connect(fd, &unix.SockaddrInet4{Addr: netip.MustParseAddr(host).As4()}))
		for seq := range n {
			time.Sleep(pause)
			trip, err := ping(fd, uint16(seq))
			must(t, err)
			took = append(took, trip)
		}
	})
	slices.Sort(took)
	return took
}

// ping sends one request and waits for its answer.
func ping(fd int, seq uint16) (time.Duration, error) {
	const id = 0x5a0a
	request := make([]byte, icmpSize)
	request[0] = echoRequest
	binary.BigEndian.PutUint16(request[4:], id)
	binary.BigEndian.PutUint16(request[6:], seq)
	binary.BigEndian.PutUint16(request[2:], ^uint16(0)-onesSum(request))
	start := time.Now()
	if _, err := unix.Write(fd, request); err != nil {
		return 0, err
	}
	answer, control := make([]byte, 256), make([]byte, unix.CmsgSpace(int(unsafe.Sizeof(unix.Timespec{}))))
	for {
		n, c, _, err := receive(fd, answer, control)
		if err != nil {
			return 0, err
		}
		got := answer[min(n, ipv4Size):n]
		if len(got) < icmpSize || got[0] != echoReply || !slices.Equal(got[4:8], request[4:8]) {
			continue
		}
		came, err := stamped(control[:c])
		return came.Sub(start), err
	}
}

// receive is recvmsg, begun again where a signal ended it: a socket with a
// limit of time is not begun again by the kernel, and the runtime sends signals
// to its own threads.
func receive(fd int, data, control []byte) (n, c int, from unix.Sockaddr, err error) {
	for {
		n, c, _, from, err = unix.Recvmsg(fd, data, control, 0)
		if !errors.Is(err, unix.EINTR) {
			return n, c, from, err
		}
	}
}

// stamped is the instant that the kernel put beside what it received.
func stamped(control []byte) (time.Time, error) {
	all, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return time.Time{}, err
	}
	for _, m := range all {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SCM_TIMESTAMPNS && len(m.Data) >= 16 {
			return time.Unix(
				int64(binary.NativeEndian.Uint64(m.Data)), int64(binary.NativeEndian.Uint64(m.Data[8:])),
			), nil
		}
	}
	return time.Time{}, errors.New("an answer without a stamp")
}

// onesSum is the sum of the internet checksum over whole words.
func onesSum(b []byte) uint16 {
	var sum uint32
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return uint16(sum)
}
