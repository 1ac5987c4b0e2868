package state

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
	"squall/proto/text"
)

func putSchedule(name, after string) *pb.Command {
	return &pb.Command{By: &pb.Principal{Name: "ann"}, Kind: &pb.Command_PutSchedule{PutSchedule: &pb.PutSchedule{
		Name: name, After: after, Experiment: &pb.Experiment{Name: "drill", Schedule: &pb.Schedule{
			Every: "day at 10:00", Timezone: "UTC", OnFail: "pause", Retry: 2, Count: 3,
		}},
	}}}
}

func removeSchedule(name string) *pb.Command {
	return &pb.Command{Kind: &pb.Command_RemoveSchedule{RemoveSchedule: &pb.RemoveSchedule{Name: name}}}
}

func pauseSchedule(name string, paused bool) *pb.Command {
	return &pb.Command{By: &pb.Principal{Name: "bob"}, Kind: &pb.Command_PauseSchedule{PauseSchedule: &pb.PauseSchedule{Name: name, Paused: paused}}}
}

func passSlot(name, slot string, try uint32) *pb.Command {
	return &pb.Command{Kind: &pb.Command_PassSlot{PassSlot: &pb.PassSlot{
		Slot: &pb.SlotRef{Schedule: name, Slot: slot, Try: try}, Outcome: pb.SlotOutcome_SLOT_OUTCOME_SKIPPED, Why: "a rule",
	}}}
}

func holdSlot(name, slot string) *pb.Command {
	return &pb.Command{Kind: &pb.Command_HoldSlot{HoldSlot: &pb.HoldSlot{Slot: &pb.SlotRef{Schedule: name, Slot: slot}, Why: "doubt"}}}
}

// inSlot is an admission in a slot, of which tries may begin for ever.
func inSlot(c *pb.Command, name, slot string, try uint32) *pb.Command {
	c = proto.CloneOf(c)
	c.GetAdmitRun().Slot = &pb.SlotRef{Schedule: name, Slot: slot, Try: try, UntilUnixNanos: 1 << 62}
	return c
}

func endsAs(run string, v pb.Verdict) *pb.Command {
	return &pb.Command{Kind: &pb.Command_Finish{Finish: &pb.Finish{Run: run, Verdict: v}}}
}

// drills are one machine and what is done to it.
type drills struct {
	*testing.T
	*Machine
	index uint64
}

func (d *drills) do(c *pb.Command) *pb.Problem {
	d.index++
	c.Id, c.AtUnixNanos = fmt.Sprint("id-", d.index), int64(d.index)*1e9
	return d.Apply(d.index, c).GetRefused()
}

func (d *drills) must(commands ...*pb.Command) {
	d.Helper()
	for _, c := range commands {
		if p := d.do(c); p != nil {
			d.Fatalf("%v: %v", c, p)
		}
	}
}

// runs is a run of a slot from beginning to end.
func (d *drills) runs(run, slot string, v pb.Verdict) {
	d.Helper()
	d.must(inSlot(admit(run, planOf(0, "a")), "s", slot, 0), endRun(run, pb.EndCause_END_CAUSE_RUNTIME), endsAs(run, v))
}

func newDrills(t *testing.T) *drills {
	d := &drills{T: t, Machine: New()}
	d.must(hosts("s1", 1, "a"), putSchedule("s", "2026-12-01T09:00"))
	return d
}

// TestFailedDrillPausesItsSchedule with the command that ends its run, and says
// which it was; what began nothing, or was ended by somebody, does not.
func TestFailedDrillPausesItsSchedule(t *testing.T) {
	for v, paused := range map[pb.Verdict]bool{
		pb.Verdict_VERDICT_PASS: false, pb.Verdict_VERDICT_FAIL: true, pb.Verdict_VERDICT_ABORTED: true,
		pb.Verdict_VERDICT_HALTED: false, pb.Verdict_VERDICT_INCONCLUSIVE: true, pb.Verdict_VERDICT_ERROR: true,
		pb.Verdict_VERDICT_NOT_STARTED: false, pb.Verdict_VERDICT_DONE: false,
	} {
		t.Run(text.Word(v), func(t *testing.T) {
			d := newDrills(t)
			d.runs("r", "2026-12-01T10:00", v)
			s := d.View().Schedule("s")
			if (s.GetPausedBy() != nil) != paused || s.GetHistory()[0].GetVerdict() != v {
				t.Fatalf("it is %v", s)
			}
			if !paused {
				return
			}
			want := "run r of slot 2026-12-01T10:00 ended as " + text.Word(v)
			audit := d.View().snapshot().GetAudit()
			if last := audit[len(audit)-1]; s.GetPausedRun() != "r" || s.GetPausedBy().GetWhy() != want || last.GetAct() != "pause schedule" || last.GetObject() != "s" {
				t.Errorf("paused by %v, on record as %v", s.GetPausedBy(), last)
			}
			if d.must(pauseSchedule("s", false)); d.View().Schedule("s").GetPausedRun() != "" {
				t.Error("it goes on, and is paused by the run still")
			}
		})
	}
}

