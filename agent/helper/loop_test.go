package helper

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"squall/agent/host/bpf"
	"squall/agent/host/hosttest/late"
)

// A clockwork is a line whose clock stands still until it is wound, and that a
// test can put forward.
type clockwork struct {
	mu      sync.Mutex // guards what follows
	wound   time.Time
	ahead   time.Duration
	beats   []time.Duration
	passing bool
}

func (c *clockwork) Boot() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wound.IsZero() {
		return time.Minute + c.ahead
	}
	return time.Minute + time.Since(c.wound) + c.ahead
}

// wind lets the clock go on by itself.
func (c *clockwork) wind() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wound = time.Now()
}

// beaten are the beats so far.
func (c *clockwork) beaten() []time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.beats)
}

func (c *clockwork) Beat(time.Duration) {
	now := c.Boot()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.beats, c.passing = append(c.beats, now), false
}

func (c *clockwork) Pass() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.passing = true
}

// jump puts the clock forward, as if the loop had hung meanwhile.
func (c *clockwork) jump(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

// A bench is a loop and the other end of its TAP.
type bench struct {
	*loop
	line *clockwork
	far  int
}

// newBench makes a loop that is not running.
func newBench(t *testing.T, delay time.Duration) *bench {
	t.Helper()
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(ends[0]); _ = unix.Close(ends[1]) })
	for _, fd := range ends {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 4<<20); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.SetNonblock(ends[0], true); err != nil {
		t.Fatal(err)
	}
	limit := unix.Timeval{Sec: 5}
	if err := unix.SetsockoptTimeval(ends[1], unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit); err != nil {
		t.Fatal(err)
	}
	line := &clockwork{}
	return &bench{&loop{line: line, tap: ends[0], delay: delay}, line, ends[1]}
}

// start runs the loop, until the test ends at the latest. The returned function
// stops it and returns its error.
func (b *bench) start(t *testing.T) (stop func() error) {
	b.line.wind()
	ended := make(chan error, 1)
	go func() { ended <- b.run() }()
	stop = sync.OnceValue(func() error {
		b.stop.Store(true)
		return <-ended
	})
	t.Cleanup(func() { _ = stop() })
	return stop
}

// turnedOff puts a numbered frame into the TAP, as turned off at an instant.
func (b *bench) turnedOff(t *testing.T, at time.Duration, number uint32) {
	t.Helper()
	frame := make([]byte, 10, 64) // a header
	frame = binary.NativeEndian.AppendUint64(frame, uint64(at))
	frame = binary.NativeEndian.AppendUint32(frame, 7)
	frame = append(frame, "to:tofr:from\x08\x00"...)
	b.write(t, binary.BigEndian.AppendUint32(frame, number))
}

func (b *bench) write(t *testing.T, frame []byte) {
	t.Helper()
	_, err := unix.Write(b.far, frame)
	for errors.Is(err, unix.EINTR) {
		_, err = unix.Write(b.far, frame)
	}
	if err != nil {
		t.Error(err)
	}
}

// sent waits for the next frame that comes back, and returns its number.
func (b *bench) sent() (uint32, error) {
	frame := make([]byte, 256)
	n, err := unix.Read(b.far, frame)
	for errors.Is(err, unix.EINTR) {
		n, err = unix.Read(b.far, frame)
	}
	if err != nil || n < 4 {
		return 0, fmt.Errorf("%d bytes came back: %w", n, err)
	}
	return binary.BigEndian.Uint32(frame[n-4:]), nil
}

// unlessHung tries what needs a loop that runs. Where the machine keeps it from
// running, it is tried again, for it can only make things later; a gate must see
// it in time once.
func unlessHung(t *testing.T, try func(*testing.T) (hung time.Duration)) {
	t.Helper()
	const tries = 10
	for range tries {
		hung := try(t)
		if hung <= beatAhead {
			return
		}
		t.Logf("the machine was too busy: the loop hung for %v", hung)
	}
	t.Fatalf("the loop hung in each of %d tries", tries)
}

// TestFrameLeavesWhenItIsDue: counted from when it was turned off, however late
// it was read.
func TestFrameLeavesWhenItIsDue(t *testing.T) { unlessHung(t, frameLeaves) }

