package fleet

import (
	"slices"
	"testing"

	pb "squall/proto/squall/v1"
)

func pull(id string) *pb.Command {
	return &pb.Command{Kind: &pb.Command_Halt{Halt: &pb.Halt{Id: id}}}
}

func letGo(id string) *pb.Command {
	return &pb.Command{Kind: &pb.Command_Resume{Resume: &pb.Resume{Id: id}}}
}

// TestReminderSendsTheOrderThatTheAgentHas because a halt that came since has
// latched what the order lets go of.
func TestReminderSendsTheOrderThatTheAgentHas(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.must(pull("h"))
		r.must(letGo("h"))
		a := r.join("a")
		first := heard(a, orders)
		r.f.Alarm(&pb.HaltLatch{Id: "h", Engaged: true})
		if more := heard(a, orders); len(first) != 1 || len(more) != 0 {
			t.Fatalf("orders without a reminder: %v, then %v", first, more)
		}
		r.f.Remind()
		more := heard(a, orders)
		if len(more) != 1 || more[0].GetIndex() != first[0].GetIndex() || more[0].GetHalt().GetEngaged() || more[0].GetHalt().GetId() != "h" {
			t.Errorf("reminded by %v", more)
		}
	})
}

// TestOrderAnswersToTheLatchThatAnAgentCameWith if the log holds that halt and
// nothing is halted.
func TestOrderAnswersToTheLatchThatAnAgentCameWith(t *testing.T) {
	for name, c := range map[string]struct {
		latch   *pb.HaltLatch
		engaged bool
		want    bool
	}{
		"let go of long ago": {latch: &pb.HaltLatch{Id: "old", Engaged: true}, want: true},
		"unknown to the log": {latch: &pb.HaltLatch{Id: "new", Engaged: true}},
		"the host's own":     {latch: &pb.HaltLatch{Id: "old", Engaged: true, Local: true}},
		"another is engaged": {latch: &pb.HaltLatch{Id: "old", Engaged: true}, engaged: true},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				r.must(pull("old"))
				r.must(letGo("old"))
				for _, id := range names(100) {
					r.must(pull(id))
					r.must(letGo(id))
				}
				if c.engaged {
					r.must(pull("now"))
				}
				a := r.join("a", func(h *pb.Hello) { h.Halt = c.latch })
				o := heard(a, orders)
				if len(o) != 1 || slices.Contains(o[0].GetHalt().GetAlso(), "old") != c.want || o[0].GetHalt().GetEngaged() != c.engaged {
					t.Errorf("the order's lever is %v", o)
				}
				if slices.Contains(r.machine.View().Halt().GetAlso(), "old") {
					t.Error("the state's own lever was changed")
				}
			})
		})
	}
}

// TestOrderOlderThanAHaltLetsGoOfNothing is handed on by a leader that did not know
// of the halt yet.
func TestOrderOlderThanAHaltLetsGoOfNothing(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.must(pull("other"))
		r.must(letGo("other"))
		before := r.machine.View().Order("a")
		r.must(pull("h"))
		if o := answering(before, &pb.HaltLatch{Id: "h", Engaged: true}, r.machine.View()); o != before {
			t.Errorf("an order of index %d lets go of a halt of index %d", o.GetIndex(), r.machine.View().PulledAt("h"))
		}
	})
}
