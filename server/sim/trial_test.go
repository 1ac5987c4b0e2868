package sim

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"squall/proto/parts"
	pb "squall/proto/squall/v1"
)

// TestAPlanShowsWhatItsProbesShowNow: each agent is asked once, whichever server
// holds its stream, the gate is judged, nothing is recorded, and a host that
// has gone is named.
func TestAPlanShowsWhatItsProbesShowNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t, settings{})
		planned := func(server string) *pb.Trial {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			made, err := parts.Ask[pb.Plan](ctx, r.user(server).Plan, &pb.PlanRequest{File: "short.yaml", Source: []byte(short), TryProbes: true})
			if err != nil || len(made.GetProblems()) > 0 {
				t.Fatal(err, made.GetProblems())
			}
			return made.GetTrial()
		}
		before := r.view().Index()
		trial := planned("s2")
		if len(trial.GetProbes()) < 2 || len(trial.GetSteadyState()) != 2 {
			t.Fatalf("it tried %v", trial)
		}
		for _, p := range trial.GetProbes() {
			for _, a := range p.GetAttempts() {
				if !a.GetOk() || a.GetHost() == "" {
					t.Errorf("%s: %v", p.GetProbe(), a)
				}
			}
		}
		for _, s := range trial.GetSteadyState() {
			if !s.GetHolds() {
				t.Errorf("the gate: %v", s)
			}
		}
		if runs := r.view().Runs(); len(runs) != 0 || r.view().Index() != before {
			t.Errorf("it left a trace: %v, index %d to %d", runs, before, r.view().Index())
		}
		lost := r.machines[0]
		lost.stop()
		<-lost.done
		named := false
		for _, p := range planned("s1").GetProbes() {
			for _, a := range p.GetAttempts() {
				named = named || a.GetHost() == lost.name && a.GetMissing() && a.GetError() != ""
			}
		}
		if !named {
			t.Errorf("nobody says that %s did not answer", lost.name)
		}
	})
}
