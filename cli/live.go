package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	pb "squall/proto/squall/v1"
)

// redraw is how often the live line is drawn anew.
const redraw = 500 * time.Millisecond

// live is the last line of a terminal: where the run is now. Without a terminal
// it is never drawn, and only lines of events appear.
type live struct {
	w  io.Writer
	on bool

	mu sync.Mutex
	// paused says that something else has the screen now.
	paused bool // guarded by mu
	// drawn says that the line stands on the screen.
	drawn bool // guarded by mu
	// state, phase and t0 are the run's, as its events tell.
	state pb.RunState // guarded by mu
	phase string      // guarded by mu
	t0    time.Time   // guarded by mu
}

func newLive(w io.Writer) *live {
	_, on := terminal(w)
	return &live{w: w, on: on}
}

// event prints an event above the line, and remembers what it says.
func (l *live) event(e *pb.Event, plan *pb.Plan) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clear()
	printLine(l.w, e)
	if e.GetState() != pb.RunState_RUN_STATE_UNSPECIFIED {
		l.state = e.GetState()
	}
	if e.GetKind() != pb.EventKind_EVENT_KIND_PHASE || e.GetPhase() == "" {
		return
	}
	l.phase = e.GetPhase()
	for _, p := range plan.GetPhases() {
		if p.GetName() == l.phase {
			l.t0 = time.Unix(0, e.GetAtUnixNanos()-p.GetStartNanos())
		}
	}
}

// draw shows where the run is at now.
func (l *live) draw(now time.Time, plan *pb.Plan) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.on || l.paused {
		return
	}
	l.clear()
	text := word(l.state, "RUN_STATE_")
	if l.phase != "" {
		text += ", phase " + l.phase
	}
	if !l.t0.IsZero() {
		text += fmt.Sprintf(", T+%.0fs of %s", now.Sub(l.t0).Seconds(), span(time.Duration(plan.GetLengthNanos())))
	}
	fmt.Fprint(l.w, escape(text)+"  (Ctrl-C: undo, detach or halt)")
	l.drawn = true
}

// clear is called with mu held.
func (l *live) clear() {
	if l.drawn {
		fmt.Fprint(l.w, "\r\x1b[K")
		l.drawn = false
	}
}

// pause takes the line off the screen until resume.
func (l *live) pause() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clear()
	l.paused = true
}

func (l *live) resume() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.paused = false
}
