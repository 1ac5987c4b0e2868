package fleet

import (
	"slices"
	"testing"
	"time"

	pb "squall/proto/squall/v1"
)

// recorded are the states of each command with reports, in the order of hosts.
func (r *rig) recorded() (all [][]pb.StepState) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.commands {
		var states []pb.StepState
		for _, s := range c.GetRecordSteps().GetSteps() {
			states = append(states, s.GetState())
		}
		if states != nil {
			all = append(all, states)
		}
	}
	return all
}

// TestReportsOfOneStageAreOneCommand, and the last of them waits for nothing.
func TestReportsOfOneStageAreOneCommand(t *testing.T) {
	inBubble(t, func(r *rig) {
		a, b, c := r.join("a"), r.join("b"), r.join("c")
		r.must(&pb.Command{Kind: &pb.Command_UpdateHosts{UpdateHosts: &pb.UpdateHosts{Hosts: []*pb.HostUpdate{
			{Name: "d", Server: "s2", Session: 1, Host: &pb.Host{Name: "d", Zone: "zone-a"}},
		}}}})
		r.admit("r", "a", "b", "c", "d")
		began := time.Now()
		for _, st := range []pb.StepState{ready, held, reverted} {
			a.report(stepOn("r", st))
			b.report(stepOn("r", st))
			c.report(stepOn("r", st))
		}
		want := [][]pb.StepState{{ready, ready, ready}, {held, held, held}, {reverted, reverted, reverted}}
		if got := r.recorded(); !slices.EqualFunc(got, want, slices.Equal) {
			t.Errorf("recorded %v", got)
		}
		if waited := time.Since(began); waited != 0 {
			t.Errorf("they waited %s", waited)
		}
	})
}

func TestReportWaitsNoLongerThanItsPatience(t *testing.T) {
	inBubble(t, func(r *rig) {
		a := r.join("a")
		r.join("b")
		r.admit("r", "a", "b")
		a.report(stepOn("r", ready))
		r.pass(Patience - 1)
		if r.step("r", "a") != nil {
			t.Error("the report did not wait")
		}
		r.pass(1)
		if r.step("r", "a").GetState() != ready {
			t.Error("the report waits for a host that says nothing")
		}
	})
}

// TestRefusalTakesAlongWhatWaits: what another host refuses goes at once.
func TestRefusalTakesAlongWhatWaits(t *testing.T) {
	inBubble(t, func(r *rig) {
		a, b := r.join("a"), r.join("b")
		r.join("c")
		r.admit("r", "a", "b", "c")
		a.report(stepOn("r", ready))
		b.report(stepOn("r", pb.StepState_STEP_STATE_REFUSED))
		if r.step("r", "a").GetState() != ready || r.step("r", "b").GetState() != pb.StepState_STEP_STATE_REFUSED {
			t.Errorf("recorded %v", r.recorded())
		}
	})
}

// TestHostsReportsKeepTheirOrder: what waits is replaced by what the host says next, and
// an older word that comes late takes nothing back.
func TestHostsReportsKeepTheirOrder(t *testing.T) {
	inBubble(t, func(r *rig) {
		a := r.join("a")
		r.join("b")
		r.admit("r", "a", "b")
		for _, st := range []pb.StepState{ready, held, ready} {
			a.report(stepOn("r", st))
		}
		r.pass(Patience)
		if got := r.recorded(); !slices.EqualFunc(got, [][]pb.StepState{{held}}, slices.Equal) {
			t.Errorf("recorded %v", got)
		}
	})
}
