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

// unwell is a shop that is well until the run fires, and never again.
func unwell(_ string, second int) float64 {
	if second > 4 {
		return 0.5
	}
	return 1
}
