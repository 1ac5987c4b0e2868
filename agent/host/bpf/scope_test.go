package bpf

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	pb "squall/proto/squall/v1"
)

// cgroupMount is where this process sees the v2 hierarchy.
func cgroupMount() (string, error) {
	b, err := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(b)) {
		before, after, _ := strings.Cut(line, " - ")
		if where := strings.Fields(before); strings.HasPrefix(after, "cgroup2 ") && len(where) > 4 {
			return where[4], nil
		}
	}
	return "", errors.Join(errors.New("cgroup2 is not mounted"), err)
}

// idsOf is the id of a cgroup.
func idsOf(t testing.TB, cgroup string) []uint64 {
	t.Helper()
	mount, err := cgroupMount()
	must(t, err)
	var st unix.Stat_t
	must(t, unix.Stat(filepath.Join(mount, cgroup), &st))
	return []uint64{st.Ino}
}

// TestScopeIsNotWidened: a cgroup that was not found does not make a fault one of
// the whole host.
func TestScopeIsNotWidened(t *testing.T) {
	loader, cgroups := newLoader(t), []string{"gone"}
	if a, err := loader.Silence(now(loader, time.Minute), &pb.Silence{Cgroups: cgroups}, nil); err == nil {
		t.Error("silent", a.Close())
	}
	if a, err := loader.DropDNS(now(loader, time.Minute), &pb.DropDNS{SharePpm: wholePPM, Cgroups: cgroups}); err == nil {
		t.Error("no lookups", a.Close())
	}
}

// newCgroup makes a cgroup that is gone with the test, relative to the mount.
func newCgroup(t testing.TB) string {
	t.Helper()
	mount, err := cgroupMount()
	if err != nil {
		t.Fatal(err)
	}
	pattern := fmt.Sprintf("squall-test-%d-", os.Getpid())
	dir, err := os.MkdirTemp(mount, pattern) //nolint:usetesting // a cgroup is no folder of t.TempDir
	must(t, err)
	t.Cleanup(func() {
		_ = os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0)
		for end := time.Now().Add(enough); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			if err = unix.Rmdir(dir); err == nil {
				return
			}
		}
		t.Errorf("remove %s: %v", dir, err)
	})
	return filepath.Base(dir)
}

// enter moves a process into a cgroup.
func enter(t testing.TB, cgroup string, pid int) {
	t.Helper()
	mount, err := cgroupMount()
	must(t, err)
	must(t, os.WriteFile(filepath.Join(mount, cgroup, "cgroup.procs"), fmt.Append(nil, pid), 0))
}

// startChild starts this binary in a role and a cgroup, and waits until it is ready.
func startChild(t testing.TB, s *space, cgroup, role, arg string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	must(t, err)
	cmd := s.command(t, exe, role, arg)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	enter(t, cgroup, cmd.Process.Pid)
	_, err = in.Write([]byte("go\n"))
	must(t, err)
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("%s is not ready: %q", role, line)
	}
	return cmd
}

const (
	// soon is how long nothing is waited for: what is not there by then does not come.
	soon = 300 * time.Millisecond
	// enough is how long a busy machine may take for what is there at once on an idle one.
	enough = 30 * time.Second
)

// accept takes one connection in the namespace.
func (s *space) accept(t testing.TB, addr string) <-chan net.Conn {
	t.Helper()
	conns := make(chan net.Conn, 1)
	s.run(t, func() {
		l, err := net.Listen("tcp", addr)
		must(t, err)
		t.Cleanup(func() { _ = l.Close() })
		go func() {
			if c, err := l.Accept(); err == nil {
				conns <- c
			}
		}()
	})
	return conns
}

// dial connects from the namespace.
func (s *space) dial(t testing.TB, d *net.Dialer, to string) (c net.Conn, err error) {
	t.Helper()
	s.run(t, func() { c, err = d.Dial("tcp", to) })
	if err == nil {
		t.Cleanup(func() { _ = c.Close() })
	}
	return c, err
}

// mute tells whether nothing at all comes on a connection, an end included.
func mute(t testing.TB, c net.Conn) error {
	t.Helper()
	_, _ = c.Write([]byte("are you there?"))
	must(t, c.SetReadDeadline(time.Now().Add(soon)))
	_, err := c.Read(make([]byte, 16))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return fmt.Errorf("heard %w", err)
}

