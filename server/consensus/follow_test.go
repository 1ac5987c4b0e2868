package consensus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	pb "squall/proto/squall/v1"
	"squall/server/state"
)

// trio is three servers in a bubble, over raft's transport in memory.
type trio struct {
	t      *testing.T
	nodes  []*Consensus
	trans  []*raft.InmemTransport
	states []*state.Machine
	logs   []*shakyStore
	sent   int
}

func newTrio(t *testing.T, timing Timing) *trio {
	t.Helper()
	r := &trio{t: t}
	var peers []Peer
	for i := range 3 {
		id := fmt.Sprint("s", i)
		peers = append(peers, Peer{ID: id, Address: id})
		_, trans := raft.NewInmemTransportWithTimeout(raft.ServerAddress(id), timing.Heartbeat)
		r.trans, r.states = append(r.trans, trans), append(r.states, state.New())
	}
	for i := range r.trans {
		r.join(i)
	}
	for i, p := range peers {
		stores := MemoryStores()
		r.logs = append(r.logs, &shakyStore{LogStore: stores.Log})
		stores.Log = r.logs[i]
		c, err := Open(Config{
			ID: p.ID, Peers: peers, Machine: r.states[i], Timing: timing, Stores: stores,
			Transport: r.trans[i], Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		r.nodes = append(r.nodes, c)
	}
	t.Cleanup(func() {
		for _, c := range r.nodes {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			if err := c.Stop(ctx); err != nil {
				t.Error(err)
			}
			cancel()
		}
		time.Sleep(time.Minute) // raft's last words
	})
	return r
}

func (r *trio) join(i int) {
	for k, other := range r.trans {
		if k != i {
			r.trans[i].Connect(raft.ServerAddress(fmt.Sprint("s", k)), other)
			other.Connect(raft.ServerAddress(fmt.Sprint("s", i)), r.trans[i])
		}
	}
}

func (r *trio) leave(i int) {
	for k, other := range r.trans {
		if k != i {
			r.trans[i].Disconnect(raft.ServerAddress(fmt.Sprint("s", k)))
			other.Disconnect(raft.ServerAddress(fmt.Sprint("s", i)))
		}
	}
}

func (r *trio) leader() int {
	r.t.Helper()
	for range 1000 {
		for i, c := range r.nodes {
			if c.ready.Load() != 0 {
				return i
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	r.t.Fatal("no leader in 10s")
	return -1
}

// propose commits a command on the leader and gives its log index.
func (r *trio) propose(leader int) uint64 {
	r.t.Helper()
	r.sent++
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	o, err := r.nodes[leader].Propose(ctx, &pb.Command{
		Id: fmt.Sprint("c", r.sent), Kind: &pb.Command_Resume{Resume: &pb.Resume{Id: "none"}},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return o.GetIndex()
}

// applied is how long a server takes to apply a log index.
func (r *trio) applied(node int, index uint64) time.Duration {
	r.t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := r.nodes[node].WaitApplied(ctx, index); err != nil {
		r.t.Fatal(err)
	}
	return time.Since(began)
}

// A follower applies what is committed without waiting for raft's next message.
func TestFollowersHearOfACommitAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTrio(t, Timing{Heartbeat: time.Second, Lease: time.Second, Commit: 40 * time.Millisecond, SnapshotAfter: 8192})
		lead := r.leader()
		for range 20 {
			time.Sleep(time.Second)
			index := r.propose(lead)
			for i := range r.nodes {
				if took := r.applied(i, index); took > 5*time.Millisecond {
					t.Fatalf("s%d applied it %s after the leader", i, took)
				}
			}
		}
	})
}

// A server that was away for minutes catches up as soon as it is back.
func TestFollowerThatIsBackIsNotWaitedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTrio(t, LAN())
		lead := r.leader()
		away := (lead + 1) % 3
		for _, absence := range []time.Duration{10 * time.Second, 3 * time.Minute} {
			r.leave(away)
			for end := time.Now().Add(absence); time.Now().Before(end); time.Sleep(time.Second) {
				r.propose(lead)
			}
			r.join(away)
			if r.leader() != lead {
				t.Fatal("another leads")
			}
			if took := r.applied(away, r.propose(lead)); took > 500*time.Millisecond {
				t.Errorf("away for %s, it caught up after %s", absence, took)
			}
		}
	})
}

// Who lost the lead does not go on waiting for a peer.
func TestNobodyWaitsForAPeerWhoDoesNotLead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTrio(t, LAN())
		lead := r.leader()
		r.leave(lead)
		time.Sleep(2 * time.Second)
		next := r.leader()
		if next == lead {
			t.Fatal("it leads alone")
		}
		r.join(lead)
		if took := r.applied(lead, r.propose(next)); took > 500*time.Millisecond {
			t.Errorf("the former leader caught up after %s", took)
		}
	})
}

