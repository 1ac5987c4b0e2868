package state

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	pb "squall/proto/squall/v1"
)

func putSink(name string, events ...string) *pb.Command {
	if len(events) == 0 {
		events = Events()
	}
	return &pb.Command{Kind: &pb.Command_PutSink{PutSink: &pb.PutSink{Sink: &pb.Sink{
		Name: name, Kind: pb.SinkKind_SINK_KIND_CLOUDEVENTS, Url: "https://hooks.test/", Events: events,
	}}}}
}

func removeSink(name string) *pb.Command {
	return &pb.Command{Kind: &pb.Command_RemoveSink{RemoveSink: &pb.RemoveSink{Name: name}}}
}

func delivered(p ...*pb.SinkProgress) *pb.Command {
	return &pb.Command{Kind: &pb.Command_RecordDelivered{RecordDelivered: &pb.RecordDelivered{Sinks: p}}}
}

func settle(sink string, drop bool, ids ...string) *pb.Command {
	return &pb.Command{Kind: &pb.Command_SettleDead{SettleDead: &pb.SettleDead{Sink: sink, Drop: drop, Ids: ids}}}
}

// told are the events that wait for a sink, with their ids.
func told(v *View, sink string) (ids []string) {
	for _, n := range v.Notices(sink, 0) {
		ids = append(ids, n.GetId())
	}
	return ids
}

func (b *bench) progress(sink string) *pb.SinkProgress {
	s := b.m.View().Sink(sink)
	return &pb.SinkProgress{Sink: sink, PutIndex: s.GetPutIndex(), Watermark: b.m.View().NoticeSeq()}
}

// wholeRun takes a run from its admission to a verdict.
func (b *bench) wholeRun(run string, v pb.Verdict) {
	b.t.Helper()
	b.must(admit(run, planOf(0, "d")), fire(run, b.now+1e9), hold(run), phase(run, "dark"))
	b.must(steps(status(run, "d", pb.StepState_STEP_STATE_REVERTED)), recovers(run), endsAs(run, v))
}

func TestARunTellsItsLife(t *testing.T) {
	b := newBench(t)
	b.must(putSink("ops"))
	b.wholeRun("r", pb.Verdict_VERDICT_FAIL)
	want := []string{"r/run.admitted/1", "r/run.begun/1", "r/run.phase/1", "r/run.verdict/1"}
	if got := told(b.m.View(), "ops"); !slices.Equal(got, want) {
		t.Fatalf("it is told %v", got)
	}
	all := b.m.View().Notices("ops", 0)
	begun, end := all[1], all[3]
	if begun.GetAtUnixNanos() != b.run("r").GetT0UnixNanos() || end.GetBegunUnixNanos() != begun.GetAtUnixNanos() || end.GetEndedUnixNanos() == 0 ||
		end.GetVerdict() != pb.Verdict_VERDICT_FAIL || end.GetBy() != "ada" || end.GetPlannedHosts() != 1 {
		t.Errorf("begun %v, ended %v", begun, end)
	}
}

// TestEachEndHasItsEvent, and what is left open is told with it.
func TestEachEndHasItsEvent(t *testing.T) {
	for v, event := range map[pb.Verdict]string{
		pb.Verdict_VERDICT_PASS: EventRunVerdict, pb.Verdict_VERDICT_ERROR: EventRunVerdict, pb.Verdict_VERDICT_DONE: EventRunVerdict,
		pb.Verdict_VERDICT_ABORTED: EventRunAborted, pb.Verdict_VERDICT_HALTED: EventRunHalted, pb.Verdict_VERDICT_NOT_STARTED: EventRunNotStarted,
	} {
		b := newBench(t)
		b.must(putSink("ops"))
		b.must(gated("r", planOf(0, "d")), endsAs("r", v))
		if got := told(b.m.View(), "ops"); !slices.Equal(got, []string{"r/run.admitted/1", "r/" + event + "/1"}) {
			t.Errorf("%v: it is told %v", v, got)
		}
		if n := b.m.View().Notices("ops", 0)[1]; n.GetBegunUnixNanos() != 0 {
			t.Errorf("%v: nothing began, and it is told that it did: %v", v, n)
		}
	}
}

