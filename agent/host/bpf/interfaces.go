package bpf

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// TapPrefix begins the name of the TAPs of delay lines. No fault is attached
// to those.
const TapPrefix = "squall-tap"

// hook is a program and where on an interface it goes.
type hook struct {
	program *ebpf.Program
	where   ebpf.AttachType
}

// interfaceLinks holds hooks on all wanted interfaces of one network namespace, those
// that appear later included.
type interfaceLinks struct {
	hooks func(net.Interface) []hook

	netns  *os.File
	events *os.File
	done   sync.WaitGroup

	mu    sync.Mutex // guards links
	links map[int][]*hooked
}

// linkInterfaces attaches hooks in the caller's network namespace and watches for new
// interfaces. An interface for which hooks is empty is left alone.
func linkInterfaces(hooks func(net.Interface) []hook) (*interfaceLinks, error) {
	x := &interfaceLinks{hooks: hooks, links: map[int][]*hooked{}}
	var err error
	if x.netns, err = os.Open("/proc/thread-self/ns/net"); err != nil {
		return nil, fmt.Errorf("open the network namespace: %w", err)
	}
	if x.events, err = LinkEvents(); err != nil {
		return nil, errors.Join(err, x.netns.Close())
	}
	err = x.sync()
	x.done.Go(x.watch)
	if err != nil {
		return nil, errors.Join(err, x.Close())
	}
	return x, nil
}

// Close detaches everything.
func (x *interfaceLinks) Close() error {
	errs := []error{x.events.Close()}
	x.done.Wait()
	x.mu.Lock()
	defer x.mu.Unlock()
	for index := range x.links {
		errs = append(errs, x.drop(index))
	}
	return errors.Join(append(errs, x.netns.Close())...)
}

// watch attaches to what appears. Its thread may have to enter the namespace,
// and then ends with it.
func (x *interfaceLinks) watch() {
	runtime.LockOSThread()
	if unix.Setns(int(x.netns.Fd()), unix.CLONE_NEWNET) != nil {
		return
	}
	buf := make([]byte, 1<<16)
	for {
		_, err := x.events.Read(buf)
		if errors.Is(err, os.ErrClosed) {
			return
		}
		// An interface that refuses now is tried again at the next event.
		_ = x.sync()
	}
}

// taken is an ErrDetached where somebody has taken hooks off an interface that is
// still there. It costs a system call for each.
func (x *interfaceLinks) taken() error {
	if x.events == nil {
		return nil // those of a trial
	}
	conn, err := x.events.SyscallConn()
	if err != nil {
		return fmt.Errorf("look at interfaces: %w", err)
	}
	var errs []error
	err = conn.Control(func(sock uintptr) {
		x.mu.Lock()
		defer x.mu.Unlock()
		for _, hooks := range x.links {
			for _, h := range hooks {
				errs = append(errs, h.taken(int(sock)))
			}
		}
	})
	return errors.Join(append(errs, err)...)
}

// holds tells whether a link is one of these.
func (x *interfaceLinks) holds(id link.ID) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, hooks := range x.links {
		if slices.ContainsFunc(hooks, func(h *hooked) bool { return h.id == id }) {
			return true
		}
	}
	return false
}

// mend attaches anew what somebody has detached. It must run in the namespace.
func (x *interfaceLinks) mend() error {
	if err := x.dropTaken(); err != nil {
		return err
	}
	return x.sync()
}

// dropTaken lets go of interfaces from which something was detached.
func (x *interfaceLinks) dropTaken() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	var errs []error
	for index, hooks := range x.links {
		if slices.ContainsFunc(hooks, func(h *hooked) bool { off, err := h.off(); return off || err != nil }) {
			errs = append(errs, x.drop(index))
		}
	}
	return errors.Join(errs...)
}

// sync makes the links match the interfaces. It must run in the namespace.
func (x *interfaceLinks) sync() error {
	now, err := net.Interfaces()
	if err != nil {
		return fmt.Errorf("list interfaces: %w", err)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	there := map[int]bool{}
	var errs []error
	for _, i := range now {
		there[i.Index] = true
		if _, ok := x.links[i.Index]; !ok && !ours(i) {
			errs = append(errs, x.add(i))
		}
	}
	for index := range x.links {
		if !there[index] {
			errs = append(errs, x.drop(index))
		}
	}
	return errors.Join(errs...)
}

// add attaches all hooks to one interface, or none.
func (x *interfaceLinks) add(i net.Interface) error {
	for _, h := range x.hooks(i) {
		l, err := attach(i, h, head)
		if errors.Is(err, unix.ENODEV) {
			break
		}
		if err != nil {
			return errors.Join(err, x.drop(i.Index))
		}
		x.links[i.Index] = append(x.links[i.Index], l)
	}
	return nil
}

// drop detaches from one interface.
func (x *interfaceLinks) drop(index int) error {
	var errs []error
	for _, l := range x.links[index] {
		errs = append(errs, l.Close())
	}
	delete(x.links, index)
	return errors.Join(errs...)
}

// ours are the TAPs of delay lines.
func ours(i net.Interface) bool { return strings.HasPrefix(i.Name, TapPrefix) }

// LinkEvents is readable whenever an interface of the caller's network
// namespace changes.
func LinkEvents() (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("watch interfaces: %w", err)
	}
	err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: unix.RTMGRP_LINK})
	if err != nil {
		return nil, fmt.Errorf("watch interfaces: %w", errors.Join(err, unix.Close(fd)))
	}
	return os.NewFile(uintptr(fd), "link events"), nil
}
