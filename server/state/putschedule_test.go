package state

import (
	"strings"
	"testing"

	pb "squall/proto/squall/v1"
)

func putNightly(fresh bool, by string) *pb.Command {
	return &pb.Command{By: &pb.Principal{Name: by}, Kind: &pb.Command_PutSchedule{PutSchedule: &pb.PutSchedule{
		Name: "nightly", After: "2026-11-30T00:00", Fresh: fresh,
		Experiment: &pb.Experiment{Name: "dark", Schedule: &pb.Schedule{Every: "day at 02:00", Timezone: "UTC"}},
	}}}
}

// TestScheduleOfANameIsReplacedOnPurpose only: whoever did not know of it hears
// of it.
func TestScheduleOfANameIsReplacedOnPurpose(t *testing.T) {
	m := New()
	if o := m.Apply(1, putNightly(true, "ann")); o.GetRefused() != nil {
		t.Fatal(o.GetRefused())
	}
	p := m.Apply(2, putNightly(true, "kim")).GetRefused()
	if !strings.Contains(p.GetMessage(), `"nightly" already, kept by ann`) || p.GetFix() == "" {
		t.Errorf("another of its name is refused with %v", p)
	}
	if by := m.View().Schedule("nightly").GetBy().GetName(); by != "ann" {
		t.Errorf("it is %s's now", by)
	}
	if o := m.Apply(3, putNightly(false, "kim")); o.GetRefused() != nil || m.View().Schedule("nightly").GetBy().GetName() != "kim" {
		t.Errorf("it is not replaced: %v", o.GetRefused())
	}
}

// TestPauseStaysWithWhomItIsOf: who pauses what is paused does not become its author.
func TestPauseStaysWithWhomItIsOf(t *testing.T) {
	m := New()
	m.Apply(1, putNightly(true, "ann"))
	for i, by := range []string{"ann", "kim"} {
		m.Apply(uint64(2+i), &pb.Command{By: &pb.Principal{Name: by}, Kind: &pb.Command_PauseSchedule{
			PauseSchedule: &pb.PauseSchedule{Name: "nightly", Paused: true},
		}})
	}
	if by := m.View().Schedule("nightly").GetPausedBy().GetName(); by != "ann" {
		t.Errorf("paused by %s", by)
	}
}
