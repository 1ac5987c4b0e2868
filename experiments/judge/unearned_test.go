package judge_test

import (
	"testing"

	pb "squall/proto/squall/v1"
)

// powered makes the step of a good run one that takes the power of whole hosts.
func powered(run *pb.Run) *pb.PlannedStep {
	step := run.Plan.Steps[0]
	step.Fault = &pb.Fault{Kind: &pb.Fault_PowerOff{PowerOff: &pb.PowerOff{}}}
	for _, s := range run.Steps[step.Id].Hosts {
		s.ReadyAgain = true
	}
	return step
}

func TestHostThatDoesNotSayThatItIsReadyIsNoPass(t *testing.T) {
	silent := func(back *pb.WayBack) func(*pb.Run, *measured) {
		return func(run *pb.Run, _ *measured) {
			powered(run).Fault.GetPowerOff().Back = back
			run.Steps["dark.power.off"].Hosts["a2"].ReadyAgain = false
		}
	}
	verdict, list := judged(t, "", func(run *pb.Run, _ *measured) { powered(run) })
	wants(t, verdict, pb.Verdict_VERDICT_PASS, list, "dark.power.off HOLDS")
	verdict, list = judged(t, "", silent(nil))
	wants(t, verdict, pb.Verdict_VERDICT_INCONCLUSIVE, list, "RECOVERY dark.power.off UNKNOWN: its workloads are not known to be ready again")
	verdict, list = judged(t, "", silent(&pb.WayBack{Start: pb.BackStart_BACK_START_NONE}))
	wants(t, verdict, pb.Verdict_VERDICT_PASS, list, "dark.power.off HOLDS")
	verdict, list = judged(t, "", func(run *pb.Run, m *measured) {
		silent(nil)(run, m)
		run.Steps["dark.power.off"].Hosts["a1"].RecoveryFailures = []*pb.RecoveryFailure{{Workload: "web", Why: "refused"}}
	})
	wants(t, verdict, pb.Verdict_VERDICT_FAIL, list, "web did not come back: refused")
}
