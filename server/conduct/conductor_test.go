package conduct

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
	"squall/server/state"
)

// cluster is a log with one machine behind it: it proposes and takes pushes.
type cluster struct {
	mu       sync.Mutex
	m        *state.Machine
	index    uint64
	proposed []string
	together int // the most of them in one write
	pushed   []map[string]*pb.Order
	fails    error
}

func (c *cluster) View() *state.View { return c.m.View() }

func (c *cluster) Propose(ctx context.Context, commands ...*pb.Command) (all []*pb.Outcome, err error) {
	time.Sleep(5 * time.Millisecond) // a commit
	c.mu.Lock()
	defer c.mu.Unlock()
	c.together = max(c.together, len(commands))
	for _, cmd := range commands {
		c.proposed = append(c.proposed, cmd.GetId())
		if c.fails != nil {
			return all, c.fails
		}
		c.index++
		all = append(all, c.m.Apply(c.index, proto.CloneOf(cmd)))
	}
	return all, ctx.Err()
}

func (c *cluster) Push(_ context.Context, orders map[string]*pb.Order) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pushed = append(c.pushed, orders)
}

// lead starts a conductor over a cluster with an admitted run on hosts a, b, c.
func lead(t *testing.T) (*cluster, context.CancelFunc) {
	t.Helper()
	w := stage(t, scenes["complete"])
	c := &cluster{m: w.m, index: w.index}
	began := time.Now()
	now := func() time.Time { return w.now.Add(time.Since(began)) }
	conductor := &Conductor{Machine: c, Proposer: c, Pusher: c, Now: now, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- conductor.Lead(ctx) }()
	return c, func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("the conductor ended with %v", err)
		}
	}
}

func (c *cluster) report(t *testing.T, to pb.StepState) {
	t.Helper()
	cmd := &pb.RecordSteps{}
	for _, h := range abc {
		cmd.Steps = append(cmd.Steps, &pb.StepStatus{Run: "r", Step: "dark.dns.fail", Host: h, State: to})
	}
	if _, err := c.Propose(t.Context(), &pb.Command{Kind: &pb.Command_RecordSteps{RecordSteps: cmd}}); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
}

func (c *cluster) state() pb.RunState { return c.m.View().Run("r").GetState() }

// hold has the hosts arm, and the run begin.
func (c *cluster) hold(t *testing.T) {
	t.Helper()
	for _, to := range []pb.StepState{pb.StepState_STEP_STATE_READY, pb.StepState_STEP_STATE_ARMED} {
		c.report(t, to)
		time.Sleep(6 * time.Millisecond)
	}
}

func TestConductorCarriesDecisionsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, stop := lead(t)
		defer stop()
		c.hold(t)
		if got := c.state(); got != pb.RunState_RUN_STATE_HOLDING {
			t.Fatalf("the run is %v after everyone armed", got)
		}
		c.report(t, pb.StepState_STEP_STATE_REVERTED)
		time.Sleep(time.Minute)
		if got := c.state(); got != pb.RunState_RUN_STATE_DONE {
			t.Errorf("the run is %v", got)
		}
	})
}

// TestRunThatIsCalledOffEndsInOneWrite of the log.
func TestRunThatIsCalledOffEndsInOneWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, stop := lead(t)
		defer stop()
		c.hold(t)
		undo := &pb.Command{Kind: &pb.Command_EndRun{EndRun: &pb.EndRun{Run: "r", Cause: pb.EndCause_END_CAUSE_UNDO}}}
		if _, err := c.Propose(t.Context(), undo); err != nil {
			t.Fatal(err)
		}
		c.report(t, pb.StepState_STEP_STATE_REVERTED)
		time.Sleep(6 * time.Millisecond)
		if c.state() != pb.RunState_RUN_STATE_DONE || c.together != 2 {
			t.Errorf("the run is %v; at most %d commands went together", c.state(), c.together)
		}
	})
}

func TestConductorPushesOrdersAsSoonAsTheyChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, stop := lead(t)
		defer stop()
		c.report(t, pb.StepState_STEP_STATE_READY)
		time.Sleep(6 * time.Millisecond) // the commit of fire
		synctest.Wait()
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.pushed) != 1 || len(c.pushed[0]) != 3 || !c.pushed[0]["a"].GetTasks()[0].GetFire() {
			t.Errorf("the fired order was not pushed at once: %v", c.pushed)
		}
	})
}

func TestConductorNeverSpins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, stop := lead(t)
		defer stop()
		c.mu.Lock()
		c.fails = errors.New("no quorum")
		c.mu.Unlock()
		time.Sleep(30 * time.Second)
		c.mu.Lock()
		defer c.mu.Unlock()
		if n := len(c.proposed); n == 0 || n > 300 {
			t.Errorf("%d proposals in 30 s without a quorum", n)
		}
	})
}

func TestStartLiesAsFarAheadAsCommitsTake(t *testing.T) {
	for _, c := range []struct {
		adHoc        bool
		commit, want time.Duration
	}{
		{true, 0, 10 * time.Millisecond},
		{true, time.Millisecond, 6 * time.Millisecond},
		{true, 40 * time.Millisecond, 45 * time.Millisecond},
		{false, time.Millisecond, time.Second},
		{false, 400 * time.Millisecond, 1531250 * time.Microsecond},
	} {
		s := scenes["complete"]
		s.play = func(w *world) { w.adHoc = c.adHoc }
		w := stage(t, s)
		w.d.Commit = c.commit
		for w.run().GetT0UnixNanos() == 0 {
			w.step()
		}
		fired := w.run().GetEnteredUnixNanos()[uint32(pb.RunState_RUN_STATE_FIRED)]
		if got := time.Duration(w.run().GetT0UnixNanos() - fired); got != c.want {
			t.Errorf("commits of %v: the start lies %v ahead, want %v", c.commit, got, c.want)
		}
	}
}
