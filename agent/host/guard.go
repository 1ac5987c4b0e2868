package host

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// GuardRole is the child role that thaws what its parent has frozen, when that
// dies or hangs.
const GuardRole = "guard"

const (
	// guardStart is how long a guard may take until it is ready.
	guardStart = 5 * time.Second
	// guardPatience is how long after the gate has closed a guard leaves it to its
	// parent to thaw.
	guardPatience = 500 * time.Millisecond
	// guardNap bounds a guard's sleep, because a suspended machine's timers are late.
	guardNap = time.Second
	// guardRetry is how long a guard waits before it tries again.
	guardRetry = 50 * time.Millisecond
	// guardLease is the descriptor by which a guard inherits the lease.
	guardLease = 3
	// guardReady is what it says when it is there.
	guardReady = "ready\n"
)

// guardOrder is what a guard is told, once.
type guardOrder struct {
	// Tag is that of the freeze.
	Tag string
	// Cgroups are relative to the v2 mount.
	Cgroups []string
	// End is when its gate closes whatever the lease says, in boot time, and Offset
	// that of boot times in gates from those that a process reads; both nanoseconds.
	End, Offset int64
	// IgnoreLease says that the end alone counts.
	IgnoreLease bool
}

// guard is the second holder of a freeze: nothing in the kernel ends one, so a
// process of its own thaws when this one dies, or lets its gate close unattended.
// When the guard dies, this one thaws.
type guard struct {
	child *Child
	in    *os.File
	lease *sharedLease
	// done is closed when it has ended.
	done chan struct{}
	end  func() error
}

// startGuard starts a guard under a lease, and returns when it is ready.
func startGuard(ctx context.Context, o guardOrder, lease time.Duration) (*guard, error) {
	g, out, err := newGuard(ctx)
	if err != nil {
		return nil, fmt.Errorf("start the guard of a freeze: %w", err)
	}
	defer out.Close()
	g.lease.set(lease)
	if err := g.brief(ctx, o, out); err != nil {
		return nil, fmt.Errorf("start the guard of a freeze: %w", errors.Join(err, g.Close()))
	}
	return g, nil
}

// newGuard starts the process; out is what it says.
func newGuard(ctx context.Context) (_ *guard, out *os.File, err error) {
	lease, file, err := newSharedLease()
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	theirs, in, err := os.Pipe()
	if err != nil {
		return nil, nil, errors.Join(err, lease.close())
	}
	defer theirs.Close()
	out, said, err := os.Pipe()
	if err != nil {
		return nil, nil, errors.Join(err, in.Close(), lease.close())
	}
	defer said.Close()
	child, err := StartSelf(ctx, []string{helperRole, GuardRole}, ChildOptions{
		Files: []*os.File{file}, In: theirs, Out: said, Session: true,
	})
	if err != nil {
		return nil, nil, errors.Join(err, in.Close(), out.Close(), lease.close())
	}
	g := &guard{child: child, in: in, lease: lease, done: make(chan struct{})}
	g.end = sync.OnceValue(g.release)
	go func() {
		defer close(g.done)
		_ = child.Wait(context.Background()) // how it ends doesn't matter
	}()
	return g, out, nil
}

// brief tells a guard what it guards, and waits until it is ready.
func (g *guard) brief(ctx context.Context, o guardOrder, out *os.File) error {
	until := time.Now().Add(guardStart)
	stop := context.AfterFunc(ctx, func() { _ = out.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := errors.Join(out.SetReadDeadline(until), g.in.SetWriteDeadline(until)); err != nil {
		return err
	}
	if err := json.NewEncoder(g.in).Encode(o); err != nil {
		return err
	}
	said, err := bufio.NewReader(out).ReadString('\n')
	if err == nil && said != guardReady {
		err = fmt.Errorf("it said %q", strings.TrimSpace(said))
	}
	return errors.Join(err, ctx.Err())
}

// Close ends the guard, and returns when it has ended. It may be called again.
func (g *guard) Close() error { return g.end() }

// release kills it: where its parent lives, that has thawed.
func (g *guard) release() error {
	err := errors.Join(g.child.Kill(), g.in.Close())
	patience := time.NewTimer(guardStart)
	defer patience.Stop()
	select {
	case <-g.done:
	case <-patience.C:
		err = errors.Join(err, fmt.Errorf("end guard %d: it was killed and does not die", g.child.Pid))
	}
	return errors.Join(err, g.child.Close(), g.lease.close())
}

// sharedLease is a boot time that two processes share, in memory.
type sharedLease struct {
	mu  sync.Mutex // guards mem
	mem []byte     // nil once it is closed
}

// newSharedLease makes one that has run out, and the file by which a child
// inherits it.
func newSharedLease() (*sharedLease, *os.File, error) {
	fd, err := unix.MemfdCreate("squall-lease", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, nil, fmt.Errorf("make a lease: %w", err)
	}
	file := os.NewFile(uintptr(fd), "lease")
	if err := unix.Ftruncate(fd, int64(unsafe.Sizeof(int64(0)))); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("make a lease: %w", err), file.Close())
	}
	l, err := mapLease(fd)
	if err != nil {
		return nil, nil, errors.Join(err, file.Close())
	}
	return l, file, nil
}

// mapLease maps the lease of a file.
func mapLease(fd int) (*sharedLease, error) {
	mem, err := unix.Mmap(fd, 0, int(unsafe.Sizeof(int64(0))), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	return &sharedLease{mem: mem}, wrap(err, "map a lease")
}

func (l *sharedLease) at() *atomic.Int64 { return (*atomic.Int64)(unsafe.Pointer(&l.mem[0])) }

func (l *sharedLease) set(until time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mem != nil {
		l.at().Store(int64(until))
	}
}

func (l *sharedLease) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	mem := l.mem
	l.mem = nil
	return wrap(unix.Munmap(mem), "unmap a lease")
}

// Guard plays GuardRole: it reads its order from in, says on out that it is
// ready, and thaws when in closes or the gate has closed. It ends when everything
// runs. Signals that ask it to end don't: its input does.
func Guard(in io.Reader, out io.Writer) error {
	signal.Ignore(unix.SIGTERM, unix.SIGINT, unix.SIGHUP)
	var o guardOrder
	orders := json.NewDecoder(in)
	if err := orders.Decode(&o); err != nil {
		return fmt.Errorf("read what to guard: %w", err)
	}
	c, err := openCgroups()
	if err != nil {
		return err
	}
	lease, err := mapLease(guardLease)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(out, guardReady); err != nil {
		return fmt.Errorf("say that it is ready: %w", err)
	}
	orphaned := make(chan struct{})
	go func() {
		defer close(orphaned)
		_, _ = io.Copy(io.Discard, in)
	}()
	for o.left(lease) > 0 && !within(orphaned, min(o.left(lease), guardNap)) {
	}
	for o.thaw(c) != nil {
		time.Sleep(guardRetry)
	}
	return nil
}

// thaw lets run again what was frozen under its tag.
func (o guardOrder) thaw(c cgroups) error {
	return each(context.Background(), o.Cgroups, func(_ context.Context, cgroup string) error {
		return c.thaw(cgroup, o.Tag)
	})
}

// left is how long a guard has to wait unless its parent dies.
func (o guardOrder) left(lease *sharedLease) time.Duration {
	closes := o.End
	if !o.IgnoreLease {
		closes = min(closes, lease.at().Load())
	}
	return time.Duration(min(closes, math.MaxInt64/2)-o.Offset) + guardPatience - BootTime()
}

// within tells whether a channel is closed within a time.
func within(closed <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-closed:
		return true
	case <-timer.C:
		return false
	}
}
