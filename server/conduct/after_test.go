package conduct

import (
	"testing"
	"time"

	pb "squall/proto/squall/v1"
)

// TestNobodyWaitsForReadingsThatAreNotJudged: a run that was called off, and
// one that a person ended, are done as soon as the last host has reported.
func TestNobodyWaitsForReadingsThatAreNotJudged(t *testing.T) {
	for name, play := range map[string]func(*world){
		"a host does not arm": func(w *world) { w.host("c").slow = true },
		"a host refuses":      func(w *world) { w.host("c").refuses = true },
		"undo":                func(w *world) { w.after(8*time.Second, func() { w.whenLed(w.undo) }) },
		"halt":                func(w *world) { w.after(8*time.Second, func() { w.whenLed(w.halt) }) },
	} {
		t.Run(name, func(t *testing.T) {
			w := stage(t, scene{hosts: abc, experiment: measured, plan: probed, play: play, success: unwell})
			w.play()
			entered := w.run().GetEnteredUnixNanos()
			ended := entered[uint32(pb.RunState_RUN_STATE_REVERTING)]
			took := time.Duration(entered[uint32(pb.RunState_RUN_STATE_DONE)] - ended)
			if ended == 0 || took > 10*travel {
				t.Errorf("done %v after its end\n%s", took, w.trace.String())
			}
		})
	}
}

// TestHostWhoseClockIsAheadKeepsNoRunOpen plays one that says, by a clock that
// stepped, when it let go, and whose workloads don't come back.
func TestHostWhoseClockIsAheadKeepsNoRunOpen(t *testing.T) {
	for _, ahead := range []time.Duration{0, time.Hour, 100 * 365 * 24 * time.Hour} {
		w := stage(t, scene{hosts: abc, plan: func(p *pb.Plan) {
			p.Steps[0].Fault = &pb.Fault{Kind: &pb.Fault_PowerOff{PowerOff: &pb.PowerOff{Back: &pb.WayBack{Start: pb.BackStart_BACK_START_WORKLOADS}}}}
			p.Steps[0].BootTokens, p.Steps[0].BootLimitNanos = 3, int64(20*time.Second)
		}, play: func(w *world) { w.host("b").down, w.host("b").ahead = true, ahead }})
		w.play()
		if took := w.now.Sub(w.start); took > 3*time.Minute {
			t.Errorf("a clock that is %s ahead keeps the run open for %s\n%s", ahead, took, w.trace.String())
		}
	}
}

// unwell is a shop that is well until the run fires, and never again.
func unwell(_ string, second int) float64 {
	if second > 4 {
		return 0.5
	}
	return 1
}