// TestWorkloadDiesInSilence: its ports and its own connections fall silent,
// and stay so when its processes are dead; the rest of the host goes on.
func TestWorkloadDiesInSilence(t *testing.T) {
	t.Parallel()
	for _, ip := range [][2]string{{here4, there4}, {here6, there6}} {
		t.Run(ip[0], func(t *testing.T) {
			t.Parallel()
			p, loader := newPair(t), newLoader(t)
			cgroup := newCgroup(t)
			outgoing := p.there.accept(t, net.JoinHostPort(ip[1], "5432"))
			cmd := startChild(t, p.here, cgroup, "workload", net.JoinHostPort(ip[1], "5432"))
			out := <-outgoing
			defer func() { _ = out.Close() }()
			in, err := p.there.dial(t, &net.Dialer{}, net.JoinHostPort(ip[0], "8080"))
			must(t, err)
			_, err = io.ReadFull(in, make([]byte, 5))
			must(t, err)
			other := net.JoinHostPort(ip[0], "9090")
			p.here.listenUDP(t, other)
			a := attachIn(t, p.here, func() (Attachment, error) {
				return loader.Silence(now(loader, time.Minute), &pb.Silence{Ports: []uint32{8080}, Cgroups: []string{cgroup}}, idsOf(t, cgroup))
			})
			must(t, cmd.Process.Kill())
			_ = cmd.Wait()
			for name, c := range map[string]net.Conn{"accepted": in, "own": out} {
				if err := mute(t, c); err != nil {
					t.Errorf("%s connection of the dead workload: %v", name, err)
				}
			}
			if _, err := p.there.dial(t, &net.Dialer{Timeout: 300 * time.Millisecond}, net.JoinHostPort(ip[0], "8080")); !isTimeout(err) {
				t.Errorf("new connection: %v", err)
			}
			roundTrips(t, p.there, other, 3)
			n, err := a.Counters()
			if err != nil || n["dropped_in"] == 0 || n["dropped_out"] == 0 || n["passed"] == 0 {
				t.Errorf("counters %v, %v", n, err)
			}
		})
	}
}

func isTimeout(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}

// marked is a dialer whose sockets carry the mark.
func marked(mark int, patience time.Duration) *net.Dialer {
	return &net.Dialer{Timeout: patience, Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		return errors.Join(c.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, mark)
		}), err)
	}}
}

// TestSilenceExemptsTheAgentAlone: by mark on the way out; on the way in by a
// server's address and port, and a marked socket.
func TestSilenceExemptsTheAgentAlone(t *testing.T) {
	t.Parallel()
	const mark = 0x5a11
	for _, ip := range [][2]string{{here4, there4}, {here6, there6}} {
		t.Run(ip[0], func(t *testing.T) {
			t.Parallel()
			p, loader := newPair(t), newLoader(t)
			server, stranger, ssh := net.JoinHostPort(ip[1], "7000"), net.JoinHostPort(ip[1], "7001"), net.JoinHostPort(ip[0], "22")
			p.there.accept(t, server)
			p.there.accept(t, stranger)
			p.here.accept(t, ssh)
			p.here.accept(t, net.JoinHostPort(ip[0], "23"))
			a := attachIn(t, p.here, func() (Attachment, error) {
				return loader.Silence(now(loader, time.Minute), &pb.Silence{Exempt: &pb.Exempt{
					Mark: mark, Servers: []string{server},
					Management: []*pb.ManagementPeer{{Prefix: ip[1], Port: 22}},
				}}, nil)
			})
			quick := &net.Dialer{Timeout: soon}
			if _, err := p.here.dial(t, marked(mark, enough), server); err != nil {
				t.Errorf("agent to its server: %v", err)
			}
			if _, err := p.there.dial(t, &net.Dialer{Timeout: enough}, ssh); err != nil {
				t.Errorf("management: %v", err)
			}
			for name, try := range map[string]func() (net.Conn, error){
				"unmarked to the server": func() (net.Conn, error) { return p.here.dial(t, quick, server) },
				"marked to a stranger":   func() (net.Conn, error) { return p.here.dial(t, marked(mark, soon), stranger) },
				"other port":             func() (net.Conn, error) { return p.there.dial(t, quick, net.JoinHostPort(ip[0], "23")) },
			} {
				if _, err := try(); !isTimeout(err) {
					t.Errorf("%s: %v", name, err)
				}
			}
			n, err := a.Counters()
			if err != nil || n["exempt"] == 0 || n["passed"] != 0 {
				t.Errorf("counters %v, %v", n, err)
			}
		})
	}
}

