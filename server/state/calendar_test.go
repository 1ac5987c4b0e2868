package state

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	pb "squall/proto/squall/v1"
)

func putDays(name string, days ...string) *pb.Command {
	return &pb.Command{Kind: &pb.Command_PutCalendar{PutCalendar: &pb.PutCalendar{Calendar: &pb.Calendar{Name: name, Timezone: "UTC", Days: days}}}}
}

func removeDays(name string) *pb.Command {
	return &pb.Command{Kind: &pb.Command_RemoveCalendar{RemoveCalendar: &pb.RemoveCalendar{Name: name}}}
}

func exceptFreeze() *pb.Command {
	c := pinFile("nightly", "")
	c.GetPutSchedule().Pin = nil
	c.GetPutSchedule().Experiment.Schedule.Except = []string{"2026-12-24", "freeze"}
	return c
}

// TestCalendarsChangeReachesSchedules at once: each that names it is another one.
func TestCalendarsChangeReachesSchedules(t *testing.T) {
	b := newBook(t)
	if p := b.apply(exceptFreeze()); !strings.Contains(p.GetMessage(), `there is no calendar "freeze"`) {
		t.Errorf("a schedule that names none is refused with %v", p)
	}
	b.must(putDays("freeze", "2026-12-31"))
	b.must(exceptFreeze())
	before := b.View()
	b.must(putDays("freeze", "2027-01-01", "2027-01-02"))
	after := b.View()
	if got := after.Schedule("nightly").GetCalendars(); len(got) != 1 || len(got[0].GetDays()) != 2 {
		t.Errorf("it leaves out %v", got)
	}
	if after.SameSchedules(before) || len(before.Schedule("nightly").GetCalendars()[0].GetDays()) != 1 {
		t.Error("whoever follows its schedules sees no change, or an old view has changed")
	}
	if p := b.apply(removeDays("freeze")); !strings.Contains(p.GetMessage(), `calendar "freeze" is named by schedule nightly`) || p.GetFix() == "" {
		t.Errorf("its removal is refused with %v", p)
	}
	b.must(&pb.Command{Kind: &pb.Command_RemoveSchedule{RemoveSchedule: &pb.RemoveSchedule{Name: "nightly"}}})
	b.must(removeDays("freeze"))
	if p := b.apply(removeDays("freeze")); p.GetRefusal() != pb.Refusal_REFUSAL_UNKNOWN || p.GetFix() == "" {
		t.Errorf("a removal of nothing is refused with %v", p)
	}
}

// TestKeptThingsOutliveASnapshot, and each calendar is in it once.
func TestKeptThingsOutliveASnapshot(t *testing.T) {
	b := newBook(t)
	b.must(putDays("freeze", "2026-12-31"))
	b.must(putFile("dark", "x"))
	b.must(exceptFreeze())
	data, err := proto.Marshal(b.Snapshot())
	if err != nil {
		t.Fatal(err)
	}
	s := &pb.State{}
	if err := proto.Unmarshal(data, s); err != nil {
		t.Fatal(err)
	}
	if n := len(s.GetSchedules()["nightly"].GetCalendars()); n != 0 {
		t.Errorf("the schedule has %d calendars of its own in the snapshot", n)
	}
	m := New()
	if err := m.Restore(s); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(b.View().Schedule("nightly"), m.View().Schedule("nightly"), protocmp.Transform()); d != "" {
		t.Error(d)
	}
	if m.Hash() != b.Hash() || m.View().Experiment("dark") == nil || m.View().Calendar("freeze") == nil {
		t.Error("the state is another one")
	}
}