// News of a leader come to whoever waits for one.
func TestLeaderNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTrio(t, LAN())
		lead := r.leader()
		follower := r.nodes[(lead+1)%3]
		news := follower.LeaderNews()
		r.leave(lead)
		select {
		case <-news:
		case <-time.After(2 * time.Second):
			t.Error("no news of the leader's loss")
		}
	})
}

// A leader whose disk hangs keeps nobody waiting longer than they will, however
// many have asked before: raft's own queues are full by then.
func TestNobodyWaitsForAHungLeaderLongerThanTheyWill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		timing := LAN()
		timing.Store = time.Hour
		r := newTrio(t, timing)
		lead := r.leader()
		hang := make(chan struct{})
		r.logs[lead].hang.Store(&hang)
		for n := range 200 {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
			began := time.Now()
			_, err := r.nodes[lead].Propose(ctx, &pb.Command{Id: fmt.Sprint("stuck ", n), Kind: &pb.Command_Resume{Resume: &pb.Resume{Id: "none"}}})
			verify := r.nodes[lead].Verify(ctx)
			cancel()
			if took := time.Since(began); err == nil || verify == nil || took > 100*time.Millisecond {
				t.Fatalf("question %d took %s: %v, %v", n, took, err, verify)
			}
		}
		r.logs[lead].hang.Store(nil)
		close(hang)
		time.Sleep(10 * time.Second) // all are answered
	})
}

// A command that is asked for again while it is under way is one entry of the
// log: those who are impatient don't make a slow disk slower.
func TestCommandUnderWayIsNotSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		timing := LAN()
		timing.Store = time.Hour
		r := newTrio(t, timing)
		lead := r.leader()
		before, _ := r.logs[lead].LastIndex()
		hang := make(chan struct{})
		r.logs[lead].hang.Store(&hang)
		cmd := &pb.Command{Id: "slow", Kind: &pb.Command_Resume{Resume: &pb.Resume{Id: "none"}}}
		for range 20 {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
			if _, err := r.nodes[lead].Propose(ctx, cmd); !errors.Is(err, ErrUnknown) {
				t.Fatalf("on a disk that hangs: %v", err)
			}
			cancel()
		}
		time.AfterFunc(time.Second, func() { r.logs[lead].hang.Store(nil); close(hang) })
		if o, err := r.nodes[lead].Propose(context.Background(), cmd); err != nil || o.GetRepeatedCommand() {
			t.Errorf("the last of those that asked hears %v, %v", o, err)
		}
		time.Sleep(time.Second)
		if after, _ := r.logs[lead].LastIndex(); after != before+1 {
			t.Errorf("%d entries for one command", after-before)
		}
	})
}

// BenchmarkFollowerHears is how long after a commit's outcome the followers of
// three real servers on loopback have applied it, with nothing further to send.
func BenchmarkFollowerHears(b *testing.B) {
	nodes := newCluster(b, 3, LAN())
	lead := leader(b, nodes)
	var took []time.Duration
	for n := 0; b.Loop(); n++ {
		time.Sleep(20 * time.Millisecond)
		o, err := lead.Propose(b.Context(), &pb.Command{Id: fmt.Sprint("heard ", n), Kind: &pb.Command_Resume{Resume: &pb.Resume{Id: "none"}}})
		if err != nil {
			b.Fatal(err)
		}
		began := time.Now()
		for _, s := range nodes {
			if err := s.WaitApplied(b.Context(), o.GetIndex()); err != nil {
				b.Fatal(err)
			}
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "median-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}
