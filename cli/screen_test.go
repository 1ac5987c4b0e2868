package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// watched shows a numbered frame each time, with what play makes of it, until
// it has been asked so often.
func watched(t *testing.T, s *screen, times int, play func(n int) error) (err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		n := 0
		err = (&app{}).frames(ctx, s, func(_ context.Context, a *app) error {
			if n++; n > times {
				cancel()
				return ctx.Err()
			}
			if e := play(n); e != nil {
				return e
			}
			fmt.Fprintf(a.stdout, "frame %d\n", n)
			return nil
		})
	})
	return err
}

func TestWatchingGoesOnPastTrouble(t *testing.T) {
	var out bytes.Buffer
	err := watched(t, &screen{w: &out}, 3, func(n int) error {
		if n == 2 {
			return errors.New("no server answers")
		}
		return nil
	})
	if want := "frame 1\n\nsquall: no server answers\n\nframe 3\n"; err != nil || out.String() != want {
		t.Errorf("%v, %q; want %q", err, out.String(), want)
	}
}

func TestWatchingNothingEndsAtOnce(t *testing.T) {
	var out bytes.Buffer
	err := watched(t, &screen{w: &out}, 3, func(int) error { return usagef("no control plane") })
	if exitCode(err) != 2 || out.Len() != 0 {
		t.Errorf("%v, %q", err, out.String())
	}
}

func TestATerminalIsDrawnOverAndLeftAsItWas(t *testing.T) {
	var out bytes.Buffer
	s := &screen{w: &out, size: func() (int, int) { return 60, 4 }}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if err := errors.Join(s.draw(now, []byte("a\n"+strings.Repeat("b", 61)+"\nc\nd\n")), s.draw(now, []byte("e\n"))); err != nil {
		t.Fatal(err)
	}
	s.end()
	foot := "\x1b[K\nat 03:04:05, each second; Ctrl-C ends\x1b[J"
	want := "\x1b[2J\x1b[?7l\x1b[Ha\x1b[K\n" + strings.Repeat("b", 59) + "…\x1b[K\n" + foot + "\x1b[He\x1b[K\n" + foot + "\x1b[?7h\n"
	if out.String() != want {
		t.Errorf("drew %q\nwant %q", out.String(), want)
	}
	if lines := strings.Count(out.String()[:strings.Index(out.String(), foot)+len(foot)], "\n"); lines >= 4 {
		t.Errorf("%d line ends scroll a terminal of 4 lines", lines)
	}
}
