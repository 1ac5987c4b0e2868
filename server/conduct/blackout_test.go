package conduct

import (
	"testing"

	pb "squall/proto/squall/v1"
)

func (l *ledger) leaveOut(days ...string) {
	l.t.Helper()
	if o := l.apply(&pb.Command{Kind: &pb.Command_PutCalendar{PutCalendar: &pb.PutCalendar{Calendar: &pb.Calendar{
		Name: "freeze", Timezone: "Asia/Seoul", Days: days,
	}}}}); o.GetRefused() != nil {
		l.t.Fatal(o.GetRefused())
	}
}

// TestNothingBeginsInABlackout: a calendar that changes after a clerk has read a
// schedule holds for the next slot. The evening in UTC is the day after in Seoul.
func TestNothingBeginsInABlackout(t *testing.T) {
	l := newLedger(t, "2026-12-01T12:00:00Z")
	l.leaveOut("2026-12-31")
	l.put("nightly", "{ every: day at 20:00, timezone: UTC, except: [freeze] }")
	l.until("2026-12-01T21:00:00Z")
	l.finish()
	l.leaveOut("2026-12-03")
	l.until("2026-12-03T19:00:00Z")
	const want = "2026-12-01T20:00 begun\n" +
		"2026-12-02T20:00 skipped 2026-12-03 in Asia/Seoul is in 2026-12-03 of the calendar freeze, which the schedule leaves out\n"
	if got := l.history("nightly"); got != want {
		t.Errorf("became\n%s, want\n%s", got, want)
	}
}
