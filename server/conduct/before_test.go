package conduct

import (
	"strings"
	"testing"
	"time"

	pb "squall/proto/squall/v1"
)

// fireWithout plays a run to its firing; one of its hosts does not arm.
func fireWithout(t *testing.T, host string) *world {
	t.Helper()
	w := stage(t, scene{hosts: abc, play: func(w *world) { w.host(host).slow = true }})
	for w.run().GetState() != pb.RunState_RUN_STATE_FIRED {
		if !w.step() {
			t.Fatal("the run does not fire")
		}
	}
	for len(w.queue) > 0 && w.queue[0].at.Before(w.now.Add(100*time.Millisecond)) {
		next := w.queue[0]
		w.queue, w.now = w.queue[1:], next.at
		next.do()
	}
	return w
}

// TestHostsWordPutsNothingOff plays a host that says what can't be: no run waits
// for it longer than for one that is merely slow.
func TestHostsWordPutsNothingOff(t *testing.T) {
	trip := func(d time.Duration) func(*world) {
		return func(w *world) {
			w.commit(&pb.Command{Id: "trip", Kind: &pb.Command_UpdateHosts{UpdateHosts: &pb.UpdateHosts{Hosts: []*pb.HostUpdate{
				{Name: "b", Server: "s1", Session: 1, RoundTripNanos: int64(d)},
			}}}})
		}
	}
	for name, play := range map[string]func(*world){
		"arming takes an hour":             func(w *world) { w.host("b").says = time.Hour },
		"arming takes for ever":            func(w *world) { w.host("b").says = 1 << 62 },
		"a round trip of ten minutes":      trip(10 * time.Minute),
		"a round trip that takes for ever": trip(1<<63 - 1),
	} {
		t.Run(name, func(t *testing.T) {
			w := stage(t, scene{hosts: abc, play: play})
			w.play()
			if ahead := time.Unix(0, w.run().GetT0UnixNanos()).Sub(w.start); ahead > time.Minute {
				t.Errorf("the start lies %s ahead\n%s", ahead, w.trace.String())
			}
		})
	}
}

// A leader that looks late, before the start or after it, ends a run that is
// not whole at once. Half of the hosts would be hurt alone.
func TestMissingHostEndsTheRunAtOnceHoweverLateTheLook(t *testing.T) {
	w := fireWithout(t, "c")
	t0 := time.Unix(0, w.run().GetT0UnixNanos())
	wake := Decide(w.now, w.m.View(), "r").Wake
	if margin := t0.Sub(wake); margin < usualSlop {
		t.Errorf("the cancel is due %s before the start: a look that is a little late misses it", margin)
	}
	for _, late := range []time.Duration{0, 8 * time.Millisecond, 30 * time.Millisecond, time.Second, time.Minute} {
		d := Decide(wake.Add(late), w.m.View(), "r")
		if len(d.Record) != 1 || d.Record[0].GetEndRun().GetCause() != pb.EndCause_END_CAUSE_NOT_READY {
			t.Errorf("looked at %s late: %v", late, d.Record)
		}
	}
}

// The bound follows the leader's own lateness.
func TestCancelLeavesRoomForTheSlopOfTheLeader(t *testing.T) {
	w := fireWithout(t, "c")
	t0 := time.Unix(0, w.run().GetT0UnixNanos())
	d := Decider{Slop: 200 * time.Millisecond}
	if margin := t0.Sub(d.Decide(w.now, w.m.View(), "r").Wake); margin < d.Slop {
		t.Errorf("the cancel is due %s before the start of a leader that is up to %s late", margin, d.Slop)
	}
}

// Acknowledgements that waited for a leader get time to arrive, and no more.
func TestNewLeaderWaitsForAcknowledgementsOnTheirWay(t *testing.T) {
	w := fireWithout(t, "c")
	t0 := time.Unix(0, w.run().GetT0UnixNanos()).UTC()
	d := Decider{Since: t0.Add(time.Second)}
	got := d.Decide(d.Since, w.m.View(), "r")
	if len(got.Record) != 0 || !got.Wake.Equal(d.Since.Add(ackGrace)) {
		t.Errorf("the new leader does %v and looks again at %v", got.Record, got.Wake)
	}
	if got := d.Decide(got.Wake, w.m.View(), "r"); len(got.Record) != 1 || got.Record[0].GetEndRun() == nil {
		t.Errorf("the new leader still waits: %v", got.Record)
	}
}

// An old leader's firing that commits after its instant hurts nobody late: it
// is tried again under a new number.
func TestFiringThatCommitsTooLateIsTriedAgain(t *testing.T) {
	w := stage(t, scenes["complete"])
	w.crash = func(decision int) accident {
		if decision == 1 {
			return delayed
		}
		return none
	}
	w.play()
	w.checkHosts()
	if w.run().GetFires() != 2 || w.run().GetVerdict() != pb.Verdict_VERDICT_PASS {
		t.Errorf("%d firings, %v\n%s", w.run().GetFires(), w.run().GetVerdict(), w.trace.String())
	}
	if !strings.Contains(w.trace.String(), "fire/2") {
		t.Errorf("no second firing:\n%s", w.trace.String())
	}
}

// A firing that somebody obeyed is not tried again.
func TestFiringThatSomebodyObeyedIsNotTriedAgain(t *testing.T) {
	w := fireWithout(t, "c")
	again := &pb.Command{Id: "again", Kind: &pb.Command_Fire{Fire: &pb.Fire{Run: "r", Number: 2, T0UnixNanos: w.now.Add(time.Hour).UnixNano()}}}
	before := w.run().GetT0UnixNanos()
	if o := w.commit(again); o.GetRefused() == nil || w.run().GetT0UnixNanos() != before {
		t.Errorf("the instant moved although hosts have armed: %v", o)
	}
}

// An ad hoc fault begins on most hosts although one arms slowly, and although one
// commit of late was slow.
func TestAdHocFaultDoesNotWaitForTheSlowest(t *testing.T) {
	w := stage(t, scene{hosts: abc, play: func(w *world) { w.adHoc, w.host("b").says = true, 3*time.Second }})
	w.play()
	if ahead := time.Unix(0, w.run().GetT0UnixNanos()).Sub(w.start); ahead > 100*time.Millisecond {
		t.Errorf("the start lies %s ahead\n%s", ahead, w.trace.String())
	}
	var commits estimate
	for _, took := range []time.Duration{4 * time.Millisecond, time.Second, 5 * time.Millisecond} {
		commits.add(took)
	}
	if usual := commits.usual(); usual != 5*time.Millisecond {
		t.Errorf("a commit usually takes %s", usual)
	}
}
