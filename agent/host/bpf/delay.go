package bpf

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
)

const (
	armTimeout   = 15 * time.Second       // for a delay line to be armed: 0.1 s an interface, at worst
	replyTimeout = time.Second            // for its counters
	endTimeout   = 500 * time.Millisecond // for it to end by itself
)

// Delay is a delay line in a process of its own. It is killed with the thread
// that started it, and ends by itself when its standard input closes.
type Delay struct {
	cmd    *exec.Cmd
	in     writer
	out    *os.File
	stderr bytes.Buffer
	done   chan struct{} // closed when the process has ended
	lease  *mappedValue

	mu    sync.Mutex // guards the conversation and what follows
	reply *bufio.Reader
	// begun is the answer that a timeout cut; owed counts those that are to come.
	begun  []byte
	owed   int
	closed bool
	last   map[string]uint64
}

// writer is a pipe to write to that keeps nobody waiting.
type writer interface {
	io.WriteCloser
	SetWriteDeadline(until time.Time) error
}

// Delay starts the delay line in a process of its own and returns when it is
// armed, as a *Delay. Counters: delayed_out, delayed_in, exempt, expired
// (passed because the line was late), stale and lost packets.
func (l *Loader) Delay(g *pb.Gate, op *pb.DelayLine) (Attachment, error) {
	order, err := proto.Marshal(&pb.Op{Kind: &pb.Op_DelayLine{DelayLine: op}, Gate: g})
	if err != nil {
		return nil, fmt.Errorf("delay line: %w", err)
	}
	d, err := l.startLine()
	if err != nil {
		return nil, fmt.Errorf("delay line: %w", err)
	}
	if err := d.arm(LineOrder{Op: order, BootOffset: l.offset, Token: l.token}); err != nil {
		return nil, fmt.Errorf("delay line: %w", errors.Join(err, d.Close()))
	}
	return d, nil
}

// Pid is the delay line's process.
func (d *Delay) Pid() int { return d.cmd.Process.Pid }

// Done is closed when the delay line has ended, for whatever reason.
func (d *Delay) Done() <-chan struct{} { return d.done }

// Cause is why it has ended without being closed; nil while it has not ended.
func (d *Delay) Cause() error {
	select {
	case <-d.done:
		return fmt.Errorf("its process ended (%s): %s", d.cmd.ProcessState, bytes.TrimSpace(d.stderr.Bytes()))
	default:
		return nil
	}
}

// Counters implements Attachment.
func (d *Delay) Counters() (map[string]uint64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return d.last, nil
	}
	return d.ask(struct{}{}, replyTimeout)
}

// Close implements Attachment. Packets still held are sent at once.
func (d *Delay) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil
	}
	d.last, _ = d.ask(struct{}{}, replyTimeout/10) // it may be dead, and that is fine
	d.closed = true
	_ = d.in.Close() // the process may be gone already
	select {
	case <-d.done:
	case <-time.After(endTimeout):
		_ = d.cmd.Process.Kill()
		<-d.done
	}
	return errors.Join(d.out.Close(), d.lease.close())
}

// Renew implements Attachment.
func (d *Delay) Renew(until time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.closed {
		d.lease.set(until)
	}
}

// arm sends the order and waits for the answer.
func (d *Delay) arm(o LineOrder) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, err := d.ask(o, armTimeout)
	return err
}

// ask sends one line and reads the answer. The caller holds the mutex. An answer
// that comes later than timeout is passed over by the next.
func (d *Delay) ask(line any, timeout time.Duration) (map[string]uint64, error) {
	until := time.Now().Add(timeout)
	if err := errors.Join(d.say(line, until), d.out.SetReadDeadline(until)); err != nil {
		return nil, d.ended(err)
	}
	var answer []byte
	for ; d.owed > 0; d.owed-- {
		var err error
		if answer, err = d.hear(); err != nil {
			return nil, d.ended(err)
		}
	}
	var r LineReport
	if err := json.Unmarshal(answer, &r); err != nil {
		return nil, d.ended(err)
	}
	switch {
	case r.Unsupported:
		return nil, fmt.Errorf("%w: %s", ErrUnsupported, r.Error)
	case r.Error != "":
		return nil, errors.New(r.Error)
	}
	return r.Counters, nil
}

