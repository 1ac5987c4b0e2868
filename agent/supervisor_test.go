package agent

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"squall/agent/host"
	"squall/agent/host/hosttest"
	"squall/agent/process"
	"squall/agent/undo"
	"squall/agent/undo/undotest"
	pb "squall/proto/squall/v1"
)

// errDead is what a killed worker's calls get: nothing it does reaches the host.
var errDead = errors.New("this worker is dead")

// mortal is a host as one worker sees it, until it is killed.
type mortal struct {
	host.Host
	mu   sync.Mutex // guards dead
	dead bool
}

func (m *mortal) gone() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.dead
}

// hook keeps a dead worker from writing: its goroutines end where they are.
func (m *mortal) hook(string) {
	if m.gone() {
		runtime.Goexit()
	}
}

func (m *mortal) Do(ctx context.Context, op *pb.Op, armed func()) error {
	if m.gone() {
		return errDead
	}
	return m.Host.Do(ctx, op, armed)
}

func (m *mortal) Leftovers(ctx context.Context, held []string) ([]string, error) {
	if m.gone() {
		return nil, errDead
	}
	return m.Host.Leftovers(ctx, held)
}

// life is a worker in a goroutine: a Child that can be killed or can hang.
type life struct {
	net.Conn
	inside net.Conn
	mortal *mortal
	fake   *hosttest.Fake
	cancel context.CancelFunc
	dead   chan struct{}
	// stuck is whether the kernel keeps it from dying.
	stuck atomic.Bool
}

func (l *life) Kill() error {
	l.mortal.mu.Lock()
	was := l.mortal.dead
	l.mortal.dead = true
	l.mortal.mu.Unlock()
	if !was {
		select {
		case <-l.dead:
		default:
			l.fake.Crash()
		}
	}
	l.inside.Close()
	l.cancel()
	return nil
}

// hang kills a worker that the kernel keeps from dying.
func (l *life) hang() {
	l.stuck.Store(true)
	_ = l.Kill()
}

func (l *life) Dead() <-chan struct{} {
	if l.stuck.Load() {
		return nil
	}
	return l.dead
}

func (l *life) Processor() (wants bool, had time.Duration) { return false, 0 }

// couple is a supervisor with workers on one fake host.
type couple struct {
	t    *testing.T
	fake *hosttest.Fake
	dir  string

	mu    sync.Mutex // guards lives and wrap
	lives []*life
	// wrap changes what the next worker is given as its pipe.
	wrap  func(net.Conn) net.Conn
	stop  context.CancelFunc
	done  chan struct{}
	local *memory
	disk  *undotest.Disk
	// lock has a token in it while nobody writes the disk.
	lock chan struct{}
}

func marry(t *testing.T, test func(*couple)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		c := &couple{t: t, fake: hosttest.NewFake(testConfig()), dir: dir, done: make(chan struct{}), local: newMemory()}
		c.disk, c.lock = undotest.NewDisk(), make(chan struct{}, 1)
		c.lock <- struct{}{}
		defer c.disk.Thaw()
		log := slog.New(slog.DiscardHandler)
		ctx, cancel := context.WithCancel(context.Background())
		c.stop = cancel
		s := &process.Supervisor{
			Start: c.start, Boot: c.fake.Boot, Lease: StandaloneLease, Log: log,
			Recover: func(ctx context.Context, cause pb.RevertCause) error {
				return Recover(ctx, c.fake, dir, c.options(), cause, log)
			},
		}
		go func() { defer close(c.done); _ = s.Run(ctx) }()
		defer func() { cancel(); <-c.done }()
		time.Sleep(100 * time.Millisecond)
		test(c)
	})
}

func (c *couple) options() undo.Options {
	return undo.Options{
		BootID: "fake-boot", Size: 1 << 20, Disk: c.disk, Mirror: filepath.Join(c.dir, "mirror"), Own: c.own,
	}
}