// TestRunThatIsEndedAtItsGateIsNoneOfTheCount, nor does it pause its schedule,
// whoever ends it.
func TestRunThatIsEndedAtItsGateIsNoneOfTheCount(t *testing.T) {
	for v, by := range map[pb.Verdict]func(run string) (ends, lifted *pb.Command){
		pb.Verdict_VERDICT_HALTED: func(run string) (ends, lifted *pb.Command) { return halt(run), resume(run) },
		pb.Verdict_VERDICT_ERROR: func(string) (ends, lifted *pb.Command) {
			return setGuard(protects("host=a"), true), removeGuard("protected")
		},
	} {
		t.Run(text.Word(v), func(t *testing.T) {
			d := newDrills(t)
			for passed, run := range []string{"waiting", "passed"} {
				ends, lifted := by(run)
				d.must(inSlot(gated(run, planOf(0, "a")), "s", fmt.Sprint("2026-12-01T1", passed, ":00"), 0))
				if passed == 1 {
					d.must(prepare(run))
				}
				if d.must(ends); d.View().Run(run).GetState() != pb.RunState_RUN_STATE_REVERTING {
					t.Fatalf("the run is %v", d.View().Run(run).GetState())
				}
				d.must(endsAs(run, v), lifted)
				s := d.View().Schedule("s")
				if paused := s.GetPausedBy() != nil; int(s.GetBegun()) != passed || paused != (passed == 1 && v == pb.Verdict_VERDICT_ERROR) || s.GetRetry() != nil || s.GetHistory()[passed].GetVerdict() != v {
					t.Errorf("after the run that was %s the schedule is %v", run, s)
				}
			}
		})
	}
}

// TestPauseOfSomebodyIsTheirs, whatever a run comes to.
func TestPauseOfSomebodyIsTheirs(t *testing.T) {
	d := newDrills(t)
	d.must(inSlot(admit("r", planOf(0, "a")), "s", "2026-12-01T10:00", 0), pauseSchedule("s", true),
		endRun("r", pb.EndCause_END_CAUSE_RUNTIME), endsAs("r", pb.Verdict_VERDICT_FAIL))
	if s := d.View().Schedule("s"); s.GetPausedBy().GetName() != "bob" || s.GetPausedRun() != "" {
		t.Errorf("it is paused by %v, run %q", s.GetPausedBy(), s.GetPausedRun())
	}
}

// TestRunOfAScheduleThatIsGone says nothing to another one of its name.
func TestRunOfAScheduleThatIsGone(t *testing.T) {
	d := newDrills(t)
	d.must(inSlot(admit("r", planOf(0, "a")), "s", "2026-12-01T10:00", 0), removeSchedule("s"), putSchedule("s", "2026-12-01T09:00"),
		endRun("r", pb.EndCause_END_CAUSE_RUNTIME), endsAs("r", pb.Verdict_VERDICT_FAIL))
	if s := d.View().Schedule("s"); s.GetPausedBy() != nil || s.GetBegun() != 0 {
		t.Errorf("the new schedule is %v", s)
	}
}

// TestPutAgainGoesOn: its runs stay counted, a pause stays, and no slot is dealt
// with twice.
func TestPutAgainGoesOn(t *testing.T) {
	d := newDrills(t)
	d.runs("r", "2026-12-01T10:00", pb.Verdict_VERDICT_FAIL)
	d.must(putSchedule("s", "2026-12-01T09:30"))
	s := d.View().Schedule("s")
	if s.GetBegun() != 1 || s.GetPausedRun() != "r" || len(s.GetHistory()) != 1 {
		t.Errorf("put again it is %v", s)
	}
	if p := d.do(passSlot("s", "2026-12-01T10:00", 0)); !strings.Contains(p.GetMessage(), "was dealt with before") {
		t.Errorf("a slot is dealt with again: %v", p)
	}
}

