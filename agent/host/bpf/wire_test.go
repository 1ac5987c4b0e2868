package bpf

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	pb "squall/proto/squall/v1"
)

// An outcome is what a program sees of packets that vanish, and when.
type outcome struct {
	what string
	when time.Duration
}

func (o outcome) String() string {
	return fmt.Sprintf("%s after %v", o.what, o.when.Round(time.Millisecond))
}

// A victim is a program under test: prepare runs before the cut, the returned
// function after it.
type victim struct {
	name    string
	prepare func(t *testing.T, p *pair) func() string
}

// TestSilenceIsLossOnTheWire: whatever a program does, it can't tell a silent
// host from a wire that lost the packets at its far end.
func TestSilenceIsLossOnTheWire(t *testing.T) {
	victims := []victim{
		{"new connection", newConnection},
		{"new connection v6", newConnection6},
		{"established sender", establishedSender},
		{"established sender v6", establishedSender6},
		{"UDP sender that asks for errors", eagerSender},
		{"resolver of glibc", glibcResolver},
		{"resolver of Go", goResolver},
	}
	for _, v := range victims {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			// A busy machine can only make it longer.
			var silent, wire outcome
			for range 3 {
				s, w := v.suffers(t)
				t.Logf("silence: %v; loss on the wire: %v", s, w)
				silent, wire = shorter(silent, s), shorter(wire, w)
				if silent.what != wire.what || alike(silent, wire) {
					break
				}
			}
			if silent.what != wire.what {
				t.Errorf("silence gave %q, loss on the wire %q", silent.what, wire.what)
			}
			if !alike(silent, wire) {
				t.Errorf("silence took %v, loss on the wire %v", silent.when, wire.when)
			}
		})
	}
}

// shorter is what came sooner, of what came at all.
func shorter(a, b outcome) outcome {
	if a.what == "" || b.when < a.when {
		return b
	}
	return a
}

// alike says that two came after the same time.
func alike(silent, wire outcome) bool {
	return (silent.when - wire.when).Abs() <= 150*time.Millisecond+wire.when/10
}

// suffers lets packets vanish at the host itself, and beside that at the far end
// of the wire of another.
func (v victim) suffers(t *testing.T) (silent, wire outcome) {
	var both sync.WaitGroup
	both.Go(func() { silent = v.suffer(t, func(p *pair) *space { return p.here }) })
	both.Go(func() { wire = v.suffer(t, func(p *pair) *space { return p.there }) })
	both.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return silent, wire
}

// suffer runs a victim with packets vanishing at one end.
func (v victim) suffer(t *testing.T, end func(*pair) *space) outcome {
	p, loader := newPair(t), newLoader(t)
	p.here.sysctl(t, "ipv4/tcp_syn_retries", "1")
	p.here.sysctl(t, "ipv4/tcp_retries2", "3")
	act := v.prepare(t, p)
	attachIn(t, end(p), func() (Attachment, error) {
		return loader.Silence(now(loader, time.Minute), &pb.Silence{}, nil)
	})
	start := time.Now()
	what := act()
	return outcome{what, time.Since(start)}
}

// errno is the name of the system's error in a chain.
func errno(err error) string {
	if e, ok := errors.AsType[unix.Errno](err); ok {
		return unix.ErrnoName(e)
	}
	if err == nil {
		return "ok"
	}
	return err.Error()
}

func newConnection(t *testing.T, p *pair) func() string { return connector(t, p, there4+":80") }

func newConnection6(t *testing.T, p *pair) func() string {
	return connector(t, p, "["+there6+"]:80")
}

func connector(t *testing.T, p *pair, to string) func() string {
	return func() (what string) {
		p.here.run(t, func() {
			_, err := net.Dial("tcp", to)
			what = errno(err)
		})
		return what
	}
}

func establishedSender(t *testing.T, p *pair) func() string { return sender(t, p, there4) }

func establishedSender6(t *testing.T, p *pair) func() string { return sender(t, p, there6) }

func sender(t *testing.T, p *pair, to string) func() string {
	to = net.JoinHostPort(to, "80")
	var c net.Conn
	p.there.run(t, func() {
		l, err := net.Listen("tcp", to)
		must(t, err)
		t.Cleanup(func() { _ = l.Close() })
		go func() {
			if s, err := l.Accept(); err == nil {
				defer func() { _ = s.Close() }()
				_, _ = io.Copy(s, s)
			}
		}()
	})
	p.here.run(t, func() {
		var err error
		c, err = net.Dial("tcp", to)
		must(t, err)
	})
	t.Cleanup(func() { _ = c.Close() })
	settle(t, c)
	return func() string {
		_, err := c.Write([]byte("anybody there?"))
		must(t, err)
		_, err = c.Read(make([]byte, 1))
		return errno(err)
	}
}

// settle lets TCP measure its round trip, on which its patience depends.
func settle(t *testing.T, c net.Conn) {
	t.Helper()
	for range 50 {
		_, err := c.Write([]byte("x"))
		must(t, err)
		_, err = c.Read(make([]byte, 1))
		must(t, err)
	}
}

// eagerSender turns IP_RECVERR on, as glibc's resolver does.
func eagerSender(t *testing.T, p *pair) func() string {
	return func() (what string) {
		p.here.run(t, func() {
			c, err := net.Dial("udp", there4+":9")
			must(t, err)
			defer func() { _ = c.Close() }()
			raw, err := c.(*net.UDPConn).SyscallConn()
			must(t, err)
			must(t, raw.Control(func(fd uintptr) {
				must(t, unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_RECVERR, 1))
			}))
			for range 5 {
				_, err := c.Write([]byte("hello"))
				what += errno(err) + " "
			}
			must(t, c.SetReadDeadline(time.Now().Add(300*time.Millisecond)))
			_, err = c.Read(make([]byte, 1))
			what += fmt.Sprint(errors.Is(err, os.ErrDeadlineExceeded))
		})
		return what
	}
}

func glibcResolver(t *testing.T, p *pair) func() string {
	run := resolver(t, p.here, there4)
	return func() string { return run("www.example.com") }
}

// resolver builds a program that asks glibc, with a resolv.conf of its own.
func resolver(t *testing.T, s *space, server string) func(name string) string {
	t.Helper()
	dir := t.TempDir()
	conf, program := filepath.Join(dir, "resolv.conf"), filepath.Join(dir, "lookup")
	must(t, os.WriteFile(conf, []byte("nameserver "+server+"\noptions timeout:1 attempts:2\n"), 0o644))
	if out, err := exec.Command("gcc", "-O1", "-o", program, "testdata/lookup.c").CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v: %s", err, out)
	}
	return func(name string) string {
		script := `mount --bind "$1" /etc/resolv.conf && exec "$2" "$3"`
		out, err := s.command(t, "unshare", "-m", "sh", "-c", script, "sh", conf, program, name).CombinedOutput()
		if err != nil {
			return err.Error() + string(out)
		}
		return strings.TrimSpace(string(out))
	}
}

// goResolver asks as Go programs do, without cgo.
func goResolver(t *testing.T, p *pair) func() string {
	return func() string { return goLookup(t, p.here, there4+":53") }
}

func goLookup(t *testing.T, s *space, server string) (what string) {
	r := &net.Resolver{PreferGo: true, Dial: inSpace(s, server)}
	_, err := r.LookupHost(t.Context(), "www.example.com.")
	e, ok := errors.AsType[*net.DNSError](err)
	return fmt.Sprint(ok && e.IsTimeout, err != nil)
}
