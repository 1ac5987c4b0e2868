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
	burst       = 64 // frames read from a lane in one turn
)

// A lane is one device in one direction: frames are read from one descriptor
// and put back by another, or by the same.
type lane struct{ from, to int }

// A loop holds frames back. One thread does all of it.
type loop struct {
	line  *bpf.Line
	delay time.Duration
	fresh chan lane
	lanes []lane
	polls []unix.PollFd
	queue queue
	alarm alarm
	beat  time.Duration // of the last one

	stop        atomic.Bool
	stale, lost atomic.Uint64
}

func newLoop(line *bpf.Line, delay time.Duration) *loop {
	return &loop{line: line, delay: delay, fresh: make(chan lane, 2*bpf.MaxDevices)}
}

// add gives the loop more lanes, which it takes in at its next beat.
func (l *loop) add(lanes ...lane) {
	for _, n := range lanes {
		l.fresh <- n
	}
}

// takeIn makes lanes that were added the loop's own.
func (l *loop) takeIn() {
	for range len(l.fresh) {
		n := <-l.fresh
		l.lanes = append(l.lanes, n)
		l.polls = append(l.polls, unix.PollFd{Fd: int32(n.from), Events: unix.POLLIN})
	}
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
	for i := range l.lanes {
		l.readLane(i)
	}
	l.flush()
	return nil
}

// beatNow keeps the programs turning packets off, and looks for new lanes.
// After a hang it first throws away what came during it.
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
	l.takeIn()
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
			l.put(l.lanes[f.lane].to, data)
		}
		l.queue.pop()
	}
}

// put hands a frame back to the stack.
func (l *loop) put(fd int, data []byte) {
	if _, err := unix.Write(fd, data); err != nil {
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
	_, err := unix.Ppoll(l.polls, &ts, nil)
	if err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("wait for frames: %w", err)
	}
	return nil
}

// read takes what has come on each lane.
func (l *loop) read() {
	for i, p := range l.polls {
		if p.Revents != 0 {
			l.readLane(i)
		}
	}
}

// readLane takes at most a burst, so that no lane starves the queue.
func (l *loop) readLane(i int) {
	now := l.line.Boot()
	for range burst {
		room := l.queue.room()
		if room == nil {
			l.lost.Add(1)
			room = make([]byte, frameSpace)
			if _, err := unix.Read(l.lanes[i].from, room); err != nil {
				return
			}
			continue
		}
		n, err := unix.Read(l.lanes[i].from, room)
		if err != nil {
			return
		}
		if at, ok := unstamp(room[:n]); ok && (now-at).Abs() < strayBeyond {
			l.queue.push(bpf.StampSize, n, i, at+l.delay)
		}
	}
}

// discard throws away what the kernel has queued.
func (l *loop) discard() {
	room := make([]byte, frameSpace)
	for _, n := range l.lanes {
		for {
			if _, err := unix.Read(n.from, room); err != nil {
				break
			}
			l.stale.Add(1)
		}
	}
}

// flush sends everything, due or not.
func (l *loop) flush() {
	for {
		f, data, ok := l.queue.front()
		if !ok {
			return
		}
		l.put(l.lanes[f.lane].to, data)
		l.queue.pop()
	}
}
