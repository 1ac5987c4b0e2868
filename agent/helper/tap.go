package helper

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"squall/agent/host/bpf"
)

// A tap is an interface of ours: what programs send there, we read. It ends
// with its descriptor.
type tap struct{ fd, index int }

const (
	tapFlags = unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR
	// Frames as large as the stack makes them, checksums left to do: what
	// passes here stays as it was, and one read moves 64 kB.
	tapOffloads = unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6 | unix.TUN_F_TSO_ECN | tunUSO4 | tunUSO6
	tunUSO4     = 0x20 // since 6.2
	tunUSO6     = 0x40
	tapQueue    = 10000 // frames between two turns of the loop
)

// isTap tells our TAPs by name.
func isTap(name string) bool { return strings.HasPrefix(name, bpf.TapPrefix) }

// openTap makes a TAP and sets it up, with IPv6 off before it is: the stack
// must not speak on it by itself.
func openTap() (tap, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return tap{}, fmt.Errorf("open a TAP: %w: /dev/net/tun: %w", bpf.ErrUnsupported, err)
	}
	name, err := nameTap(fd)
	if err != nil {
		return tap{}, errors.Join(err, unix.Close(fd))
	}
	index, err := raiseTap(name)
	if err != nil {
		return tap{}, errors.Join(err, unix.Close(fd))
	}
	return tap{fd, index}, nil
}

// nameTap turns the descriptor into an interface, named by the kernel.
func nameTap(fd int) (string, error) {
	req, err := unix.NewIfreq(bpf.TapPrefix + "%d")
	if err != nil {
		return "", err
	}
	req.SetUint16(tapFlags)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		return "", fmt.Errorf("make a TAP: %w", err)
	}
	// Without segments of UDP before Linux 6.2.
	if unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, tapOffloads) != nil {
		if err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, tapOffloads&^(tunUSO4|tunUSO6)); err != nil {
			return "", fmt.Errorf("make a TAP: set offloads: %w", err)
		}
	}
	return req.Name(), nil
}

// raiseTap sets the interface up and returns its index.
func raiseTap(name string) (int, error) {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return 0, fmt.Errorf("find TAP %s: %w", name, err)
	}
	if err := muteTap(link); err != nil {
		return 0, fmt.Errorf("turn IPv6 off on TAP %s: %w", name, err)
	}
	err = errors.Join(
		netlink.LinkSetTxQLen(link, tapQueue),
		netlink.LinkSetARPOff(link),
		netlink.LinkSetUp(link),
	)
	if err != nil {
		return 0, fmt.Errorf("set TAP %s up: %w", name, err)
	}
	return link.Attrs().Index, nil
}

// muteTap turns IPv6 off, or at least its own addresses where /proc/sys is
// read-only. A kernel without IPv6 has neither.
func muteTap(link netlink.Link) error {
	err := os.WriteFile("/proc/sys/net/ipv6/conf/"+link.Attrs().Name+"/disable_ipv6", []byte("1"), 0)
	if err == nil || os.IsNotExist(err) {
		return nil
	}
	return netlink.LinkSetIP6AddrGenMode(link, 1)
}

// favour lets this thread's sleeps end when they should, also on a busy
// machine. Real-time priority would do worse: it stalls.
func favour() error {
	_, _, errno := unix.RawSyscall(unix.SYS_PRCTL, unix.PR_SET_TIMERSLACK, 1, 0)
	if errno != 0 {
		return fmt.Errorf("set timer slack: %w", errno)
	}
	if err := unix.Setpriority(unix.PRIO_PROCESS, 0, -20); err != nil && !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.EPERM) {
		return fmt.Errorf("set priority: %w", err)
	}
	return nil
}
