package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
	"google.golang.org/protobuf/proto"

	"squall/cli/show"
	pb "squall/proto/squall/v1"
)

const (
	// redraw is how often the picture of a run is drawn anew, and relook how often
	// the control plane is asked for it.
	redraw = 500 * time.Millisecond
	relook = time.Second
)

// live is the picture of a run below its events. Without a terminal it is never
// drawn, and only lines of events appear.
type live struct {
	w io.Writer
	// size is the terminal's, in columns and lines; nil without a terminal.
	size  func() (columns, lines int)
	color bool

	mu sync.Mutex
	// paused says that something else has the screen now.
	paused bool // guarded by mu
	// drawn is how many lines of the picture stand on the screen.
	drawn int // guarded by mu
	// latest is how the run stood when it was asked for last, at heard.
	latest *pb.LiveRun // guarded by mu
	heard  time.Time   // guarded by mu
}

func newLive(w io.Writer) *live {
	f, on := terminal(w)
	l := &live{w: w, color: on && colored()}
	if on {
		l.size = func() (int, int) { return sizeOf(f) }
	}
	return l
}

// sizeOf is a terminal's size in columns and lines; one that doesn't say has
// the usual one.
func sizeOf(f *os.File) (columns, lines int) {
	columns, lines, err := term.GetSize(int(f.Fd()))
	if err != nil || columns <= 0 || lines <= 0 {
		return 80, defaultHeight
	}
	return columns, lines
}

// colored says whether colours are wanted on a terminal.
func colored() bool { return os.Getenv("NO_COLOR") == "" && os.Getenv("CLICOLOR") != "0" }

// follow asks how the run stands until ctx ends. Whatever hinders it, the
// picture shows its age.
func (l *live) follow(ctx context.Context, c *client, run string) {
	if l.size == nil {
		return
	}
	for {
		if resp, err := askWhole[pb.LiveRun](ctx, c, pb.ControlServiceClient.Live, &pb.LiveRequest{Run: run}); err == nil {
			l.take(resp, time.Now())
		}
		if !rest(ctx, relook) {
			return
		}
	}
}

func (l *live) take(r *pb.LiveRun, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.latest, l.heard = r, now
}

// event prints an event above the picture.
func (l *live) event(e *pb.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out, line bytes.Buffer
	l.erase(&out)
	printLine(&line, e)
	out.WriteString(show.Fold(line.String(), l.columns()))
	l.put(&out)
}

// columns is the terminal's width; 0 without a terminal.
func (l *live) columns() int {
	if l.size == nil {
		return 0
	}
	columns, _ := l.size()
	return columns
}

// draw shows where the run is at now.
func (l *live) draw(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.size == nil || l.paused || l.latest == nil {
		return
	}
	var out bytes.Buffer
	l.erase(&out)
	l.drawn = l.picture(&out, now)
	l.put(&out)
}

// staleAfter is how old a picture may be before it says so.
const staleAfter = 3 * time.Second

// picture draws the newest state as of now, and says how many lines it has. It
// leaves room for the line at which the cursor rests, or the terminal scrolls.
// Called with mu held.
func (l *live) picture(out *bytes.Buffer, now time.Time) (lines int) {
	columns, height := l.size()
	foot := "Ctrl-C: undo this run, detach, halt everything or go on"
	age := now.Sub(l.heard)
	if age >= staleAfter {
		foot = fmt.Sprintf("STALE for %s: no server answers; %s", span(age.Truncate(time.Second)), foot)
	}
	r := proto.CloneOf(l.latest)
	r.NowUnixNanos += age.Nanoseconds() // countdowns go on between two answers
	text := strings.TrimSuffix(show.Live(r, show.Options{Width: columns, Color: l.color}), "\n")
	all := append(strings.Split(text, "\n"), show.Cut(foot, columns))
	all = all[:min(len(all), max(height-1, 1))]
	out.WriteString(strings.Join(all, "\n"))
	return len(all)
}

// erase takes the picture off the screen. Called with mu held.
func (l *live) erase(out *bytes.Buffer) {
	if l.drawn > 1 {
		fmt.Fprintf(out, "\x1b[%dA", l.drawn-1)
	}
	if l.drawn > 0 {
		out.WriteString("\r\x1b[J")
		l.drawn = 0
	}
}

// put writes in one go, so that a terminal does not flicker. A terminal that is
// gone takes its reader with it.
func (l *live) put(out *bytes.Buffer) { _, _ = l.w.Write(out.Bytes()) }

// pause takes the picture off the screen until resume.
func (l *live) pause() {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out bytes.Buffer
	l.erase(&out)
	l.put(&out)
	l.paused = true
}

func (l *live) resume() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.paused = false
}
