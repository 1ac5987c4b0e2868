package process

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"squall/agent/host"
	"squall/agent/host/hosttest"
	pb "squall/proto/squall/v1"
)

// resting is work of which nothing is open.
type resting struct{ boot func() time.Duration }

func (r resting) Boot() time.Duration       { return r.boot() }
func (resting) Idle() bool                  { return true }
func (resting) NextDeadline() time.Duration { return 0 }
func (resting) Renewed(time.Duration)       {}

// beating is a heartbeat of resting work, and the far end of its pipe.
func beating(fake *hosttest.Fake, supervisor Scheduled) (*Heartbeat, net.Conn) {
	inside, outside := net.Pipe()
	p := NewHeartbeat(inside, supervisor, false)
	p.Follow(resting{fake.Boot})
	return p, outside
}

// witness is a host that notes how many beats there were before a change.
type witness struct {
	host.Host
	paces func() []time.Duration
	seen  [][]time.Duration
}

func (w *witness) Do(ctx context.Context, op *pb.Op, armed func()) error {
	w.seen = append(w.seen, w.paces())
	return w.Host.Do(ctx, op, armed)
}

func TestSupervisorWatchesCloselyBeforeAChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := hosttest.NewFake(&pb.HostConfig{Name: "web-a1"})
		p, outside := beating(fake, fed{})
		var mu sync.Mutex // guards paces
		var paces []time.Duration
		heard := func() []time.Duration { mu.Lock(); defer mu.Unlock(); return slices.Clone(paces) }
		read := beats(outside, make(chan struct{}))
		var all sync.WaitGroup
		all.Go(func() {
			for b := range read {
				mu.Lock()
				paces = append(paces, paceOf(b))
				mu.Unlock()
			}
		})
		if _, err := p.beat(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		w := &witness{Host: fake, paces: func() []time.Duration { synctest.Wait(); return heard() }}
		if err := p.Watched(w).Do(t.Context(), &pb.Op{Kind: &pb.Op_Nothing{Nothing: &pb.Nothing{}}}, nil); err != nil {
			t.Fatal(err)
		}
		if want := []time.Duration{idlePace, busyPace}; len(w.seen) != 1 || !slices.Equal(w.seen[0], want) {
			t.Errorf("before the change the supervisor had heard %v, want %v", w.seen, want)
		}
		outside.Close()
		all.Wait()
	})
}

// A supervisor that gets no processor is waited for, one that hangs is not.
func TestStarvedSupervisorIsWaitedFor(t *testing.T) {
	for _, starved := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			p, outside := beating(hosttest.NewFake(&pb.HostConfig{Name: "web-a1"}), fed{wants: starved})
			go func() { _, _ = io.Copy(io.Discard, outside) }()
			began := time.Now()
			err := p.Run(context.Background())
			if took := time.Since(began); !errors.Is(err, ErrOrphaned) || took > maxStarved+2*idlePace || (took > maxStarved) != starved {
				t.Errorf("starved %t: %v after %s", starved, err, took)
			}
		})
	}
}

func TestVerdictOnAWorker(t *testing.T) {
	for _, c := range []struct {
		name                  string
		now, silent, deadline time.Duration
		hung                  bool
	}{
		{"it was heard of just now", 10 * time.Second, 500 * time.Millisecond, 0, false},
		{"it has been silent for a second", 10 * time.Second, 1100 * time.Millisecond, 0, true},
		{"a deadline has just passed", 10 * time.Second, 0, 9500 * time.Millisecond, false},
		{"a deadline passed a second ago", 10 * time.Second, 0, 8900 * time.Millisecond, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := verdict(c.now, c.silent, time.Second, c.deadline); (err != nil) != c.hung {
				t.Errorf("verdict: %v, want one: %v", err, c.hung)
			}
		})
	}
}
