package step

import (
	"testing"
	"time"

	pb "squall/proto/squall/v1"
)

// An order that lists a step twice, each time with a firing that came too late,
// is looked at once: who goes from one firing to the other never ends.
func TestTwoFiringsTooLateEnd(t *testing.T) {
	now := instant{boot: time.Hour, offset: sceneOffset, known: true}
	c := newCore("web-a1", "", now, nil, nil, nil)
	c.take(now, &renewed{now.boot})
	firing := func(until time.Duration) *pb.Task {
		return &pb.Task{
			Run: "r", Step: "dns", Fire: true, Fault: &pb.Fault{Kind: &pb.Fault_DnsFail{DnsFail: &pb.DNSFail{}}},
			ObeyUntilUnixNanos: int64(sceneOffset + until), StartUnixNanos: int64(sceneOffset + until),
			EndUnixNanos: int64(sceneOffset + 2*time.Hour), DeadlineUnixNanos: int64(sceneOffset + 3*time.Hour),
		}
	}
	c.take(now, &ordered{order: &pb.Order{Epoch: 1, Index: 1, Tasks: []*pb.Task{firing(time.Minute), firing(2 * time.Minute)}}})
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.take(now, &planned{key: key{"r", "dns"}, changes: []*pb.Change{{}}, facts: &pb.Facts{}, factsAt: now.boot})
	}()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Fatal("it never comes to an end")
	}
	if s := c.steps[key{"r", "dns"}]; s.state != pb.StepState_STEP_STATE_READY {
		t.Errorf("it is %s, with both firings past", s.state)
	}
}
