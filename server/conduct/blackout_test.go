package conduct

import (
	"testing"
	"time"

	pb "squall/proto/squall/v1"
)

func (l *ledger) leaveOut(days ...string) {
	l.t.Helper()
	l.leaveOutIn("Asia/Seoul", days...)
}

func (l *ledger) leaveOutIn(zone string, days ...string) {
	l.t.Helper()
	if o := l.apply(&pb.Command{Kind: &pb.Command_PutCalendar{PutCalendar: &pb.PutCalendar{Calendar: &pb.Calendar{
		Name: "freeze", Timezone: zone, Days: days,
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

// TestNothingBeginsLateOnADayLeftOut: what counts is the instant at which a run
// would begin, not that of its slot alone.
func TestNothingBeginsLateOnADayLeftOut(t *testing.T) {
	const begin = "2026-12-01T08:30:00Z"
	for _, c := range []struct {
		name, schedule string
		do             func(*ledger)
		want           string
	}{
		{
			"another try, of a slot before the freeze", "{ every: day at 09:00, timezone: UTC, retry: 3, retry_after: 2h, except: [freeze] }",
			func(l *ledger) {
				l.until("2026-12-01T09:01:00Z")
				l.end(pb.Verdict_VERDICT_NOT_STARTED)
				l.until("2026-12-01T10:00:00Z")
				l.leaveOutIn("UTC", "2026-12-01")
				l.until("2026-12-01T23:00:00Z")
			},
			"2026-12-01T09:00 skipped 2026-12-01 in UTC is in 2026-12-01 of the calendar freeze, which the schedule leaves out (not started)\n",
		},
		{
			"another try, after midnight", `{ every: day at 23:00, timezone: UTC, window: "22:00-03:00", retry: 3, retry_after: 2h, except: ["2026-12-02"] }`,
			func(l *ledger) {
				l.until("2026-12-01T23:00:30Z")
				l.end(pb.Verdict_VERDICT_NOT_STARTED)
				l.until("2026-12-02T04:00:00Z")
			},
			"2026-12-01T23:00 skipped 2026-12-02 is in 2026-12-02, which the schedule leaves out (not started)\n",
		},
		{
			"one that is late, on the day after in Seoul", "{ every: day at 14:00, timezone: UTC, missed: run, except: [freeze] }",
			func(l *ledger) {
				l.leaveOut("2026-12-02")
				l.now = l.now.Add(7 * time.Hour)
				l.until("2026-12-01T16:00:00Z")
			},
			"2026-12-01T14:00 skipped 2026-12-02 in Asia/Seoul is in 2026-12-02 of the calendar freeze, which the schedule leaves out\n",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLedger(t, begin)
			l.leaveOut("2026-01-01")
			l.put("d", c.schedule)
			c.do(l)
			if got := l.history("d"); got != c.want {
				t.Errorf("became\n%swant\n%s", got, c.want)
			}
		})
	}
}
