package host

import (
	"context"
	"errors"
	"math"
	"os"
	"sync"
	"time"
)

// lead is how long before its instant an operation lets the collector rest, and
// brink how long before it the operation gets a real-time thread: each takes its
// time on a busy machine.
const lead, brink = time.Second, 100 * time.Millisecond

// errCalledOff says that an operation was cancelled before its instant.
var errCalledOff = errors.New("called off before its instant")

// instant is when an operation acts, and what it has opened for that. It is let
// go of when that is over, or when the operation is closed before it began.
type instant struct {
	// planned is in boot time.
	planned time.Duration
	until   limit

	mu    sync.Mutex // guards the rest
	timer *timer
	files []*os.File
	// begun says that somebody frees it, over that it is freed.
	begun, over bool
}

// instant is that of the operation's gate, or now where that has passed.
func (h *held) instant() (*instant, error) {
	planned := max(time.Duration(h.op.GetGate().GetStartBootNanos()), h.host.Boot())
	timer, err := newTimer(planned - h.host.offset)
	return &instant{planned: planned, until: h.limit(), timer: timer}, err
}

// limit is until when an operation may act, as processes read boot time.
func (h *held) limit() limit {
	g := h.op.GetGate()
	if g == nil {
		return limit{end: math.MaxInt64}
	}
	l := limit{end: g.GetEndBootNanos(), offset: int64(h.host.offset)}
	if !g.GetIgnoreLease() {
		l.lease = &h.lease
	}
	return l
}

// keep lets go of a file together with the instant.
func (i *instant) keep(f *os.File) *os.File {
	i.files = append(i.files, f)
	return f
}

// struck is how strokes went: the boot times around them, as processes read it,
// and why the thread had no real-time priority.
type struck struct {
	first, last time.Duration
	denied      error
}

// strike waits for the instant, on a real-time thread in the end, and lets the
// strokes follow one another, each with its own error. then, which may be nil, is
// called on that thread at a lower priority. ctx, or close, calls it off before
// the instant.
func (i *instant) strike(ctx context.Context, strokes []stroke, then func()) (struck, error) {
	if !i.begin() {
		return struck{}, errCalledOff
	}
	defer i.free()
	stop := context.AfterFunc(ctx, i.callOff)
	defer stop()
	if !i.timer.approach(lead) {
		return struck{}, errCalledOff
	}
	defer collector.rest()()
	if !i.timer.approach(brink) {
		return struck{}, errCalledOff
	}
	var s struck
	var end ending
	RealtimeThread(func(denied error) {
		s.denied = denied
		s.first, s.last, end = i.timer.strike(strokes, i.until)
		if end == acted && then != nil {
			// Others may still wait for a processor, for the same instant.
			_ = realtime(afterwards)
			then()
		}
	})
	switch end {
	case calledOff:
		return s, errCalledOff
	case tooLate:
		return s, errGateClosed
	}
	return s, nil
}

// begin says that the instant is the caller's to free; false where it is
// somebody else's, or over.
func (i *instant) begin() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	first := !i.begun
	i.begun = true
	return first
}

// callOff ends the wait for an instant that has not come.
func (i *instant) callOff() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if !i.over {
		i.timer.cancel()
	}
}

// close calls the instant off, and lets go of it where nobody waits for it. It
// may be called again.
func (i *instant) close() {
	i.callOff()
	if i.begin() {
		i.free()
	}
}

// free lets go of what the instant needed.
func (i *instant) free() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.over = true
	i.timer.close()
	for _, f := range i.files {
		f.Close()
	}
}
