package bpf

import (
	"errors"
	"fmt"
	"net"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// ErrDetached says that somebody else took a program of ours off an interface.
var ErrDetached = errors.New("detached by somebody else")

// hooked is a program on an interface.
type hooked struct {
	link.Link
	// id is the kernel's number of the link; 0 where it doesn't tell.
	id      link.ID
	index   int
	program *ebpf.Program
}

// off tells whether the program is on no interface any more.
func (h *hooked) off() (bool, error) {
	info, err := h.Info()
	if err != nil {
		return false, fmt.Errorf("read a BPF link: %w", err)
	}
	return info.TCX().Ifindex == 0, nil
}

// taken is an ErrDetached where the program is off an interface that is still
// there: of one that is gone, the program is gone with it. sock is a socket of the
// interface's network namespace. The kernel tells nobody when this happens.
func (h *hooked) taken(sock int) error {
	off, err := h.off()
	if err != nil || !off {
		return err
	}
	name, err := interfaceName(sock, h.index)
	if errors.Is(err, unix.ENODEV) {
		return nil
	}
	if err != nil {
		return err
	}
	what := "a program"
	if info, err := h.program.Info(); err == nil {
		what = info.Name
	}
	return fmt.Errorf("%s on %s: %w", what, name, ErrDetached)
}

// interfaceName is the name of an interface in the network namespace of a socket.
func interfaceName(sock, index int) (string, error) {
	request, err := unix.NewIfreq("")
	if err != nil {
		return "", err
	}
	request.SetUint32(uint32(index))
	if err := unix.IoctlIfreq(sock, unix.SIOCGIFNAME, request); err != nil {
		return "", fmt.Errorf("name interface %d: %w", index, err)
	}
	return request.Name(), nil
}

// Programs that drop stand at the head, the delay line's at the tail.
const (
	head = true
	tail = false
)

// attach puts a program before or after all others of an interface.
func attach(i net.Interface, h hook, first bool) (*hooked, error) {
	anchor := link.Tail()
	if first {
		anchor = link.Head()
	}
	l, err := link.AttachTCX(link.TCXOptions{
		Interface: i.Index, Program: h.program, Attach: h.where, Anchor: anchor,
	})
	if errors.Is(err, ebpf.ErrNotSupported) {
		return nil, missing("attach to "+i.Name+" (tcx, Linux 6.6)", err)
	}
	if err != nil {
		return nil, fmt.Errorf("attach to %s: %w", i.Name, err)
	}
	k := &hooked{Link: l, index: i.Index, program: h.program}
	if info, err := l.Info(); err == nil {
		k.id = info.ID
	}
	return k, nil
}
