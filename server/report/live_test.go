package report_test

import (
	"testing"
	"time"

	pb "squall/proto/squall/v1"
	"squall/server/report"
)

// TestLiveShowsEachHostAtItsWorst: the map of zones tells what is done to whom,
// who is silent, and where something is left.
func TestLiveShowsEachHostAtItsWorst(t *testing.T) {
	b := begun(t)
	b.host("outside", "s1", 1)
	b.step("a", pb.StepState_STEP_STATE_HELD)
	b.step("b", pb.StepState_STEP_STATE_REVERTED, "a link")
	b.step("c", pb.StepState_STEP_STATE_HELD)
	b.apply(&pb.Command{Kind: &pb.Command_UpdateHosts{UpdateHosts: &pb.UpdateHosts{Hosts: []*pb.HostUpdate{{Name: "c", Session: 1}}}}})
	v := b.m.View()
	live := report.Live(v, v.Run("r"), time.Unix(0, b.now))
	want := map[string]pb.HostCondition{
		"a": pb.HostCondition_HOST_CONDITION_DEGRADED, "b": pb.HostCondition_HOST_CONDITION_RESIDUE,
		"c": pb.HostCondition_HOST_CONDITION_UNKNOWN, "d": pb.HostCondition_HOST_CONDITION_LIT,
		"outside": pb.HostCondition_HOST_CONDITION_LIT,
	}
	for _, h := range live.GetHosts() {
		if h.GetCondition() != want[h.GetName()] {
			t.Errorf("%s is %v, want %v", h.GetName(), h.GetCondition(), want[h.GetName()])
		}
	}
	if len(live.GetHosts()) != len(want) {
		t.Errorf("%d hosts are shown, want %d", len(live.GetHosts()), len(want))
	}
	if f := live.GetFaults()[0]; f.GetHeld() != 1 || f.GetHosts() != 4 || f.GetEndUnixNanos() != t0+60e9 {
		t.Errorf("the fault is shown as %v", f)
	}
	if len(live.GetResidue()) != 2 {
		t.Errorf("left over: %v", live.GetResidue())
	}
}
