package helper

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"squall/agent/host/bpf"
)

const (
	beatEvery = 5 * time.Millisecond
	// Long enough for a collection or a busy machine, short enough for a hang.
	beatAhead = 150 * time.Millisecond
	// A frame that is this late belongs to a world before a hang: others have
	// passed since.
	staleAfter = beatAhead
	// A frame with a stamp this far off has none: it came by another way.
	strayBeyond = time.Second
	burst       = 64 // frames read in one turn, so that reading does not starve sending
)

// kernel is the half of a line that turns packets off to the TAP.
type kernel interface {
	Boot() time.Duration
	Beat(ahead time.Duration)
	Pass()
}

// A loop holds frames back: it reads them from a TAP and writes them there when
// they are due. One thread does all of it.
type loop struct {
	line  kernel
	tap   int // its descriptor
	delay time.Duration
	queue queue
	alarm alarm
	beat  time.Duration // of the last one

	stop        atomic.Bool
	stale, lost atomic.Uint64
}

// run holds frames until it is told to stop, and then sends all of them.
func (l *loop) run() error {
	runtime.LockOSThread()
	if err := favour(); err != nil {
		return err
	}
	for !l.stop.Load() {
		l.beatNow()
		l.send(l.line.Boot())
		if err := l.wait(); err != nil {
			return err
		}
		l.read()
	}
	l.line.Pass()
	l.read()
	l.flush()
	return nil
}

// beatNow keeps the programs turning packets off. After a hang it first throws
// away what came during it.
func (l *loop) beatNow() {
	now := l.line.Boot()
	if now-l.beat < beatEvery {
		return
	}
	if l.beat != 0 && now-l.beat > beatAhead {
		l.discard()
	}
	l.line.Beat(beatAhead)
	l.beat = now
	l.alarm.wind()
}

// send puts back what is due.
func (l *loop) send(now time.Duration) {
	for {
		f, data, ok := l.queue.front()
		if !ok || f.due > now {
			return
		}
		if now-f.due > staleAfter {
			l.stale.Add(1)
		} else {
			l.put(data)
		}
		l.queue.pop()
	}
}

// put hands a frame back to the stack.
func (l *loop) put(data []byte) {
	if _, err := unix.Write(l.tap, data); err != nil {
		l.lost.Add(1)
	}
}

// wait sleeps until a frame comes, one is due, or it is time to beat.
func (l *loop) wait() error {
	now := l.line.Boot()
	pause := l.beat + beatEvery - now
	if f, _, ok := l.queue.front(); ok {
		pause = min(pause, l.alarm.pause(now, f.due))
	}
	ts := unix.NsecToTimespec(int64(max(0, pause)))
	_, err := unix.Ppoll([]unix.PollFd{{Fd: int32(l.tap), Events: unix.POLLIN}}, &ts, nil)
	if err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("wait for frames: %w", err)
	}
	return nil
}

// read takes what has come, at most a burst.
func (l *loop) read() {
	now := l.line.Boot()
	for range burst {
		room := l.queue.room()
		if room == nil {
			l.drop()
			return
		}
		n, err := unix.Read(l.tap, room)
		if err != nil {
			return
		}
		if at, start, ok := bpf.TurnFrame(room[:n]); ok && (now-at).Abs() < strayBeyond {
			l.queue.push(start, n, at+l.delay)
		}
	}
}

// drop reads a frame for which there is no room.
func (l *loop) drop() {
	if _, err := unix.Read(l.tap, make([]byte, frameSpace)); err == nil {
		l.lost.Add(1)
	}
}

// discard throws away what the kernel has queued.
func (l *loop) discard() {
	room := make([]byte, frameSpace)
	for {
		if _, err := unix.Read(l.tap, room); err != nil {
			return
		}
		l.stale.Add(1)
	}
}

// flush sends everything, due or not.
func (l *loop) flush() {
	for {
		_, data, ok := l.queue.front()
		if !ok {
			return
		}
		l.put(data)
		l.queue.pop()
	}
}