// TestWhatIsNotDealtWithIsOnRecordAsReplaced: of what the server that was asked
// saw, what was dealt with before the commit stays as it was.
func TestWhatIsNotDealtWithIsOnRecordAsReplaced(t *testing.T) {
	d := newDrills(t)
	d.must(passSlot("s", "2026-12-01T10:00", 0), holdSlot("s", "2026-12-01T12:00"))
	put := putSchedule("s", "2026-12-01T12:00")
	put.GetPutSchedule().Undone = []string{"2026-12-01T10:00", "2026-12-01T11:00"}
	d.must(put)
	s := d.View().Schedule("s")
	rec := s.GetHistory()[len(s.GetHistory())-1]
	if len(s.GetHistory()) != 2 || s.GetHeld() != nil || rec.GetOutcome() != pb.SlotOutcome_SLOT_OUTCOME_SKIPPED || rec.GetWhy() != "replaced by ann" ||
		fmt.Sprintf("%d %s %s", rec.GetCount(), rec.GetFrom(), rec.GetSlot()) != "2 2026-12-01T11:00 2026-12-01T12:00" {
		t.Errorf("replaced it is %v", s)
	}
}

// TestOnlyTheTryThatIsWaitedForIsLetIn: each is let in once, and is a run in the
// slot's one record.
func TestOnlyTheTryThatIsWaitedForIsLetIn(t *testing.T) {
	const slot = "2026-12-01T10:00"
	d := newDrills(t)
	try := func(run string, n uint32) *pb.Problem { return d.do(inSlot(admit(run, planOf(0, "a")), "s", slot, n)) }
	fails := func(run string) {
		d.must(endRun(run, pb.EndCause_END_CAUSE_STEADY_STATE), endsAs(run, pb.Verdict_VERDICT_NOT_STARTED))
	}
	if try("r2", 2) == nil {
		t.Error("a second try is let in before the first")
	}
	d.runs("r", slot, pb.Verdict_VERDICT_NOT_STARTED)
	if r := d.View().Schedule("s").GetRetry(); r.GetSlot().GetTry() != 2 || r.GetAtUnixNanos() != int64(d.index)*1e9+retryAfter.Nanoseconds() {
		t.Errorf("what waits is %v", r)
	}
	if try("r3", 3) == nil || try("r1", 1) == nil {
		t.Error("another try than the second is let in")
	}
	if p := try("r2", 2); p != nil {
		t.Fatal(p)
	}
	if try("again", 2) == nil {
		t.Error("the second try is let in twice")
	}
	fails("r2")
	if p := try("r3", 3); p != nil {
		t.Fatal(p)
	}
	fails("r3")
	s := d.View().Schedule("s")
	if rec := s.GetHistory()[0]; s.GetRetry() != nil || len(s.GetHistory()) != 1 || fmt.Sprint(rec.GetEarlier(), rec.GetRun()) != "[r r2]r3" || s.GetBegun() != 0 {
		t.Errorf("after three tries it is %v", s)
	}
}

// TestSlotThatWaitsIsOnRecord until it is dealt with.
func TestSlotThatWaitsIsOnRecord(t *testing.T) {
	d := newDrills(t)
	d.must(holdSlot("s", "2026-12-01T10:00"))
	if h := d.View().Schedule("s").GetHeld(); h.GetSlot() != "2026-12-01T10:00" || h.GetWhy() != "doubt" || h.GetSinceUnixNanos() == 0 {
		t.Errorf("what waits is %v", h)
	}
	d.must(passSlot("s", "2026-12-01T10:00", 0))
	if h := d.View().Schedule("s").GetHeld(); h != nil {
		t.Errorf("%v waits still", h)
	}
	if d.do(holdSlot("s", "2026-12-01T10:00")) == nil {
		t.Error("a slot that was dealt with waits")
	}
}

// TestSlotSaysWhyItsRunDidNotStart until another try has begun.
func TestSlotSaysWhyItsRunDidNotStart(t *testing.T) {
	d := newDrills(t)
	end := endsAs("r", pb.Verdict_VERDICT_NOT_STARTED)
	end.GetFinish().Findings = []*pb.Finding{
		{Kind: pb.FindingKind_FINDING_KIND_STEADY_STATE, Name: "up", State: pb.FindingState_FINDING_STATE_HOLDS},
		{Kind: pb.FindingKind_FINDING_KIND_STEADY_STATE, Name: "orders", State: pb.FindingState_FINDING_STATE_BROKEN, Text: "ok = 40% (want > 99%)"},
	}
	d.must(inSlot(admit("r", planOf(0, "a")), "s", "2026-12-01T10:00", 0), endRun("r", pb.EndCause_END_CAUSE_RUNTIME), end)
	if why := d.View().Schedule("s").GetHistory()[0].GetWhy(); why != `steady state "orders" broken: ok = 40% (want > 99%)` {
		t.Errorf("it did not start, since %s", why)
	}
	d.must(inSlot(admit("again", planOf(0, "a")), "s", "2026-12-01T10:00", 2))
	if h := d.View().Schedule("s").GetHistory()[0]; h.GetWhy() != "" || h.GetRun() != "again" || len(h.GetEarlier()) != 1 {
		t.Errorf("another try has begun, and the slot is %v", h)
	}
}