func TestResidueIsToldOnce(t *testing.T) {
	b := newBench(t)
	b.must(hosts("s1", 1, "e"), putSink("ops", EventRunResidue))
	left := status("r", "d", pb.StepState_STEP_STATE_REVERTED)
	left.Residue = []string{"web still runs"}
	b.must(admit("r", planOf(0, "d", "e")), fire("r", b.now+1e9), hold("r"), steps(left), steps(status("r", "e", pb.StepState_STEP_STATE_REVERTED)))
	if got := told(b.m.View(), "ops"); len(got) != 0 {
		t.Errorf("while the run goes on: %v", got)
	}
	b.must(recovers("r"), finish("r"))
	n := b.m.View().Notices("ops", 0)
	if len(n) != 1 || n[0].GetId() != "r/run.residue/1" || fmt.Sprint(n[0].GetHosts()) != "[d]" {
		t.Fatalf("at its end: %v", n)
	}
	b.must(steps(left)) // again
	later := status("r", "e", pb.StepState_STEP_STATE_REVERTED)
	later.Residue, later.Journal = []string{"dns"}, []*pb.JournalMark{{Seq: 9, State: later.State}}
	b.must(steps(later), steps(later))
	if got := told(b.m.View(), "ops"); len(got) != 2 || got[1] == got[0] {
		t.Errorf("what came later: %v", got)
	}
}

// TestSchedulesTellPausesAndMissedSlots, and not what their own rules leave out.
func TestSchedulesTellPausesAndMissedSlots(t *testing.T) {
	b := newBench(t)
	b.must(putSink("ops", EventSchedulePaused, EventSlotMissed), putSchedule("weekly", "2026-12-01T10:00"), passSlot("weekly", "2026-12-02T10:00", 0))
	missed := passSlot("weekly", "2026-12-03T10:00", 0)
	missed.GetPassSlot().Outcome = pb.SlotOutcome_SLOT_OUTCOME_MISSED
	drill := inSlot(gated("r", planOf(0, "d")), "weekly", "2026-12-04T10:00", 0)
	b.must(missed, drill, prepare("r"), endRun("r", pb.EndCause_END_CAUSE_ABORT_RULE), endsAs("r", pb.Verdict_VERDICT_FAIL))
	if got := told(b.m.View(), "ops"); !slices.Equal(got, []string{"weekly/slot.missed/2026-12-03T10:00/1", "weekly/schedule.paused/r"}) {
		t.Fatalf("it is told %v", got)
	}
	n := b.m.View().Notices("ops", 0)[1]
	if n.GetRun() != "r" || n.GetVerdict() != pb.Verdict_VERDICT_FAIL || !strings.Contains(n.GetText(), "squall schedule resume weekly") {
		t.Errorf("%v", n)
	}
}

func TestSinksAreToldWhatTheyWant(t *testing.T) {
	b := newBench(t)
	quiet := putSink("quiet")
	quiet.GetPutSink().Sink.NamedOnly = true
	b.must(putSink("ends", EventRunVerdict), quiet)
	b.wholeRun("one", pb.Verdict_VERDICT_PASS)
	naming := admit("two", planOf(0, "d"))
	naming.GetAdmitRun().Experiment.Notify = &pb.Notify{Sinks: []string{"quiet"}}
	b.must(naming)
	if got := told(b.m.View(), "ends"); !slices.Equal(got, []string{"one/run.verdict/1"}) {
		t.Errorf("ends: %v", got)
	}
	if got := told(b.m.View(), "quiet"); !slices.Equal(got, []string{"two/run.admitted/1"}) {
		t.Errorf("quiet: %v", got)
	}
}