const answeredNeighbour = netlink.NUD_REACHABLE | netlink.NUD_STALE | netlink.NUD_DELAY | netlink.NUD_PROBE

// neighbour tells whether the far end knows an address, after asking for it and
// waiting for a while.
func neighbour(t testing.TB, s *space, addr string, patience time.Duration) (known bool) {
	t.Helper()
	s.run(t, func() {
		link, err := s.nl.LinkByName("eth0")
		must(t, err)
		_ = s.nl.NeighDel(&netlink.Neigh{LinkIndex: link.Attrs().Index, IP: net.ParseIP(addr)})
		c, err := net.Dial("udp", net.JoinHostPort(addr, "9"))
		must(t, err)
		defer c.Close()
		_, _ = c.Write([]byte("x"))
		for end := time.Now().Add(patience); !known && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			all, err := s.nl.NeighList(link.Attrs().Index, 0)
			must(t, err)
			known = slices.ContainsFunc(all, func(n netlink.Neigh) bool {
				return n.IP.String() == addr && n.State&answeredNeighbour != 0
			})
		}
	})
	return known
}

// TestNeighboursStayAnswered, as in a cloud network, unless the link is dark too.
func TestNeighboursStayAnswered(t *testing.T) {
	t.Parallel()
	for _, dark := range []bool{false, true} {
		t.Run(fmt.Sprintf("l2 %v", dark), func(t *testing.T) {
			t.Parallel()
			p, loader := newPair(t), newLoader(t)
			attachIn(t, p.here, func() (Attachment, error) {
				return loader.Silence(now(loader, time.Minute), &pb.Silence{L2: dark}, nil)
			})
			for _, addr := range []string{here4, here6} {
				patience := enough
				if dark {
					patience = soon
				}
				if known := neighbour(t, p.there, addr, patience); known == dark {
					t.Errorf("%s: its neighbour knows it: %v", addr, known)
				}
			}
		})
	}
}

// TestNewInterfacesFallSilentToo: one that appears during the fault.
func TestNewInterfacesFallSilentToo(t *testing.T) {
	t.Parallel()
	p, loader := newPair(t), newLoader(t)
	attachIn(t, p.here, func() (Attachment, error) {
		return loader.Silence(now(loader, time.Minute), &pb.Silence{}, nil)
	})
	must(t, p.here.nl.LinkAdd(&netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: "late"}, PeerName: "late",
		PeerNamespace: netlink.NsFd(int(p.there.file.Fd())),
	}))
	for s, a := range map[*space]string{p.here: "10.98.0.1/24", p.there: "10.98.0.2/24"} {
		l, err := s.nl.LinkByName("late")
		must(t, err)
		addr, err := netlink.ParseAddr(a)
		must(t, err)
		must(t, s.nl.AddrAdd(l, addr))
		must(t, s.nl.LinkSetUp(l))
	}
	p.there.listenTCP(t, "10.98.0.2:80")
	var err error
	for end := time.Now().Add(enough); !isTimeout(err); {
		if time.Now().After(end) {
			t.Fatalf("connection over a new interface: %v", err)
		}
		_, err = p.here.dial(t, &net.Dialer{Timeout: soon}, "10.98.0.2:80")
	}
}

// TestRespawnsAreCaught before their first instruction.
func TestRespawnsAreCaught(t *testing.T) {
	loader := newLoader(t)
	cgroup := newCgroup(t)
	a, err := loader.HoldDown(now(loader, time.Minute), idsOf(t, cgroup))
	must(t, err)
	defer func() { _ = a.Close() }()
	mark := filepath.Join(t.TempDir(), "ran")
	mount, err := cgroupMount()
	must(t, err)
	const tries = 20
	for range tries {
		// The shell moves itself in, as a service manager's child does before its exec.
		err := exec.Command("sh", "-c", `echo $$ > "$1"; exec touch "$2"`, "sh", filepath.Join(mount, cgroup, "cgroup.procs"), mark).Run()
		if err == nil || !strings.Contains(err.Error(), "killed") {
			t.Errorf("respawn: %v", err)
		}
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("a respawn ran")
	}
	n, err := a.Counters()
	t.Log(n)
	if err != nil || n["respawns_caught"] != tries {
		t.Errorf("counters %v, %v; want %d caught", n, err, tries)
	}
	must(t, exec.Command("true").Run()) // others are left alone
	must(t, a.Close())
	must(t, a.Close())
	if last, err := a.Counters(); err != nil || last["respawns_caught"] != tries {
		t.Errorf("after Close: counters %v, %v", last, err)
	}
}
