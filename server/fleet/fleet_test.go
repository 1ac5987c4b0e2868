package fleet

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"squall/proto/hist"
	pb "squall/proto/squall/v1"
)

func window(host int, count uint64) *pb.Window {
	h := &pb.Histogram{}
	hist.Add(h, int64(count))
	return &pb.Window{Run: "r", Probe: "p", Zone: "z", Second: 7, Hosts: bitOf(host), Count: count, Success: 1, Latency: h}
}

func taken(m *merger) []*pb.Window {
	cmd, _ := m.take()
	return cmd.GetRecordWindows().GetWindows()
}

func TestWindowsOfOneSecondBecomeOne(t *testing.T) {
	m := newMerger()
	m.add("h", []*pb.Window{window(0, 3)}, false, nil)
	m.add("h", []*pb.Window{window(9, 4)}, false, nil)
	got := taken(m)
	if len(got) != 1 || got[0].GetCount() != 7 || got[0].GetSuccess() != 2 || hist.Count(got[0].GetLatency()) != 2 {
		t.Fatalf("merged into %v", got)
	}
	if h := got[0].GetHosts(); len(h) != 2 || h[0] != 1 || h[1] != 2 {
		t.Errorf("hosts %v", h)
	}
}

func TestWindowSentAgainTravelsAloneAndLast(t *testing.T) {
	m := newMerger()
	m.add("h", []*pb.Window{window(0, 3)}, true, nil)
	m.add("h", []*pb.Window{window(0, 3)}, false, nil)
	m.add("h", []*pb.Window{window(1, 4)}, false, nil)
	m.add("h", []*pb.Window{window(1, 4)}, false, nil) // the same reading under no flag
	got := taken(m)
	if len(got) != 3 || got[0].GetCount() != 7 || got[1].GetCount() != 3 || got[2].GetCount() != 4 {
		t.Errorf("travels as %v", got)
	}
}

func TestMergingLeavesTheAgentsOwnMessageAlone(t *testing.T) {
	m := newMerger()
	first := window(0, 3)
	before := proto.CloneOf(first)
	m.add("h", []*pb.Window{first}, false, nil)
	m.add("h", []*pb.Window{window(1, 4)}, false, nil)
	if !proto.Equal(first, before) {
		t.Error("the first window was changed by the second")
	}
}

func TestMergerIsBounded(t *testing.T) {
	m := newMerger()
	for i := range maxWindows {
		w := window(0, 1)
		w.Second = int64(i)
		if !m.add(fmt.Sprint("h", i%8), []*pb.Window{w}, false, nil) {
			t.Fatalf("full at %d", i)
		}
	}
	if m.add("h", []*pb.Window{window(0, 1)}, false, func() { t.Error("acknowledged what was not taken") }) {
		t.Error("took one more than there is room for")
	}
	_, committed := m.take()
	committed(nil)
}

func TestLateReportDoesNotHideTheEnd(t *testing.T) {
	q := newSteps()
	at := func(s pb.StepState) *pb.StepStatus {
		return &pb.StepStatus{Run: "r", Step: "s", Host: "h", State: s}
	}
	q.add(at(pb.StepState_STEP_STATE_REVERTED))
	q.add(at(pb.StepState_STEP_STATE_READY))
	cmd, _ := q.take()
	got := cmd.GetRecordSteps().GetSteps()
	if len(got) != 1 || got[0].GetState() != pb.StepState_STEP_STATE_REVERTED {
		t.Errorf("recorded %v", got)
	}
}

func TestRegistryUpdateOfAnOlderSessionIsDropped(t *testing.T) {
	q := newHosts()
	q.add(&pb.HostUpdate{Name: "h", Session: 5, Server: "a", Host: &pb.Host{Name: "h"}})
	q.add(&pb.HostUpdate{Name: "h", Session: 4})
	q.add(&pb.HostUpdate{Name: "h", Session: 5, Server: "a", RoundTripNanos: 9})
	cmd, _ := q.take()
	got := cmd.GetUpdateHosts().GetHosts()
	if len(got) != 1 || got[0].GetSession() != 5 || got[0].GetHost() == nil || got[0].GetRoundTripNanos() != 9 {
		t.Errorf("proposes %v", got)
	}
}

func TestSlowReaderCostsOneOfEachKind(t *testing.T) {
	o := newOutbox()
	for i := range uint64(10_000) {
		o.setOrder(&pb.Order{Index: i})
		o.setPong(&pb.Pong{Seq: i})
		o.halt(&pb.HaltLatch{Id: "h"})
		o.ack(i)
	}
	got := o.drain()
	if len(got) != 3+maxAcks {
		t.Errorf("%d messages wait", len(got))
	}
	if got[0].GetHalt() == nil || got[1].GetOrder().GetIndex() != 9999 || got[2].GetPong().GetSeq() != 9999 {
		t.Error("the halt does not go first, or the newest does not win")
	}
	if len(o.drain()) != 0 {
		t.Error("a message is sent twice")
	}
}

func TestMarksAreOrderedByEpochFirst(t *testing.T) {
	old, young := &pb.OrderMark{Epoch: 1, Index: 900}, &pb.OrderMark{Epoch: 2, Index: 3}
	if !before(old, young) || before(young, old) || before(old, old) || !before(nil, old) {
		t.Error("a raised epoch does not outrank every index of before")
	}
}

func TestQueueOfReportsIsBoundedByBytes(t *testing.T) {
	q := newSteps()
	add := func(host string, n int) {
		for i := range n {
			st := &pb.StepStatus{Run: fmt.Sprint("r", i), Step: "s", Host: host, State: pb.StepState_STEP_STATE_REVERTED}
			for range maxLines {
				st.Residue = append(st.Residue, strings.Repeat("x", maxLine))
			}
			q.add(st)
		}
	}
	add("greedy", 40)
	if n := q.waiting["greedy"]; n > hostBytes || n < hostBytes/2 {
		t.Errorf("%d bytes of one host wait", n)
	}
	for i := range 30 {
		add(fmt.Sprint("modest-", i), 1)
	}
	taken := make(map[string]bool)
	for {
		cmd, _ := q.take()
		if cmd == nil {
			break
		}
		if n := proto.Size(cmd); n > batchBytes+maxStep {
			t.Errorf("a command of %d bytes", n)
		}
		for _, s := range cmd.GetRecordSteps().GetSteps() {
			taken[s.GetHost()] = true
		}
	}
	if len(taken) != 31 || len(q.waiting) != 0 {
		t.Errorf("%d hosts are heard, %v waits", len(taken), q.waiting)
	}
}
