package process

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"squall/agent/host/hosttest"
	pb "squall/proto/squall/v1"
)

// A worker that has ended by itself is killed like any other, without a word.
func TestKillOfAWorkerThatHasEndedIsNoError(t *testing.T) {
	child, err := StartWorker(t.Context(), []string{"-test.list=^$"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer child.Close()
	<-child.Dead()
	if err := child.Kill(); err != nil {
		t.Error(err)
	}
}

// stillborns starts workers that say why they can't start, and end.
type stillborns struct{ starts, recoveries int }

func (s *stillborns) start(context.Context) (Child, error) {
	s.starts++
	outside, inside := net.Pipe()
	c := &mayfly{Conn: outside, dead: make(chan struct{})}
	go func() {
		_ = Fail(inside, errors.New("open socket: no such folder"))
		inside.Close()
		close(c.dead)
	}()
	return c, nil
}

// mayfly is a worker that ends at once.
type mayfly struct {
	net.Conn
	dead chan struct{}
}

func (m *mayfly) Kill() error                                { return nil }
func (m *mayfly) Dead() <-chan struct{}                      { return m.dead }
func (m *mayfly) Processor() (wants bool, had time.Duration) { return false, 0 }

// A worker that can't start ends the agent with the reason, and everything is
// reverted by then.
func TestWorkerThatCantStartEndsTheAgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all stillborns
		s := &Supervisor{
			Start: all.start, Boot: hosttest.NewFake(&pb.HostConfig{Name: "web-a1"}).Boot,
			Recover: func(context.Context, pb.RevertCause) error { all.recoveries++; return nil },
			Log:     slog.New(slog.DiscardHandler),
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := s.Run(ctx)
		if !errors.Is(err, errUnborn) || !strings.Contains(err.Error(), "open socket: no such folder") {
			t.Errorf("the agent ends with %v", err)
		}
		if all.starts != stillborn || all.recoveries != stillborn+1 {
			t.Errorf("%d starts, %d recoveries", all.starts, all.recoveries)
		}
	})
}

// A reason may be long, and cut anywhere.
func TestReasonFitsABeat(t *testing.T) {
	r, w := io.Pipe()
	go func() { _ = Fail(w, errors.New(strings.Repeat("ü\xff", maxBeat))) }()
	b, err := readBeat(r)
	if err != nil || !strings.HasPrefix(b.GetFailed(), "ü") {
		t.Errorf("read %v, %v", b, err)
	}
}