func frameLeaves(t *testing.T) (hung time.Duration) {
	t.Helper()
	const delay, old = 50 * time.Millisecond, 20 * time.Millisecond
	b := newBench(t, delay)
	stop := b.start(t)
	turned := b.line.Boot() - old
	b.turnedOff(t, turned, 1)
	n, err := b.sent()
	held := b.line.Boot() - turned
	if err := stop(); err != nil {
		t.Error(err)
	}
	if hung = gap(b.line.beats); hung > beatAhead {
		return hung
	}
	if n != 1 || err != nil || held < delay {
		t.Fatalf("frame %d, held for %v, want %v: %v", n, held, delay, err)
	}
	if late := held - delay; late > 20*time.Millisecond {
		return beatAhead + late // the loop had not begun, or the test waited for its turn
	}
	return hung
}

// TestLoopUnderLoad: frames leave in order, none is lost, and beats go on.
func TestLoopUnderLoad(t *testing.T) { unlessHung(t, loopUnderLoad) }

// loopUnderLoad says for how long the loop did not run. Where that is long, what
// it then did to frames says nothing.
func loopUnderLoad(t *testing.T) (hung time.Duration) {
	t.Helper()
	const frames, delay, window = 20_000, 10 * time.Millisecond, 200
	b := newBench(t, delay)
	stop := b.start(t)
	var turned [frames]time.Duration
	room := make(chan struct{}, window) // what the far end has room for
	var writer sync.WaitGroup
	unread := make(chan struct{}) // closed when nobody reads any more
	defer writer.Wait()
	defer close(unread)
	writer.Go(func() {
		for i := range uint32(frames) {
			select {
			case room <- struct{}{}:
			case <-unread:
				return
			}
			turned[i] = b.line.Boot()
			b.turnedOff(t, turned[i], i)
		}
	})
	var wrong []string
	for want := range uint32(frames) {
		n, err := b.sent()
		<-room
		if held := b.line.Boot() - turned[min(n, frames-1)]; err != nil || n != want || held < delay {
			wrong = append(wrong, fmt.Sprintf("frame %d left instead of %d, held for %v: %v", n, want, held, err))
		}
		if err != nil {
			break
		}
	}
	err := stop()
	if hung = gap(b.line.beats); hung > beatAhead {
		return hung
	}
	if err != nil || len(wrong) > 0 || b.lost.Load()+b.stale.Load() != 0 {
		t.Fatalf("%d wrong, first: %v; %d lost, %d stale; %v", len(wrong), wrong[:min(len(wrong), 3)], b.lost.Load(), b.stale.Load(), err)
	}
	return hung
}

// gap is the longest time between two instants in order.
func gap(instants []time.Duration) (widest time.Duration) {
	for i := 1; i < len(instants); i++ {
		widest = max(widest, instants[i]-instants[i-1])
	}
	return widest
}