// TestProgressMovesForward: what was delivered is kept no longer, what another
// putting of the sink came to is void, and nothing is counted twice.
func TestProgressMovesForward(t *testing.T) {
	b := newBench(t)
	b.must(putSink("a"), putSink("b", EventRunVerdict))
	b.wholeRun("r", pb.Verdict_VERDICT_PASS)
	old := b.progress("a")
	old.Delivered = 4
	b.must(putSink("a"), delivered(old))
	if s := b.m.View().Sink("a"); s.GetDelivered() != 0 || len(told(b.m.View(), "a")) != 4 {
		t.Errorf("progress of an earlier putting counts: %v", s)
	}
	now := b.progress("a")
	now.Delivered = 4
	b.must(delivered(now))
	if v := b.m.View(); v.Sink("a").GetDelivered() != 4 || len(told(v, "a")) != 0 || len(v.notices) != 1 {
		t.Errorf("%d notices are kept, a has %v", len(v.notices), told(v, "a"))
	}
	back := b.progress("a")
	back.Watermark, back.Delivered = 1, 9
	ahead := b.progress("a")
	ahead.Watermark, ahead.Delivered = 1000, 9
	b.must(delivered(back), delivered(ahead), delivered(&pb.SinkProgress{Sink: "nobody", Delivered: 1}))
	if s := b.m.View().Sink("a"); s.GetDelivered() != 4 {
		t.Errorf("%v", s)
	}
	b.must(removeSink("b"))
	if n := len(b.m.View().notices); n != 0 {
		t.Errorf("%d notices wait for a sink that is gone", n)
	}
	b.must(putSink("b"))
	if got := told(b.m.View(), "b"); len(got) != 0 {
		t.Errorf("a sink that is new is told of before: %v", got)
	}
}

func TestDeadNoticesAreKeptRetriedAndDropped(t *testing.T) {
	b := newBench(t)
	b.must(putSink("a"))
	b.wholeRun("r", pb.Verdict_VERDICT_PASS)
	p := b.progress("a")
	for _, n := range b.m.View().Notices("a", 0) {
		p.GivenUp = append(p.GivenUp, &pb.GivenUp{Seq: n.GetSeq(), Why: strings.Repeat("x", 1000), Attempts: 3})
	}
	p.Gone = true
	b.must(delivered(p))
	s := b.m.View().Sink("a")
	if len(s.GetDead()) != 4 || s.GetDeadEver() != 4 || !s.GetGone() || len(s.GetDead()[0].GetWhy()) != MaxWhy || len(b.m.View().notices) != 0 {
		t.Fatalf("%v", s)
	}
	b.refused(settle("a", false, "nothing"), pb.Refusal_REFUSAL_UNKNOWN)
	b.refused(settle("nobody", false), pb.Refusal_REFUSAL_UNKNOWN)
	b.must(settle("a", false, "r/run.begun/1"))
	s = b.m.View().Sink("a")
	if len(s.GetDead()) != 3 || s.GetGone() || !slices.Equal(told(b.m.View(), "a"), []string{"r/run.begun/1"}) {
		t.Errorf("after a retry: %v, waiting %v", s, told(b.m.View(), "a"))
	}
	b.must(settle("a", true))
	if s := b.m.View().Sink("a"); len(s.GetDead()) != 0 || len(told(b.m.View(), "a")) != 1 {
		t.Errorf("after a drop: %v", s)
	}
	for i := range maxDead + 5 {
		b.must(admit(fmt.Sprint("n", i), planOf(0, "d")), endRun(fmt.Sprint("n", i), pb.EndCause_END_CAUSE_UNDO), finish(fmt.Sprint("n", i)))
		p := b.progress("a")
		for _, n := range b.m.View().Notices("a", 0) {
			p.GivenUp = append(p.GivenUp, &pb.GivenUp{Seq: n.GetSeq()})
		}
		b.must(delivered(p))
	}
	if n := len(b.m.View().Sink("a").GetDead()); n != maxDead {
		t.Errorf("%d are kept, and %d may be", n, maxDead)
	}
}

