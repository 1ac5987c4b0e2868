package state

import (
	"testing"
	"time"

	pb "squall/proto/squall/v1"
)

func acceptTime(by string, off time.Duration) *pb.Command {
	return &pb.Command{By: &pb.Principal{Name: by, Why: "NTP is down"}, Kind: &pb.Command_AcceptTime{
		AcceptTime: &pb.AcceptTime{WallOffNanos: off.Nanoseconds()},
	}}
}

// TestTimeIsAcceptedByWhomAndUntilItAgrees: it is in a snapshot, on the record,
// and void after a restore, of whose clocks nobody has said anything.
func TestTimeIsAcceptedByWhomAndUntilItAgrees(t *testing.T) {
	m := New()
	if o := m.Apply(1, acceptTime("server", 0)); o.GetRefused() == nil {
		t.Error("what nobody accepted is ended")
	}
	m.Apply(2, acceptTime("kim", 5*time.Second))
	kept := New()
	if err := kept.Restore(m.Snapshot()); err != nil {
		t.Fatal(err)
	}
	for what, m := range map[string]*Machine{"it": m, "its snapshot": kept} {
		if a := m.View().AcceptedTime(); a.GetBy().GetName() != "kim" || a.GetBy().GetWhy() != "NTP is down" || a.GetWallOffNanos() != 5e9 {
			t.Errorf("%s says that what was accepted is %v", what, a)
		}
	}
	acts := m.View().Audit()
	if a := acts[len(acts)-1]; a.GetAct() != "accept time" || a.GetObject() != "5s" || a.GetBy().GetName() != "kim" {
		t.Errorf("on the record is %v", a)
	}
	if m.Apply(3, acceptTime("server", 0)); m.View().AcceptedTime() != nil {
		t.Error("it is accepted still where it agrees again")
	}
	kept.Apply(3, &pb.Command{Kind: &pb.Command_RaiseEpoch{RaiseEpoch: &pb.RaiseEpoch{}}})
	if kept.View().AcceptedTime() != nil {
		t.Error("it is accepted still after a restore")
	}
}
