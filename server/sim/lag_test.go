package sim

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"squall/proto/parts"
	pb "squall/proto/squall/v1"
	"squall/server/consensus"
)

// slowWay is raft's way to other servers. What brings entries to a server that
// lags takes as long as that lags; heartbeats and votes don't.
type slowWay struct {
	*raft.InmemTransport
	lag func(to raft.ServerAddress) time.Duration
}

// AppendEntries implements raft.Transport.
func (w slowWay) AppendEntries(id raft.ServerID, to raft.ServerAddress, req *raft.AppendEntriesRequest, res *raft.AppendEntriesResponse) error {
	if req.PrevLogEntry != 0 || len(req.Entries) > 0 {
		time.Sleep(w.lag(to))
	}
	return w.InmemTransport.AppendEntries(id, to, req, res)
}

// AppendEntriesPipeline implements raft.Transport: there is none.
func (w slowWay) AppendEntriesPipeline(raft.ServerID, raft.ServerAddress) (raft.AppendPipeline, error) {
	return nil, raft.ErrPipelineReplicationNotSupported
}

// stuckLog is a log whose disk may stop answering.
type stuckLog struct {
	raft.LogStore
	stuck atomic.Pointer[chan struct{}]
}

// StoreLogs implements raft.LogStore.
func (l *stuckLog) StoreLogs(logs []*raft.Log) error {
	if wait := l.stuck.Load(); wait != nil {
		<-*wait
	}
	return l.LogStore.StoreLogs(logs)
}

// StoreLog implements raft.LogStore.
func (l *stuckLog) StoreLog(log *raft.Log) error { return l.StoreLogs([]*raft.Log{log}) }

// freeze stops a server's log from answering until it is thawed.
func (c *control) freeze() {
	wait := make(chan struct{})
	c.log.stuck.Store(&wait)
}

func (c *control) thaw() {
	if wait := c.log.stuck.Swap(nil); wait != nil {
		close(*wait)
	}
}

// follower is a server that does not lead.
func (r *region) follower() *control {
	for _, c := range r.alive() {
		if c != r.leader() {
			return c
		}
	}
	r.t.Fatal("nobody follows")
	return nil
}

// TestLaggingServerHarmsNoRun plays a run while one follower is seconds behind.
func TestLaggingServerHarmsNoRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t, settings{})
		r.follower().lag.Store(int64(3 * time.Second))
		r.passes(r.run(short))
	})
}

// TestHaltThroughALaggingServerNamesItsHosts pulls the lever on a server that
// has not even heard of the run: it names the run's hosts, or says that it
// can't tell, but never that there are none.
func TestHaltThroughALaggingServerNamesItsHosts(t *testing.T) {
	for lag, canTell := range map[time.Duration]bool{time.Second: true, time.Minute: false} {
		t.Run(lag.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRegion(t, settings{})
				behind := r.follower()
				behind.lag.Store(int64(lag))
				run := r.run(long)
				r.until("the start", 20*time.Second, func() bool { return acts(r.struck()[0]) })
				if lag > 10*time.Second && behind.server.State().Run(run) != nil {
					t.Fatal("it has heard of the run")
				}
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				defer cancel()
				res, err := r.user(behind.id).Halt(ctx, &pb.HaltRequest{Id: "h", WaitNanos: int64(20 * time.Second)})
				if canTell && (err != nil || len(res.GetHosts()) != len(r.struck())) {
					t.Errorf("it names %v, %v", res.GetHosts(), err)
				}
				if !canTell && status.Code(err) != codes.Unavailable {
					t.Errorf("it answers %v, %v", res, err)
				}
				for _, m := range r.struck() {
					if acts(m) {
						t.Errorf("%s is still hurt", m.name)
					}
				}
				behind.lag.Store(0)
			})
		})
	}
}

// TestHaltCountsTheHostsOfRunsThatItEnded, also those that this server had not
// heard of when it was told of the halt, and that are done when it has.
func TestHaltCountsTheHostsOfRunsThatItEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t, settings{})
		behind := r.follower()
		behind.lag.Store(int64(2 * time.Second))
		run := r.run(long)
		r.until("the start", 5*time.Second, func() bool { return acts(r.struck()[0]) })
		if behind.server.State().Run(run) != nil {
			t.Fatal("it has heard of the run")
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		res, err := r.user(behind.id).Halt(ctx, &pb.HaltRequest{Id: "h", WaitNanos: int64(20 * time.Second)})
		if err != nil || !res.GetCommitted() || len(res.GetHosts()) != len(r.struck()) {
			t.Errorf("the halt answers %v, %v", res, err)
		}
		behind.lag.Store(0)
	})
}

// TestHaltDoesNotWaitForTheLeadersDisk pulls the lever on a leader whose log
// does not answer any more: hosts of all servers are let go at once, and new
// runs are refused. (That the others elect a leader and commit is for a test with
// a real disk: it ends the process.) When the disk is back the halt is committed.
func TestHaltDoesNotWaitForTheLeadersDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		timing := consensus.LAN()
		timing.Store = time.Hour
		r := newRegion(t, settings{timing: timing})
		r.run(long)
		r.until("the start", 20*time.Second, func() bool { return acts(r.struck()[0]) })
		lead := r.leader()
		user := r.user(lead.id)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if _, err := parts.Ask[pb.Status](ctx, user.Status, &pb.StatusRequest{}); err != nil {
			t.Fatal(err) // connected
		}
		lead.freeze()
		began := time.Now()
		go func() { _, _ = user.Halt(ctx, &pb.HaltRequest{Id: "h", WaitNanos: int64(20 * time.Second)}) }()
		r.until("all hosts to be let go", 100*time.Millisecond, func() bool {
			for _, m := range r.struck() {
				if acts(m) {
					return false
				}
			}
			return true
		})
		t.Logf("let go after %s", time.Since(began))
		for _, c := range r.servers {
			res, err := r.user(c.id).Run(ctx, &pb.RunRequest{Id: "again-" + c.id, File: "sim.yaml", Source: []byte(short)})
			if err != nil || len(res.GetRefused()) == 0 || res.GetRefused()[0].GetRefusal() != pb.Refusal_REFUSAL_HALTED {
				t.Errorf("%s lets a run in, or refuses it for another reason: %v, %v", c.id, res, err)
			}
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("refusing took %s", took)
		}
		lead.thaw()
		r.until("the halt's commit", 10*time.Second, func() bool { return r.view().Halt().GetId() == "h" })
	})
}
