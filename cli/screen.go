package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"

	"squall/cli/show"
)

// watchEvery is how often what is watched is asked for again.
const watchEvery = time.Second

// watch shows something again and again until the person has seen enough.
func (a *app) watch(ctx context.Context, show func(context.Context, *app) error) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	s := newScreen(a.stdout)
	defer s.end()
	return a.frames(ctx, s, show)
}

// frames draws what show prints to its app's stdout, a frame each time. What
// can't be shown at all ends it when it is the first; later the trouble is
// shown, and it goes on: whoever watches a zone go dark wants to see it return.
func (a *app) frames(ctx context.Context, s *screen, show func(context.Context, *app) error) error {
	for first := true; ; first = false {
		var text bytes.Buffer
		frame := *a
		frame.stdout = &text
		err := show(ctx, &frame)
		switch {
		case seenEnough(ctx):
			return nil
		case err != nil && first && text.Len() == 0:
			return err
		case err != nil && err.Error() != "":
			fmt.Fprintln(&text, "squall:", escape(err.Error()))
		}
		if err := s.draw(time.Now(), text.Bytes()); err != nil {
			return fmt.Errorf("print: %w", err)
		}
		if !rest(ctx, watchEvery) {
			return nil
		}
	}
}

func seenEnough(ctx context.Context) bool { return ctx.Err() != nil }

// screen is where frames go. On a terminal each takes the place of the one
// before; elsewhere they follow one another, a blank line between.
type screen struct {
	w     io.Writer
	drawn bool
	// size is the terminal's; nil without one.
	size func() (columns, lines int)
}

func newScreen(w io.Writer) *screen {
	s := &screen{w: w}
	if f, ok := terminal(w); ok {
		s.size = func() (columns, lines int) { return sizeOf(f) }
	}
	return s
}

// defaultHeight is that of terminals which do not say.
const defaultHeight = 24

// terminal is the terminal behind a stream, where it is one that can be drawn on.
func terminal(w io.Writer) (*os.File, bool) {
	if watched, ok := w.(*watchedWriter); ok {
		w = watched.out
	}
	f, ok := w.(*os.File)
	return f, ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
}

// draw shows one frame in one write, so that a terminal does not flicker.
func (s *screen) draw(now time.Time, frame []byte) error {
	var out bytes.Buffer
	switch {
	case s.size != nil:
		s.redraw(&out, now, frame)
	case s.drawn:
		fmt.Fprintf(&out, "\n%s", frame)
	default:
		out.Write(frame)
	}
	s.drawn = true
	_, err := s.w.Write(out.Bytes())
	return err
}

// redraw writes over what stands on the terminal, and clears only what is left.
// Lines are neither wrapped nor so many that the terminal would scroll.
func (s *screen) redraw(out *bytes.Buffer, now time.Time, frame []byte) {
	if !s.drawn {
		out.WriteString("\x1b[2J\x1b[?7l")
	}
	out.WriteString("\x1b[H")
	columns, lines := s.size()
	room := max(1, lines-2)
	for line := range bytes.Lines(frame) {
		if room--; room < 0 {
			break
		}
		fmt.Fprintf(out, "%s\x1b[K\n", fitting(strings.TrimSuffix(string(line), "\n"), columns))
	}
	fmt.Fprintf(out, "\x1b[K\nat %s, each second; Ctrl-C ends\x1b[J", now.Format(time.TimeOnly))
}

// fitting is a line that shows where it was cut. One with colours was drawn for
// this width already.
func fitting(line string, columns int) string {
	if strings.Contains(line, "\x1b") {
		return line
	}
	return show.Cut(line, columns)
}

// end leaves the terminal as it was, with the cursor below the last frame.
func (s *screen) end() {
	if s.size != nil && s.drawn {
		fmt.Fprint(s.w, "\x1b[?7h\n")
	}
}