// TestIdleLoopBeats: also when no frame ever comes.
func TestIdleLoopBeats(t *testing.T) {
	b, watch := newBench(t, time.Second), late.Begin(t)
	stop := b.start(t)
	for end := time.Now().Add(time.Minute); len(b.line.beaten()) < 10 && time.Now().Before(end); {
		time.Sleep(beatEvery)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if n, widest := len(b.line.beats), gap(b.line.beats); n < 10 || widest > 2*beatEvery+2*watch.Worst() || !b.line.passing {
		t.Errorf("%d beats, up to %v apart, want %v; passing in the end %v", n, widest, beatEvery, b.line.passing)
	}
}

// TestStoppedLoopSendsWhatItHolds: due or not, what still waits to be read
// included, and only after others pass.
func TestStoppedLoopSendsWhatItHolds(t *testing.T) {
	b := newBench(t, time.Hour)
	for i := range uint32(3) {
		b.turnedOff(t, b.line.Boot(), i)
	}
	b.read()
	b.turnedOff(t, b.line.Boot(), 3)
	b.stop.Store(true)
	if err := b.run(); err != nil {
		t.Fatal(err)
	}
	var left []uint32
	for range 4 {
		n, err := b.sent()
		if err != nil {
			t.Fatal(err)
		}
		left = append(left, n)
	}
	if !slices.Equal(left, []uint32{0, 1, 2, 3}) || !b.line.passing {
		t.Errorf("left: %v, others pass: %v", left, b.line.passing)
	}
}

// TestHungLoopThrowsAwayWhatCame: others have passed meanwhile, and what it held
// is from before them.
func TestHungLoopThrowsAwayWhatCame(t *testing.T) {
	b := newBench(t, 10*time.Millisecond)
	b.beatNow()
	b.turnedOff(t, b.line.Boot(), 1)
	b.read()
	b.turnedOff(t, b.line.Boot(), 2)
	b.line.jump(time.Second)
	b.beatNow()
	b.send(b.line.Boot())
	b.turnedOff(t, b.line.Boot(), 3)
	b.read()
	b.line.jump(b.delay)
	b.send(b.line.Boot())
	if n, err := b.sent(); n != 3 || err != nil {
		t.Errorf("frame %d left after a hang, %v; want the one that came afterwards", n, err)
	}
	if b.stale.Load() != 2 {
		t.Errorf("%d stale frames", b.stale.Load())
	}
}

// TestShortHangLosesNothing: a busy machine is no hang.
func TestShortHangLosesNothing(t *testing.T) {
	b := newBench(t, 10*time.Millisecond)
	b.beatNow()
	b.turnedOff(t, b.line.Boot(), 1)
	b.line.jump(beatAhead / 2)
	b.beatNow()
	b.read()
	b.send(b.line.Boot())
	if n, err := b.sent(); n != 1 || err != nil || b.stale.Load() != 0 {
		t.Errorf("frame %d, %v, %d stale", n, err, b.stale.Load())
	}
}

// TestStrayFrameIsNotHeld: what came by another way has no stamp, or one that is
// far off.
func TestStrayFrameIsNotHeld(t *testing.T) {
	b := newBench(t, time.Millisecond)
	now := b.line.Boot()
	b.write(t, make([]byte, 20))
	b.turnedOff(t, now-2*strayBeyond, 1)
	b.turnedOff(t, now+2*strayBeyond, 2)
	b.turnedOff(t, 0, 3)
	b.read()
	if f, _, ok := b.queue.front(); ok {
		t.Errorf("held until %v, at %v", f.due, now)
	}
}

// TestFrameWithoutRoomIsCounted: and does not stay in the way of what comes
// when there is room again.
func TestFrameWithoutRoomIsCounted(t *testing.T) {
	b := newBench(t, time.Millisecond)
	for b.queue.room() != nil {
		b.queue.push(0, frameSpace, b.line.Boot())
	}
	b.turnedOff(t, b.line.Boot(), 1)
	b.read()
	if b.lost.Load() != 1 {
		t.Errorf("%d lost", b.lost.Load())
	}
	for _, ok := b.queue.frontOK(); ok; _, ok = b.queue.frontOK() {
		b.queue.pop()
	}
	b.turnedOff(t, b.line.Boot(), 2)
	b.read()
	b.flush()
	if n, err := b.sent(); n != 2 || err != nil {
		t.Errorf("frame %d, %v", n, err)
	}
}

// TestFrameThatCannotLeaveIsCounted: as when the TAP is gone.
func TestFrameThatCannotLeaveIsCounted(t *testing.T) {
	b := newBench(t, time.Hour)
	b.turnedOff(t, b.line.Boot(), 1)
	b.read()
	b.tap = -1
	b.flush()
	if b.lost.Load() != 1 {
		t.Errorf("%d lost", b.lost.Load())
	}
}

// TestTurnOfReadingIsBounded: one turn of reading takes no more than a burst.
func TestTurnOfReadingIsBounded(t *testing.T) {
	b := newBench(t, time.Hour)
	for i := range uint32(burst + 10) {
		b.turnedOff(t, b.line.Boot(), i)
	}
	b.read()
	held := 0
	for _, ok := b.queue.frontOK(); ok; _, ok = b.queue.frontOK() {
		b.queue.pop()
		held++
	}
	if held != burst {
		t.Errorf("%d frames in one turn, want %d", held, burst)
	}
}

var _ kernel = (*bpf.Line)(nil)
