package bpf

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"squall/agent/host/hosttest/late"
	pb "squall/proto/squall/v1"
)

// A stream is numbered datagrams that an echo server sends back.
type stream struct {
	conn net.Conn
	done chan struct{}
	both sync.WaitGroup

	mu       sync.Mutex // guards what follows
	sent     []time.Time
	answered map[uint32]time.Duration
}

// startStream sends a datagram each half millisecond.
func startStream(t testing.TB, s *space, to string) *stream {
	t.Helper()
	r := &stream{done: make(chan struct{}), answered: map[uint32]time.Duration{}}
	s.run(t, func() {
		c, err := net.Dial("udp", to)
		must(t, err)
		r.conn = c
	})
	r.both.Go(r.send)
	r.both.Go(r.receive)
	return r
}

func (r *stream) send() {
	for {
		select {
		case <-r.done:
			return
		case <-time.After(500 * time.Microsecond):
		}
		r.mu.Lock()
		n := uint32(len(r.sent))
		r.sent = append(r.sent, time.Now())
		r.mu.Unlock()
		_, _ = r.conn.Write(binary.BigEndian.AppendUint32(nil, n))
	}
}

func (r *stream) receive() {
	buf := make([]byte, 64)
	for {
		n, err := r.conn.Read(buf)
		if err != nil && n == 0 {
			return
		}
		seq := binary.BigEndian.Uint32(buf)
		r.mu.Lock()
		r.answered[seq] = time.Since(r.sent[seq])
		r.mu.Unlock()
	}
}

// stop ends the stream and says how long after an instant the first datagram
// was sent that came back within a limit; -1 is never.
func (r *stream) stop(since time.Time, limit time.Duration) time.Duration {
	close(r.done)
	time.Sleep(20 * time.Millisecond)
	_ = r.conn.Close()
	r.both.Wait()
	for i, at := range r.sent {
		if took, ok := r.answered[uint32(i)]; ok && at.After(since) && took < limit {
			return at.Sub(since)
		}
	}
	return -1
}

// startHolder starts a process that holds a fault in the namespace.
func startHolder(t testing.TB, s *space, kind string) *exec.Cmd {
	t.Helper()
	cmd := s.command(t, "/proc/self/exe", "holder", kind)
	exe, err := os.Executable()
	must(t, err)
	cmd.Args[len(cmd.Args)-3] = exe
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("holder of %s is not ready: %q", kind, line)
	}
	return cmd
}

// children finds the processes that a process started.
func children(t testing.TB, pid int) []int {
	t.Helper()
	tasks, err := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/children")
	must(t, err)
	var pids []int
	for _, f := range tasks {
		b, _ := os.ReadFile(f)
		for _, p := range strings.Fields(string(b)) {
			n, err := strconv.Atoi(p)
			must(t, err)
			pids = append(pids, n)
		}
	}
	return pids
}

// TestEndsWithItsHolder: death ends a fault at once, a hang at the lease.
func TestEndsWithItsHolder(t *testing.T) {
	tests := []struct {
		name, kind, port string
		helper           bool // the signal goes to the delay line's own process
		signal           unix.Signal
		limit            time.Duration
	}{
		{"silence, killed", "silence", "7007", false, unix.SIGKILL, 10 * time.Millisecond},
		{"silence, hung", "silence", "7007", false, unix.SIGSTOP, holdsFor + 20*time.Millisecond},
		{"dns, killed", "dns", "53", false, unix.SIGKILL, 10 * time.Millisecond},
		{"dns, hung", "dns", "53", false, unix.SIGSTOP, holdsFor + 20*time.Millisecond},
		{"delay, worker killed", "delay", "7007", false, unix.SIGKILL, 20 * time.Millisecond},
		{"delay, worker hung", "delay", "7007", false, unix.SIGSTOP, holdsFor + 20*time.Millisecond},
		{"delay, line killed", "delay", "7007", true, unix.SIGKILL, 20 * time.Millisecond},
		{"delay, line hung", "delay", "7007", true, unix.SIGSTOP, 250 * time.Millisecond},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPair(t)
			to := net.JoinHostPort(there4, tt.port)
			p.there.listenUDP(t, to)
			late.Excuse(t, lateBy, func() string {
				watch := late.Begin(t)
				took := endAfter(t, p.here, to, tt.kind, tt.helper, tt.signal)
				t.Logf("ended after %v", took)
				if took < 0 {
					return "it did not end"
				}
				// The killed have to be given a processor to die, and the sender one to see it.
				return above("its end", took, tt.limit+2*watch.Worst())
			})
		})
	}
}

