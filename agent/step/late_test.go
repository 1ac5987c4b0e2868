package step

import (
	"slices"
	"testing"
	"time"

	"squall/agent/undo"
	pb "squall/proto/squall/v1"
)

// TestWhatOnlyTheDiskKnewIsTakenUp holds that a tombstone, an order's mark, a
// latch and damage that come late count as if they had been read at the start.
func TestWhatOnlyTheDiskKnewIsTakenUp(t *testing.T) {
	c := newCore("web-a1", "", instant{boot: time.Second, known: true}, nil, nil, nil)
	over := &undo.Step{Run: "r", Step: "dns.fail", State: pb.StepState_STEP_STATE_REVERTED, Cause: pb.RevertCause_REVERT_CAUSE_END}
	begun := c.newStep(&pb.Task{Run: "r2", Step: "dns.fail"})
	c.begin(begun)
	c.take(instant{boot: 2 * time.Second, known: true}, &tookUp{
		known: []*undo.Step{over}, order: &pb.OrderMark{Epoch: 1, Index: 9},
		latches: []*pb.HaltLatch{{Id: "h", Engaged: true}}, damage: &pb.Damage{Id: "d"},
	})
	p := c.picture()
	if !slices.ContainsFunc(p.statuses, func(s *pb.StepStatus) bool { return s.GetRun() == "r" && s.GetState() == reverted }) {
		t.Errorf("it tells %v", p.statuses)
	}
	if p.highest.GetIndex() != 9 || p.halted.GetId() != "h" || p.damage.GetId() != "d" {
		t.Errorf("order %v, halt %v, damage %v", p.highest, p.halted, p.damage)
	}
	if !begun.over() {
		t.Errorf("a halt of the disk lets %v go on", begun.state)
	}
	c.update(&pb.Task{Run: "r", Step: "dns.fail"})
	if c.steps[key{"r", "dns.fail"}].state != reverted {
		t.Error("a step that had ended begins anew")
	}
}
