package state

import (
	"testing"

	pb "squall/proto/squall/v1"
)

// TestEveryCommandIsCarriedOut: none that a proposer may write is unknown here.
func TestEveryCommandIsCarriedOut(t *testing.T) {
	arms := kinds().Fields()
	for i := range arms.Len() {
		if k := commands()[arms.Get(i).Name()]; k.carryOut == nil || k.forwards == nil {
			t.Errorf("nothing carries out %s, or says who proposes it", arms.Get(i).Name())
		}
	}
	if len(commands()) != arms.Len() {
		t.Errorf("%d commands are carried out, of %d that there are", len(commands()), arms.Len())
	}
}

// TestWhatTheLeaderDecidesIsNotForwarded, and what people and agents want is.
func TestWhatTheLeaderDecidesIsNotForwarded(t *testing.T) {
	for _, c := range []*pb.Command{
		prepare("r"), fire("r", t0), hold("r"), recovers("r"), finish("r"), phase("r", "dark"), tokens("r", "a"),
		endRun("r", pb.EndCause_END_CAUSE_COMPLETE), endRun("r", pb.EndCause_END_CAUSE_ABORT_RULE), seal("r"),
		inSlot(admit("r", planOf(0, "a")), "s", "2026-12-01T10:00", 0), passSlot("s", "2026-12-01T10:00", 0), holdSlot("s", "2026-12-01T10:00"),
		delivered(&pb.SinkProgress{Sink: "s"}),
		{Kind: &pb.Command_AcceptTime{AcceptTime: &pb.AcceptTime{}}},
		{Kind: &pb.Command_RaiseEpoch{RaiseEpoch: &pb.RaiseEpoch{}}},
		{Kind: &pb.Command_SetRules{SetRules: &pb.SetRules{Version: Rules}}},
		{},
	} {
		if Forwarded(c) {
			t.Errorf("forwarded is %v", c)
		}
	}
	for _, c := range []*pb.Command{
		hosts("s1", 1, "a"), steps(status("r", "a", pb.StepState_STEP_STATE_READY)), recorded(&pb.Window{Run: "r"}), keeps("s1", "r", "x"),
		halt("h"), resume("h"), admit("r", planOf(0, "a")), endRun("r", pb.EndCause_END_CAUSE_UNDO), forget("a"), confirmDamage("a", "1"),
		putSchedule("s", "2026-12-01T10:00"), removeSchedule("s"), pauseSchedule("s", true), putFile("x", "y"), removeFile("x", ""),
		putDays("d", "2026-12-31"), removeDays("d"), putSink("s"), removeSink("s"), settle("s", true), setGuard(protects("host=a"), false),
		removeGuard("g"), except("x", t0),
		{Kind: &pb.Command_PruneArchived{PruneArchived: &pb.PruneArchived{}}},
		{Kind: &pb.Command_AcceptTime{AcceptTime: &pb.AcceptTime{WallOffNanos: 5e9}}},
	} {
		if !Forwarded(c) {
			t.Errorf("not forwarded is %v", c)
		}
	}
}