// TestNoticesAreBounded: the oldest makes room, and the sink says how many it lost.
func TestNoticesAreBounded(t *testing.T) {
	b := newBench(t)
	b.must(putSink("a"), putSink("b"))
	p := b.progress("b")
	for i := range maxNotices {
		id := fmt.Sprint("n", i)
		b.must(gated(id, planOf(0, "d")), endsAs(id, pb.Verdict_VERDICT_NOT_STARTED))
	}
	p.Watermark = b.m.View().NoticeSeq()
	b.must(delivered(p))
	v := b.m.View()
	if len(v.notices) != maxNotices || v.Sink("a").GetLost() != maxNotices || v.Sink("b").GetLost() != maxNotices {
		t.Errorf("%d wait, a lost %d, b lost %d", len(v.notices), v.Sink("a").GetLost(), v.Sink("b").GetLost())
	}
}

// TestARetryThatCrowdsOthersOutIsWhole: what makes room is counted, and the retry
// has its whole effect.
func TestARetryThatCrowdsOthersOutIsWhole(t *testing.T) {
	b := newBench(t)
	b.must(putSink("a"))
	b.wholeRun("r", pb.Verdict_VERDICT_PASS)
	p := b.progress("a")
	for _, n := range b.m.View().Notices("a", 0) {
		p.GivenUp = append(p.GivenUp, &pb.GivenUp{Seq: n.GetSeq()})
	}
	p.Gone = true
	b.must(delivered(p))
	for i := 0; len(b.m.View().notices) < maxNotices; i++ {
		id := fmt.Sprint("n", i)
		b.must(gated(id, planOf(0, "d")), endsAs(id, pb.Verdict_VERDICT_NOT_STARTED))
	}
	before := b.m.View().Sink("a")
	dead := uint64(len(before.GetDead()))
	b.must(settle("a", false))
	s, waiting := b.m.View().Sink("a"), told(b.m.View(), "a")
	if len(s.GetDead()) != 0 || s.GetGone() || s.GetPutIndex() <= before.GetPutIndex() {
		t.Errorf("%d are still dead, gone %t, put at %d and before at %d", len(s.GetDead()), s.GetGone(), s.GetPutIndex(), before.GetPutIndex())
	}
	if dead == 0 || s.GetLost() != before.GetLost()+dead || len(waiting) != maxNotices || waiting[maxNotices-1] != "r/run.verdict/1" {
		t.Errorf("%d of %d made room, %d wait", s.GetLost(), dead, len(waiting))
	}
}

func TestSinksAreBoundedAndNamed(t *testing.T) {
	b := newBench(t)
	for i := range MaxSinks {
		b.must(putSink(fmt.Sprint("s", i)))
	}
	b.must(putSink("s0"))
	b.refused(putSink("more"), pb.Refusal_REFUSAL_GUARDRAIL)
	b.refused(putSink("s0", "run.unheard"), pb.Refusal_REFUSAL_UNSUPPORTED)
	b.refused(&pb.Command{Kind: &pb.Command_PutSink{PutSink: &pb.PutSink{}}}, pb.Refusal_REFUSAL_INVALID)
	b.refused(removeSink("nobody"), pb.Refusal_REFUSAL_UNKNOWN)
	c := putSchedule("weekly", "2026-12-01T10:00")
	c.GetPutSchedule().Experiment.Notify = &pb.Notify{Sinks: []string{"s1"}}
	b.must(c)
	if p := b.refused(removeSink("s1"), pb.Refusal_REFUSAL_GUARDRAIL); !strings.Contains(p.GetMessage(), "weekly") || p.GetFix() == "" {
		t.Errorf("%v", p)
	}
}

// TestSinksOutliveASnapshot with what they have yet to be told.
func TestSinksOutliveASnapshot(t *testing.T) {
	b := newBench(t)
	b.must(putSink("a"))
	b.wholeRun("r", pb.Verdict_VERDICT_PASS)
	m := New()
	if err := m.Restore(roundTrip(t, b.m.Snapshot())); err != nil {
		t.Fatal(err)
	}
	if m.Hash() != b.m.Hash() || !slices.Equal(told(m.View(), "a"), told(b.m.View(), "a")) || m.View().NoticeSeq() != b.m.View().NoticeSeq() {
		t.Errorf("it is told %v", told(m.View(), "a"))
	}
}