// say sends one line. One that went out in part ends the conversation.
func (d *Delay) say(line any, until time.Time) error {
	if err := d.in.SetWriteDeadline(until); err != nil {
		return err
	}
	d.owed++
	return json.NewEncoder(d.in).Encode(line)
}

// hear reads one line, and goes on with one that a timeout cut.
func (d *Delay) hear() ([]byte, error) {
	part, err := d.reply.ReadBytes('\n')
	d.begun = append(d.begun, part...)
	if err != nil {
		return nil, err
	}
	line := d.begun
	d.begun = nil
	return line, nil
}

// ended adds what a dead process said last.
func (d *Delay) ended(err error) error {
	select {
	case <-d.done:
		return fmt.Errorf("helper ended (%s): %w: %s", d.cmd.ProcessState, err, d.stderr.Bytes())
	default:
		return fmt.Errorf("ask the helper: %w", err)
	}
}

// startLine starts the helper in the caller's network namespace.
func (l *Loader) startLine() (*Delay, error) {
	netns, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, fmt.Errorf("open the network namespace: %w", err)
	}
	defer netns.Close()
	d := &Delay{cmd: exec.Command("/proc/self/exe", "helper", "delay-line"), done: make(chan struct{})}
	lease, err := d.openLease()
	if err != nil {
		return nil, err
	}
	defer lease.Close()
	servers, err := share(l.servers, "the set of servers")
	if err != nil {
		return nil, errors.Join(err, d.lease.close())
	}
	defer servers.Close()
	d.cmd.ExtraFiles = []*os.File{lease, servers} // lineLease, lineServers
	d.cmd.Stderr = &d.stderr
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	theirs, err := d.pipes()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	started := make(chan error)
	go d.keep(netns, started)
	if err := <-started; err != nil {
		return nil, errors.Join(err, d.in.Close(), d.out.Close())
	}
	return d, nil
}

// keep starts the process and waits for it on one thread, whose death is what
// kills the process: it must not end before this one does.
func (d *Delay) keep(netns *os.File, started chan<- error) {
	runtime.LockOSThread()
	defer close(d.done)
	if err := unix.Setns(int(netns.Fd()), unix.CLONE_NEWNET); err != nil {
		started <- fmt.Errorf("enter the network namespace: %w", err)
		return
	}
	err := d.cmd.Start()
	started <- err
	if err == nil {
		_ = d.cmd.Wait() // its end is in ProcessState
	}
}

// pipes connects the process's standard input and output. It returns the
// process's end of its output, to be closed once it has started.
func (d *Delay) pipes() (*os.File, error) {
	in, err := d.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	d.in = in.(writer)
	r, w, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, in.Close())
	}
	d.out, d.reply = r, bufio.NewReader(r)
	d.cmd.Stdout = w
	return w, nil
}

// leaseSpec is the lease map of a fault whose programs another process loads.
var leaseSpec = ebpf.MapSpec{
	Name: "lease", Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1, Flags: unix.BPF_F_MMAPABLE,
}

// openLease makes the lease map, maps it, and gives it as a file to inherit.
func (d *Delay) openLease() (*os.File, error) {
	m, err := ebpf.NewMap(&leaseSpec)
	if err != nil {
		return nil, missing("make a lease", err)
	}
	defer m.Close()
	if d.lease, err = mapValue(m); err != nil {
		return nil, err
	}
	f, err := share(m, "the lease")
	if err != nil {
		return nil, errors.Join(err, d.lease.close())
	}
	return f, nil
}
