package state

import (
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
)

func TestOrderIsTheWholeSet(t *testing.T) {
	b := newBench(t)
	b.must(hosts("s1", 1, "a", "b"), gated("r", planOf(0, "a", "b")))
	if o := b.m.View().Order("a"); len(o.GetTasks()) != 0 || len(o.GetProbes()) != 1 {
		t.Errorf("while gating a host has its probes alone: %v", o)
	}
	b.must(prepare("r"))
	task := b.m.View().Order("b").GetTasks()[0]
	if task.GetFire() || task.GetEndUnixNanos()-task.GetStartUnixNanos() != 10e9 {
		t.Errorf("before it fires a task knows its length alone: %v", task)
	}
	b.must(fire("r", t0))
	task = b.m.View().Order("b").GetTasks()[0]
	if !task.GetFire() || task.GetStartUnixNanos() != t0 || task.GetEndUnixNanos() != t0+10e9 || task.GetDeadlineUnixNanos() != t0+20e9 {
		t.Errorf("the fired task is %v", task)
	}
	if got := b.m.View().Order("b").GetProbes()[0].GetBit(); got != 1 {
		t.Errorf("the second host's bit is %d", got)
	}
}

// TestOrderDoesNotGrowWithTheRegion: an agent takes 4 MiB, and every host's order
// is sent again when it changes.
func TestOrderDoesNotGrowWithTheRegion(t *testing.T) {
	size := func(others int) int {
		names := make([]string, others)
		for i := range names {
			names[i] = fmt.Sprintf("web-%08d.zone-b.example", i)
		}
		p := planOf(0, "a")
		p.Probes = nil
		for i := range 50 {
			p.Probes = append(p.Probes, &pb.PlannedProbe{Name: fmt.Sprintf("shop_%02d", i), Hosts: append([]string{"a"}, names...)})
		}
		b := newBench(t)
		b.must(hosts("s1", 1, "a"), gated("r", p))
		if n := len(b.m.View().Order("a").GetProbes()); n != 50 {
			t.Fatalf("the order has %d probes", n)
		}
		return proto.Size(b.m.View().Order("a"))
	}
	if few, many := size(3), size(3000); many > few {
		t.Errorf("an order has %d bytes among 3 hosts, and %d among 3000", few, many)
	}
}

func TestEndedStepIsConfirmedAndNeverOrderedAgain(t *testing.T) {
	b := holding(t)
	before := b.m.View()
	b.must(steps(status("r", "a", pb.StepState_STEP_STATE_REVERTED)))
	o := b.m.View().Order("a")
	if len(o.GetTasks()) != 0 || len(o.GetConfirmed()) != 1 || o.GetIndex() <= before.Order("a").GetIndex() {
		t.Errorf("the order after the end is %v", o)
	}
	if !proto.Equal(before.Mark("b"), b.m.View().Mark("b")) {
		t.Error("the end on one host changed another's order")
	}
	b.must(endRun("r", pb.EndCause_END_CAUSE_UNDO), recovers("r"), finish("r"))
	if o := b.m.View().Order("a"); len(o.GetConfirmed()) != 1 || len(o.GetProbes()) != 0 {
		t.Errorf("the order of a run that is done is %v", o)
	}
}

// A host forgets what is confirmed, and with it that it owes a boot token.
func TestEndIsConfirmedOnlyWhenTheBootTokenIsBack(t *testing.T) {
	b := holding(t)
	b.must(tokens("r", "a"), steps(status("r", "a", pb.StepState_STEP_STATE_REVERTED)))
	if o := b.m.View().Order("a"); len(o.GetTasks())+len(o.GetConfirmed()) != 0 {
		t.Errorf("the order of a host that boots is %v", o)
	}
	ready := status("r", "a", pb.StepState_STEP_STATE_REVERTED)
	ready.ReadyAgain = true
	b.must(steps(ready))
	if o := b.m.View().Order("a"); len(o.GetConfirmed()) != 1 {
		t.Errorf("the order of a host that has booted is %v", o)
	}
}

func TestEqualMarksMeanEqualOrders(t *testing.T) {
	type key struct{ epoch, index uint64 }
	for seed := range uint64(20) {
		m := New()
		seen := map[string]map[key]*pb.Order{"a": {}, "b": {}, "c": {}, "d": {}}
		last := map[string]key{}
		for i, c := range randomLog(seed, 500) {
			m.Apply(uint64(i+1), c)
			for host, orders := range seen {
				o := m.View().Order(host)
				k := key{o.GetEpoch(), o.GetIndex()}
				if known := orders[k]; known != nil && !proto.Equal(known, o) {
					t.Fatalf("seed %d, command %v: the order of %s changed under its mark\n%v\n%v", seed, c, host, known, o)
				}
				if l := last[host]; k.epoch < l.epoch || k.epoch == l.epoch && k.index < l.index {
					t.Fatalf("seed %d: the mark of %s stepped back", seed, host)
				}
				orders[k], last[host] = o, k
			}
		}
	}
}

func TestRaisedEpochFencesEveryOrder(t *testing.T) {
	b := holding(t)
	before := b.m.View().Index()
	b.must(&pb.Command{Kind: &pb.Command_RaiseEpoch{RaiseEpoch: &pb.RaiseEpoch{}}})
	if _, all := b.m.View().Reordered(before); !all || b.m.View().Order("nobody").GetEpoch() != 2 {
		t.Error("a raised epoch did not change every order")
	}
}

func TestEachHostHasASeedOfItsOwn(t *testing.T) {
	seen := map[uint64]bool{}
	for _, host := range []string{"a", "b"} {
		for _, step := range []string{"x", "y"} {
			seen[seed(1, step, host)] = true
		}
	}
	if len(seen) != 4 {
		t.Errorf("%d seeds for four slots", len(seen))
	}
}

// Each order that a host takes up is a write of its journal: what a run only
// notes is no order.
func TestHoldingIsNoNewOrder(t *testing.T) {
	b := newBench(t)
	b.must(hosts("s1", 1, "a"), admit("r", planOf(2, "a")), fire("r", t0))
	before := b.m.View().Mark("a")
	b.must(hold("r"))
	if after := b.m.View().Mark("a"); !proto.Equal(before, after) {
		t.Errorf("the order was %v and is %v, with the same in it", before, after)
	}
	b.must(endRun("r", pb.EndCause_END_CAUSE_UNDO))
	if after := b.m.View().Mark("a"); proto.Equal(before, after) {
		t.Error("the end of the run is no new order")
	}
}
