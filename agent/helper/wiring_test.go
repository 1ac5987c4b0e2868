package helper

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"squall/agent/host/bpf"
	"squall/agent/host/hosttest"
)

// A register takes down which interfaces are connected.
type register struct {
	names   chan string
	refuses string
}

func (r *register) Connect(i net.Interface) error {
	if i.Name == r.refuses {
		return errors.New("it refuses")
	}
	r.names <- i.Name
	return nil
}

// next waits for the next one.
func (r *register) next(t *testing.T) string {
	t.Helper()
	select {
	case name := <-r.names:
		return name
	case <-time.After(20 * time.Second):
		t.Error("no interface was connected for 20 s")
		return ""
	}
}

// taken are those until now.
func (r *register) taken() []string {
	var names []string
	for range len(r.names) {
		names = append(names, <-r.names)
	}
	slices.Sort(names)
	return names
}

// inNamespace runs the test in a process that is in an empty network namespace as
// a whole, as a helper is in its host's: the wiring follows on any thread.
func inNamespace(t *testing.T, f func(r *register, w *wiring)) {
	t.Helper()
	if os.Getenv("SQUALL_TEST_APART") == t.Name() {
		r := &register{names: make(chan string, 100)}
		f(r, newWiring(r))
		return
	}
	hosttest.RequireRoot(t)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, "-test.run=^"+t.Name()+"$", "-test.timeout=2m")
	cmd.Env = append(os.Environ(), "SQUALL_TEST_APART="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func add(t *testing.T, l netlink.Link, up bool) netlink.Link {
	t.Helper()
	err := netlink.LinkAdd(l)
	if err == nil && up {
		err = netlink.LinkSetUp(l)
	}
	if err != nil {
		t.Error(err)
	}
	return l
}

func wire(name string) netlink.Link {
	return &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: name + "-peer"}
}

// TestWiringTakesWhatSpeaks: not loopback, TAPs of ours, or the parts of a bridge.
func TestWiringTakesWhatSpeaks(t *testing.T) {
	inNamespace(t, func(r *register, w *wiring) {
		bridge := add(t, &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}}, true)
		port := add(t, wire("port"), true)
		if err := netlink.LinkSetMaster(port, bridge); err != nil {
			t.Error(err)
		}
		add(t, &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: bpf.TapPrefix + "9"}, PeerName: "eth0"}, true)
		add(t, wire("down"), false)
		if err := w.join(); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = w.leave() }()
		want := []string{"br0", "down", "down-peer", "eth0", "port-peer"}
		if got := r.taken(); !slices.Equal(got, want) {
			t.Errorf("connected %v, want %v", got, want)
		}
	})
}

// TestWiringFollowsInterfaces: one that comes up is connected once, also when it
// has the name of one that went; one that joins a bridge before it is up is not.
func TestWiringFollowsInterfaces(t *testing.T) {
	inNamespace(t, func(r *register, w *wiring) {
		if err := w.join(); err != nil {
			t.Fatal(err)
		}
		first := add(t, wire("eth1"), true)
		if got := r.next(t); got != "eth1" {
			t.Errorf("connected %q", got)
		}
		if err := netlink.LinkDel(first); err != nil {
			t.Error(err)
		}
		second := add(t, wire("eth1"), true)
		if got := r.next(t); got != "eth1" {
			t.Errorf("connected %q after it had gone and come again", got)
		}
		if err := errors.Join(netlink.LinkSetDown(second), netlink.LinkSetUp(second)); err != nil {
			t.Error(err)
		}
		bridge := add(t, &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}}, false)
		port := add(t, wire("port"), false)
		if err := errors.Join(netlink.LinkSetMaster(port, bridge), netlink.LinkSetUp(port)); err != nil {
			t.Error(err)
		}
		add(t, wire("last"), true)
		if got := r.next(t); got != "last" {
			t.Errorf("connected %q, which was there before or is part of a bridge", got)
		}
		if err := w.leave(); err != nil {
			t.Error(err)
		}
		add(t, wire("late"), true)
		if got := r.taken(); len(got) != 0 {
			t.Errorf("connected %v after leaving", got)
		}
	})
}

// TestInterfaceThatRefuses: at the start it is an error, which names it and does
// not keep the others from being connected. Later it is left alone.
func TestInterfaceThatRefuses(t *testing.T) {
	inNamespace(t, func(r *register, w *wiring) {
		r.refuses = "eth1"
		add(t, wire("eth1"), false)
		add(t, wire("eth2"), false)
		if err := w.join(); err == nil || !strings.Contains(err.Error(), "interface eth1: it refuses") {
			t.Errorf("error %v", err)
		}
		if got := r.taken(); !slices.Contains(got, "eth2") {
			t.Errorf("connected %v", got)
		}
	})
}

// TestRefusalLaterIsLeftAlone.
func TestRefusalLaterIsLeftAlone(t *testing.T) {
	inNamespace(t, func(r *register, w *wiring) {
		r.refuses = "eth1"
		if err := w.join(); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = w.leave() }()
		add(t, wire("eth1"), true)
		add(t, wire("eth2"), true)
		if got := r.next(t); got != "eth2" {
			t.Errorf("connected %q", got)
		}
	})
}

// TestTapIsOursAndEndsWithItsDescriptor.
func TestTapIsOursAndEndsWithItsDescriptor(t *testing.T) {
	inNamespace(t, func(*register, *wiring) {
		tap, err := openTap()
		if err != nil {
			t.Fatal(err)
		}
		link, err := netlink.LinkByIndex(tap.index)
		if err != nil {
			t.Fatal(err)
		}
		if a := link.Attrs(); !isTap(a.Name) || a.Flags&net.FlagUp == 0 || a.TxQLen != tapQueue {
			t.Errorf("%s: flags %v, a queue of %d", a.Name, a.Flags, a.TxQLen)
		}
		addrs, err := netlink.AddrList(link, netlink.FAMILY_ALL)
		if err != nil || len(addrs) != 0 {
			t.Errorf("addresses %v, %v: the stack speaks on it by itself", addrs, err)
		}
		if err := syscall.Close(tap.fd); err != nil {
			t.Error(err)
		}
		if _, err := netlink.LinkByIndex(tap.index); err == nil {
			t.Error("it is there though its descriptor is closed")
		}
	})
}
