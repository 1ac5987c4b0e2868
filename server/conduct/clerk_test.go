package conduct

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	pb "squall/proto/squall/v1"
	"squall/server/state"
)

// TestWhatWasDecidedOfAnotherVersionIsNotDone, nor is it on record as refused:
// the schedule is looked at again, and goes on as it is now.
func TestWhatWasDecidedOfAnotherVersionIsNotDone(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(l *ledger, late *pb.Command)
		want string
	}{
		{"paused", func(l *ledger, _ *pb.Command) { l.pause("d", true) }, "2026-12-01T10:00 skipped paused by bob\n"},
		{"paused, and let go on", func(l *ledger, _ *pb.Command) { l.pause("d", true); l.pause("d", false) }, "2026-12-01T10:00 begun\n"},
		{
			"its calendar is another one", func(l *ledger, _ *pb.Command) { l.leaveOut("2026-12-01") },
			"2026-12-01T10:00 skipped 2026-12-01 in Asia/Seoul is in 2026-12-01 of the calendar freeze, which the schedule leaves out\n",
		},
		{"replaced a moment before", func(l *ledger, late *pb.Command) { l.apply(late) }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLedger(t, "2026-12-01T09:30:00Z")
			l.leaveOut("2026-01-01")
			l.put("d", "{ every: day at 10:00, timezone: UTC, except: [freeze] }")
			late := l.putting("d", "{ every: day at 11:00, timezone: UTC }")
			l.until("2026-12-01T09:59:59Z")
			decided := l.k.due(l.now, l.m.View(), l.m.View().Schedule("d")).Record
			if len(decided) != 1 || decided[0].GetAdmitRun() == nil {
				t.Fatalf("at %s what is due is %v", l.now, decided)
			}
			c.do(l, late)
			l.record(decided[0])
			if got := l.history("d"); got != "" || len(l.m.View().Active()) > 0 {
				t.Errorf("what was decided before comes to %q", got)
			}
			l.until("2026-12-01T10:30:00Z")
			if got := l.history("d"); got != c.want {
				t.Errorf("became\n%swant\n%s", got, c.want)
			}
		})
	}
}

// TestPausedScheduleBeginsNothing, whoever decides: the machine says no.
func TestPausedScheduleBeginsNothing(t *testing.T) {
	l := newLedger(t, "2026-12-01T09:30:00Z")
	l.put("d", "{ every: day at 10:00, timezone: UTC }")
	l.until("2026-12-01T09:59:59Z")
	decided := l.k.due(l.now, l.m.View(), l.m.View().Schedule("d")).Record[0]
	l.pause("d", true)
	decided.GetAdmitRun().GetSlot().Version = l.m.View().Schedule("d").GetVersion()
	if p := l.apply(decided).GetRefused(); !strings.Contains(p.GetMessage(), `schedule "d" is paused by bob`) {
		t.Errorf("a run of a schedule that is paused is refused with %v", p)
	}
}

// meddler commits at once, and does something of its own after the first command.
type meddler struct {
	*ledger
	meddle func()
}

func (m *meddler) View() *state.View { return m.m.View() }

func (m *meddler) Propose(_ context.Context, commands ...*pb.Command) (all []*pb.Outcome, err error) {
	for _, c := range commands {
		all = append(all, m.apply(c))
		if meddle := m.meddle; meddle != nil {
			m.meddle = nil
			meddle()
		}
	}
	return all, nil
}

// TestSlotsAreDecidedOneByOne: what is due at one instant is not decided on
// before what comes first is committed.
func TestSlotsAreDecidedOneByOne(t *testing.T) {
	l := newLedger(t, "2026-12-01T09:30:00Z")
	for _, name := range []string{"a", "b", "c"} {
		l.put(name, "{ every: day at 10:00, timezone: UTC }")
	}
	l.now = l.now.Add(30 * time.Minute)
	m := &meddler{ledger: l, meddle: func() {
		l.pause("b", true)
		l.apply(&pb.Command{Id: "remove", Kind: &pb.Command_RemoveSchedule{RemoveSchedule: &pb.RemoveSchedule{Name: "c"}}})
	}}
	leads := &term{Conductor: &Conductor{Machine: m, Proposer: m, Now: func() time.Time { return l.now }, Log: slog.New(slog.DiscardHandler)}}
	if acted, _ := leads.dealSlots(t.Context(), l.k, l.m.View().Schedules()); !acted {
		t.Error("nothing was due")
	}
	if got := l.history("a") + l.history("b"); got != "2026-12-01T10:00 begun\n2026-12-01T10:00 skipped paused by bob\n" {
		t.Errorf("became\n%s", got)
	}
}
