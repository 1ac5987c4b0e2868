package consensus

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"squall/agent/host/hosttest/late"
	pb "squall/proto/squall/v1"
)

func TestNothingAcknowledgedIsLostWithTheLeader(t *testing.T) {
	nodes := newCluster(t, 3, calm())
	for i := range 30 {
		propose(t, nodes, greet(fmt.Sprintf("before-%d", i)))
	}
	dead := leader(t, nodes)
	dead.crash()
	began := time.Now()
	propose(t, nodes, greet("after"))
	t.Logf("first commit %s after the leader's death", time.Since(began).Round(time.Millisecond))
	dead.start()
	settle(t, nodes)
	if n := len(dead.machine.View().Hosts()); n != 31 {
		t.Errorf("%d hosts after the restart, not 31", n)
	}
}

func TestCommandTakesEffectOnceThroughAFailover(t *testing.T) {
	nodes := newCluster(t, 3, calm())
	propose(t, nodes, greet("web"))
	leader(t, nodes).crash()
	if !propose(t, nodes, greet("web")).GetRepeatedCommand() {
		t.Error("the command took effect again under the new leader")
	}
}

// TestCommandsBegunTogetherStayApart: in their order, and each with its own outcome.
func TestCommandsBegunTogetherStayApart(t *testing.T) {
	nodes := newCluster(t, 3, calm())
	propose(t, nodes, greet("first"))
	bad := &pb.Command{Id: "bad", Kind: &pb.Command_Hold{Hold: &pb.Hold{Run: "nobody's"}}}
	begun := leader(t, nodes).Begin(t.Context(), greet("web-1"), bad, greet("web-2"), greet("web-1"))
	var last uint64
	for i, p := range begun[:3] {
		o, err := p.Wait(t.Context())
		if err != nil || (o.GetRefused() != nil) != (i == 1) || o.GetIndex() <= last {
			t.Errorf("command %d came to %v, %v after index %d", i, o, err, last)
		}
		last = o.GetIndex()
	}
	if begun[3] != begun[0] {
		t.Error("a command that is under way was sent a second time")
	}
}

// TestNothingBegunTogetherIsLostWithTheLeader: all that was on its way comes to an
// end, and sent again it takes effect once.
func TestNothingBegunTogetherIsLostWithTheLeader(t *testing.T) {
	nodes := newCluster(t, 3, calm())
	propose(t, nodes, greet("first"))
	dead := leader(t, nodes)
	var commands []*pb.Command
	for i := range 50 {
		commands = append(commands, greet(fmt.Sprint("web-", i)))
	}
	begun := dead.Begin(t.Context(), commands...)
	dead.crash()
	ctx, giveUp := context.WithTimeout(t.Context(), time.Second)
	defer giveUp()
	for i, p := range begun {
		_, err := p.Wait(ctx)
		if again := propose(t, nodes, commands[i]); err == nil && !again.GetRepeatedCommand() {
			t.Errorf("command %d was acknowledged, and lost with the leader", i)
		}
	}
	dead.start()
	settle(t, nodes)
	if n := len(dead.machine.View().Hosts()); n != 51 {
		t.Errorf("%d hosts after the restart, not 51", n)
	}
}

func TestFollowerRefusesToPropose(t *testing.T) {
	nodes := newCluster(t, 3, calm())
	lead := leader(t, nodes)
	for _, s := range others(nodes, lead) {
		if _, err := s.Propose(t.Context(), greet("web")); !errors.Is(err, ErrNotLeader) {
			t.Errorf("propose on a follower: %v, not %v", err, ErrNotLeader)
		}
		if _, err := s.LinearizableIndex(t.Context()); !errors.Is(err, ErrNotLeader) {
			t.Errorf("read index on a follower: %v, not %v", err, ErrNotLeader)
		}
	}
}

func TestReadSeesWhatWasAcknowledgedBefore(t *testing.T) {
	nodes := newCluster(t, 3, calm())
	for i := range 50 {
		host := fmt.Sprintf("web-%d", i)
		propose(t, nodes, greet(host))
		lead, index := readIndex(t, nodes)
		follower := others(nodes, lead)[i%2]
		if err := follower.WaitApplied(t.Context(), index); err != nil {
			t.Fatal(err)
		}
		if follower.machine.View().Host(host) == nil {
			t.Fatalf("%s was acknowledged, and a later read on %s does not show it", host, follower.cfg.ID)
		}
	}
}

// readIndex asks whoever leads: on a busy machine that changes now and then.
func readIndex(t *testing.T, nodes []*node) (lead *node, index uint64) {
	t.Helper()
	for {
		lead = leader(t, nodes)
		index, err := lead.LinearizableIndex(t.Context())
		if err == nil {
			return lead, index
		}
		if !errors.Is(err, ErrNotLeader) && !errors.Is(err, ErrUnknown) {
			t.Fatal(err)
		}
	}
}