// endAfter is how long after a signal to a fault's holder, or to its helper,
// the first packet is sent that passes.
func endAfter(t testing.TB, s *space, to, kind string, helper bool, signal unix.Signal) time.Duration {
	t.Helper()
	cmd := startHolder(t, s, kind)
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	pid := cmd.Process.Pid
	if helper {
		pid = children(t, pid)[0]
	}
	r := startStream(t, s, to)
	time.Sleep(150 * time.Millisecond)
	at := time.Now()
	must(t, unix.Kill(pid, signal))
	time.Sleep(350 * time.Millisecond)
	return r.stop(at, 50*time.Millisecond)
}

// holdsFor is the lease of holders.
const holdsFor = 200 * time.Millisecond

// TestActsFromStartToEnd: the programs themselves look at the clock.
func TestActsFromStartToEnd(t *testing.T) {
	p, loader := newPair(t), newLoader(t)
	to := net.JoinHostPort(there4, echoPort)
	p.there.listenUDP(t, to)
	roundTrips(t, p.here, to, 3)
	late.Excuse(t, lateBy, func() string { return startToEnd(t, p, loader, to) })
}

// startToEnd sends over the start and the end of a silence and says what passed
// when it should not, or did not when it should.
func startToEnd(t *testing.T, p *pair, loader *Loader, to string) (wrong string) {
	t.Helper()
	start, end := loader.Boot()+500*time.Millisecond, loader.Boot()+800*time.Millisecond
	a := attachIn(t, p.here, func() (Attachment, error) {
		return loader.Silence(&pb.Gate{
			StartBootNanos: int64(start), EndBootNanos: int64(end), IgnoreLease: true,
		}, &pb.Silence{}, nil)
	})
	r := startStream(t, p.here, to)
	time.Sleep(end - loader.Boot() + 50*time.Millisecond)
	at := time.Now().Add(end - loader.Boot())
	if after := r.stop(at, 50*time.Millisecond); after < 0 || after > 5*time.Millisecond {
		wrong += fmt.Sprintf("first answer %v after the end; ", after)
	}
	early := time.Now().Add(start - loader.Boot())
	for i, sent := range r.sent {
		_, ok := r.answered[uint32(i)]
		inside := sent.After(early.Add(time.Millisecond)) && sent.Before(at.Add(-time.Millisecond))
		if before := sent.Before(early.Add(-10 * time.Millisecond)); ok && inside || !ok && before {
			wrong += fmt.Sprintf("datagram sent %v after the start: answered %v; ", sent.Sub(early), ok)
		}
	}
	n, err := a.Counters()
	if err != nil || n["dropped_out"] == 0 || n["passed"] != 0 {
		wrong += fmt.Sprintf("counters %v, %v", n, err)
	}
	must(t, a.Close())
	return wrong
}

// TestLeaseIsTheFaultsOwn: another fault's lease doesn't hold it, and its own may
// move back.
func TestLeaseIsTheFaultsOwn(t *testing.T) {
	p, loader := newPair(t), newLoader(t)
	to := net.JoinHostPort(there4, echoPort)
	p.there.listenUDP(t, to)
	roundTrips(t, p.here, to, 3)
	leased := &pb.Gate{EndBootNanos: int64(loader.Boot() + time.Minute)}
	silence := attachIn(t, p.here, func() (Attachment, error) { return loader.Silence(leased, &pb.Silence{}, nil) })
	other := attachIn(t, p.here, func() (Attachment, error) { return loader.DropDNS(leased, &pb.DropDNS{SharePpm: wholePPM}) })
	roundTrips(t, p.here, to, 3) // no lease, no fault
	other.Renew(loader.Boot() + time.Minute)
	roundTrips(t, p.here, to, 3)
	late.Excuse(t, lateBy, func() string {
		silence.Renew(loader.Boot() + time.Minute)
		at := time.Now()
		silence.Renew(loader.Boot() + 300*time.Millisecond)
		r := startStream(t, p.here, to)
		time.Sleep(400 * time.Millisecond)
		took := r.stop(at, 50*time.Millisecond)
		if took < 290*time.Millisecond {
			return fmt.Sprintf("silence ended after %v, want 300ms", took)
		}
		return above("silence", took, 320*time.Millisecond)
	})
}

// TestBootTimeIsTheKernels: a time namespace moves the process's, not the programs'.
func TestBootTimeIsTheKernels(t *testing.T) {
	loader := newLoader(t)
	if loader.BootOffset() != 0 {
		t.Errorf("offset %v without a time namespace", loader.BootOffset())
	}
	exe, err := os.Executable()
	must(t, err)
	out, err := exec.Command("unshare", "--time", "--boottime", "1000", "--fork", exe, "offset", "-").CombinedOutput()
	if err != nil || string(out) != "-16m40s\n" {
		t.Errorf("in a time namespace: %s %v", out, err)
	}
}