// own is the lock on the journal's disk: a thread that hangs there holds it.
func (c *couple) own(ctx context.Context) (io.Closer, error) {
	select {
	case <-c.lock:
		return giveBack(c.lock), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

type giveBack chan struct{}

func (g giveBack) Close() error { g <- struct{}{}; return nil }

func (c *couple) start(context.Context) (process.Child, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	outside, inside := net.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	l := &life{
		Conn: outside, inside: inside, mortal: &mortal{Host: c.fake}, fake: c.fake, cancel: cancel,
		dead: make(chan struct{}),
	}
	pipe := inside
	if c.wrap != nil {
		pipe, c.wrap = c.wrap(inside), nil
	}
	w := &Worker{
		Config: testConfig(), Host: l.mortal, Journal: c.dir, Options: c.options(), Pipe: pipe, Supervisor: idle{},
		Local: c.local.listen(), Log: slog.New(slog.DiscardHandler),
	}
	w.Options.Hook = l.mortal.hook
	go func() { defer close(l.dead); defer cancel(); _ = w.Run(ctx) }()
	c.lives = append(c.lives, l)
	return l, nil
}

// life is the nth worker, from 0.
func (c *couple) life(n int) *life {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if n >= len(c.lives) {
		c.t.Fatalf("%d workers, want one more", len(c.lives))
	}
	return c.lives[n]
}

// inject holds a power cut on the fake.
func (c *couple) inject() {
	c.t.Helper()
	client, done := c.local.dial(c.t)
	defer done()
	answer, err := client.Inject(context.Background(), &pb.LocalInjectRequest{
		Run: "r", ForNanos: int64(time.Hour), Fault: &pb.Fault{Kind: &pb.Fault_PowerOff{PowerOff: &pb.PowerOff{}}},
	})
	if err != nil || answer.GetStep().GetState() != held {
		c.t.Fatalf("inject: %v, %v", answer, err)
	}
	c.wantRunning(false)
}

func (c *couple) status() *pb.LocalStatusResponse {
	c.t.Helper()
	client, done := c.local.dial(c.t)
	defer done()
	s, err := client.Status(context.Background(), &pb.LocalStatusRequest{})
	if err != nil {
		c.t.Fatal(err)
	}
	return s
}

func (c *couple) wantRunning(running bool) {
	c.t.Helper()
	if c.fake.Runs("web") != running {
		c.t.Fatalf("web runs: %v; acting: %v", !running, c.fake.Acting())
	}
}

func (c *couple) wantEnded(cause pb.RevertCause) {
	c.t.Helper()
	c.wantRunning(true)
	if acting := c.fake.Acting(); len(acting) > 0 {
		c.t.Fatalf("acting: %v", acting)
	}
	steps := c.status().GetSteps()
	if len(steps) != 1 || steps[0].GetState() != reverted || steps[0].GetCause() != cause {
		c.t.Fatalf("steps: %v", steps)
	}
}

func TestRevertAfterWorkerIsKilled(t *testing.T) {
	marry(t, func(c *couple) {
		c.inject()
		_ = c.life(0).Kill()
		time.Sleep(500 * time.Millisecond)
		c.wantEnded(pb.RevertCause_REVERT_CAUSE_CRASH)
		c.life(1)
	})
}

// A worker that hangs in the kernel with a frozen disk is killed and does not
// die: the supervisor reverts from the mirror, and the next worker begins.
func TestWorkerStuckWithAFrozenDiskIsNotWaitedFor(t *testing.T) {
	marry(t, func(c *couple) {
		c.inject()
		stuck := c.life(0)
		stuck.stuck.Store(true)
		c.disk.Freeze(nil)
		client, done := c.local.dial(t)
		defer done()
		_, err := client.Inject(context.Background(), &pb.LocalInjectRequest{
			Run: "more", ForNanos: int64(time.Hour), Fault: &pb.Fault{Kind: &pb.Fault_DnsFail{DnsFail: &pb.DNSFail{}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range c.fake.Events() {
			if e.What == "attach" && strings.Contains(e.Name, "more") {
				t.Errorf("injected without a disk: %v", e)
			}
		}
		time.Sleep(100 * time.Millisecond) // that it was refused is written soon, and hangs
		_ = stuck.Kill()
		time.Sleep(3 * time.Second)
		c.wantRunning(true)
		if acting := c.fake.Acting(); len(acting) > 0 {
			t.Fatalf("acting: %v", acting)
		}
		c.life(1)
		answer, err := client.Halt(context.Background(), &pb.LocalHaltRequest{Reason: "enough"})
		if err != nil || !answer.GetHalt().GetEngaged() {
			t.Errorf("halt without a disk: %v, %v", answer, err)
		}
		c.disk.Thaw()
		time.Sleep(3 * time.Second)
		for _, s := range c.status().GetSteps() {
			if s.GetState() != reverted && s.GetState() != pb.StepState_STEP_STATE_REFUSED {
				t.Errorf("with the disk back: %v", s)
			}
		}
	})
}

// TestWorkerThatBeganByItsMirrorTakesUpTheDisk holds that a host whose disk hung
// for a while takes faults again by itself: nobody has to start its agent anew.
func TestWorkerThatBeganByItsMirrorTakesUpTheDisk(t *testing.T) {
	marry(t, func(c *couple) {
		c.inject()
		c.disk.Freeze(func(undotest.Op) bool { return true })
		_ = c.life(0).Kill()
		time.Sleep(3 * time.Second)
		c.life(1)
		client, done := c.local.dial(t)
		defer done()
		inject := func(run string) *pb.LocalInjectResponse {
			answer, err := client.Inject(context.Background(), &pb.LocalInjectRequest{
				Run: run, ForNanos: int64(time.Hour), Fault: &pb.Fault{Kind: &pb.Fault_PowerOff{PowerOff: &pb.PowerOff{}}},
			})
			if err != nil {
				t.Fatal(err)
			}
			return answer
		}
		if answer := inject("frozen"); answer.GetRefused() == nil {
			t.Fatalf("a fault without a disk: %v", answer)
		}
		c.disk.Thaw()
		time.Sleep(3 * time.Second)
		if answer := inject("thawed"); answer.GetStep().GetState() != held {
			t.Errorf("with the disk back: %v", answer)
		}
		c.wantRunning(false)
		if lines := c.status().GetUnrecorded(); len(lines) > 0 {
			t.Errorf("the disk lacks %q", lines)
		}
	})
}

// deaf is a pipe whose worker hears and says nothing once it is stopped.
type deaf struct {
	net.Conn
	mu      sync.Mutex // guards stopped
	stopped bool
}

func (d *deaf) Write(b []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopped {
		return len(b), nil
	}
	return d.Conn.Write(b)
}

func (d *deaf) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stopped = true
}

// rewire puts something into the pipe of the next worker, and ends this one.
func (c *couple) rewire(wrap func(net.Conn) net.Conn) {
	c.mu.Lock()
	c.wrap = wrap
	c.mu.Unlock()
	_ = c.life(0).Kill()
}

func TestSilentWorkerIsEndedAndReverted(t *testing.T) {
	marry(t, func(c *couple) {
		pipe := &deaf{}
		c.rewire(func(inner net.Conn) net.Conn { pipe.Conn = inner; return pipe })
		time.Sleep(time.Second)
		c.inject()
		pipe.stop()
		time.Sleep(800 * time.Millisecond)
		if c.life(1).mortal.gone() {
			t.Error("ended before a second of silence")
		}
		time.Sleep(time.Second)
		c.wantEnded(pb.RevertCause_REVERT_CAUSE_CRASH)
	})
}

func TestSilentIdleWorkerIsEnded(t *testing.T) {
	marry(t, func(c *couple) {
		pipe := &deaf{}
		c.rewire(func(inner net.Conn) net.Conn { pipe.Conn = inner; return pipe })
		time.Sleep(5 * time.Second)
		pipe.stop()
		time.Sleep(2 * time.Second)
		if c.life(1).mortal.gone() {
			t.Error("ended after two seconds, though nothing was open")
		}
		time.Sleep(4 * time.Second)
		if !c.life(1).mortal.gone() {
			t.Error("not ended after six seconds of silence")
		}
	})
}

// diary notes the pace of each beat that a worker writes.
type diary struct {
	net.Conn
	mu    sync.Mutex // guards paces
	paces []time.Duration
}

func (d *diary) Write(b []byte) (int, error) {
	if beat := new(pb.Beat); proto.Unmarshal(b[2:], beat) == nil { // after its length
		d.mu.Lock()
		d.paces = append(d.paces, time.Duration(beat.GetPaceNanos()))
		d.mu.Unlock()
	}
	return d.Conn.Write(b)
}

// since is what was noted after the first n beats.
func (d *diary) since(n int) []time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.paces[n:])
}

func TestBeatsAreBriskWhileAnythingIsOpen(t *testing.T) {
	marry(t, func(c *couple) {
		d := &diary{}
		c.rewire(func(inner net.Conn) net.Conn { d.Conn = inner; return d })
		time.Sleep(time.Second)
		idle := len(d.since(0))
		time.Sleep(10 * time.Second)
		if paces := d.since(idle); len(paces) > 11 || slices.Contains(paces, 250*time.Millisecond) {
			t.Errorf("ten idle seconds took %d beats: %v", len(paces), paces)
		}
		c.inject()
		held := len(d.since(0))
		time.Sleep(10 * time.Second)
		if paces := d.since(held); len(paces) < 39 || slices.Contains(paces, time.Second) {
			t.Errorf("ten seconds with a step took %d beats: %v", len(paces), paces)
		}
	})
}

func TestWorkerWithoutSupervisorRevertsAndEnds(t *testing.T) {
	marry(t, func(c *couple) {
		c.inject()
		c.stop() // the supervisor closes its end of the pipe
		<-c.done
		c.wantRunning(true)
		if acting := c.fake.Acting(); len(acting) > 0 {
			t.Errorf("acting: %v", acting)
		}
		select {
		case <-c.life(0).dead:
		default:
			t.Error("the worker lives on")
		}
	})
}

func TestStandaloneStepOutlivesItsLease(t *testing.T) {
	marry(t, func(c *couple) {
		c.inject()
		time.Sleep(10 * StandaloneLease)
		c.wantRunning(false)
		if left := time.Duration(c.status().GetLeaseLeftNanos()); left < StandaloneLease/2 {
			t.Errorf("lease left: %s", left)
		}
	})
}