func TestMinorityRefusesWritesAndReads(t *testing.T) {
	nodes := newCluster(t, 3, calm())
	propose(t, nodes, greet("web"))
	lead := leader(t, nodes)
	for _, s := range others(nodes, lead) {
		s.crash()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if _, err := lead.Propose(ctx, greet("more")); err == nil {
		t.Error("a leader without a quorum committed a command")
	}
	if _, err := lead.LinearizableIndex(ctx); err == nil {
		t.Error("a leader without a quorum answered a linearizable read")
	}
}

func TestSnapshotAndTailRestoreTheState(t *testing.T) {
	timing := calm()
	timing.SnapshotAfter = 20
	nodes := newCluster(t, 3, timing)
	late := others(nodes, leader(t, nodes))[0]
	late.crash()
	for i := range 150 { // more than the trailing entries: the late one needs the snapshot
		propose(t, nodes, greet(fmt.Sprintf("web-%d", i)))
		if i == 120 {
			takeSnapshots(t, others(nodes, late))
		}
	}
	late.start()
	settle(t, nodes)
	whole := leader(t, nodes)
	whole.crash()
	whole.start()
	settle(t, nodes)
}

func takeSnapshots(t *testing.T, nodes []*node) {
	t.Helper()
	for _, s := range nodes {
		if err := s.Snapshot(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLeaderHandsOverWhenItStops(t *testing.T) {
	timing := calm()
	timing.Heartbeat = 2 * time.Second // by which they would notice by themselves
	nodes := newCluster(t, 3, timing)
	propose(t, nodes, greet("web"))
	lead := leader(t, nodes)
	ctx, cancel := context.WithTimeout(t.Context(), enough)
	defer cancel()
	watch, began := late.Begin(t), time.Now()
	if err := errors.Join(lead.HandOver(ctx), lead.Stop(ctx)); err != nil {
		t.Fatal(err)
	}
	lead.Consensus = nil
	propose(t, nodes, greet("more"))
	took := time.Since(began)
	t.Logf("stop to next commit: %s", took.Round(time.Millisecond))
	if took > timing.Heartbeat+10*watch.Worst() {
		t.Errorf("stop to next commit took %s: leadership was not handed over", took)
	}
}

func TestHungDiskStopsTheLeaderAndOthersElect(t *testing.T) {
	nodes := newCluster(t, 3, quick())
	propose(t, nodes, greet("web"))
	lead := leader(t, nodes)
	thaw := make(chan struct{})
	lead.store.hang.Store(&thaw)
	watch, began := late.Begin(t), time.Now()
	go lead.Propose(context.WithoutCancel(t.Context()), greet("stuck")) //nolint:errcheck // it never returns
	rest := others(nodes, lead)
	propose(t, rest, greet("more"))
	took := time.Since(began)
	t.Logf("hang to next commit: %s", took.Round(time.Millisecond))
	if limit := 5*time.Second + 10*watch.Worst(); took > limit {
		t.Errorf("hang to next commit took %s, more than %s", took, limit)
	}
	select {
	case err := <-lead.fatal:
		if !errors.Is(err, ErrStore) {
			t.Errorf("told the cause %v, not %v", err, ErrStore)
		}
	case <-time.After(enough):
		t.Error("the server with the hung disk was not told to stop")
	}
}

func TestFullDiskMovesTheLeaderAndHeals(t *testing.T) {
	nodes := newCluster(t, 3, calm())
	propose(t, nodes, greet("web"))
	lead := leader(t, nodes)
	full := error(syscall.ENOSPC)
	lead.store.full.Store(&full)
	ctx, cancel := context.WithTimeout(t.Context(), enough)
	defer cancel()
	if _, err := lead.Propose(ctx, greet("lost")); !errors.Is(err, ErrStore) {
		t.Errorf("propose with a full disk: %v, not %v", err, ErrStore)
	}
	propose(t, others(nodes, lead), greet("more"))
	lead.store.full.Store(nil)
	settle(t, nodes)
}

func TestUndecodableEntryIsTheSameEverywhere(t *testing.T) {
	nodes := newCluster(t, 3, calm())
	lead := leader(t, nodes)
	f := lead.raft.Apply([]byte("\xff\xff"), time.Second)
	if err := f.Error(); err != nil {
		t.Fatal(err)
	}
	if got := f.Response().(*pb.Outcome).GetRefused().GetRefusal(); got != pb.Refusal_REFUSAL_INVALID {
		t.Errorf("refused with %s", got)
	}
	propose(t, nodes, greet("web"))
	settle(t, nodes)
}

func FuzzDecodeCommand(f *testing.F) {
	for _, c := range []*pb.Command{greet("web"), {Id: "x"}, {Id: "h", Kind: &pb.Command_Halt{Halt: &pb.Halt{Id: "h"}}}} {
		data, err := proto.Marshal(c)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := decodeCommand(data)
		if err == nil && (c.GetId() == "" || c.GetKind() == nil) {
			t.Errorf("accepted a command without id or kind: %v", c)
		}
	})
}

func BenchmarkCommits(b *testing.B) {
	nodes := newCluster(b, 3, LAN())
	lead := leader(b, nodes)
	b.SetParallelism(8) // 16 writers on two cores
	b.ResetTimer()
	began := time.Now()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			cmd := greet(fmt.Sprintf("web-%d", time.Now().UnixNano()%64))
			cmd.Id = fmt.Sprintf("%d-%p", time.Now().UnixNano(), cmd)
			if _, err := lead.Propose(context.Background(), cmd); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "commits/s")
}

func TestStandingTellsWhoLeadsAndHowFarTheLogIs(t *testing.T) {
	nodes := newCluster(t, 3, quick())
	lead := leader(t, nodes)
	propose(t, nodes, greet("a"))
	settle(t, nodes)
	first := lead.Standing()
	if first.State != "leader" || first.Leader != lead.cfg.ID || first.Servers != 3 || first.Contact != 0 || !first.Heard {
		t.Errorf("the leader stands as %+v", first)
	}
	if first.Term == 0 || first.Commit == 0 || first.Commit > first.Last || first.Applied > first.Commit {
		t.Errorf("its log stands as %+v", first)
	}
	lead.crash()
	next := leader(t, others(nodes, lead))
	for end := time.Now().Add(enough); next.Standing().Changes < 2 && time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
	}
	if s := next.Standing(); s.Changes < 2 || s.Term <= first.Term || s.Leader != next.cfg.ID {
		t.Errorf("after the leader's death another stands as %+v, it stood as %+v", s, first)
	}
}
