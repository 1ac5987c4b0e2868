package conduct

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"squall/experiments"
	"squall/experiments/schedule"
	pb "squall/proto/squall/v1"
	"squall/proto/text"
	"squall/server/state"
)

// ledger is a machine with schedules, one leader's clerk, and simulated time.
type ledger struct {
	t     testing.TB
	m     *state.Machine
	k     *slotClerk
	now   time.Time
	index uint64
}

func newLedger(t testing.TB, now string) *ledger {
	at, err := time.Parse(time.RFC3339, now)
	if err != nil {
		t.Fatal(err)
	}
	l := &ledger{t: t, m: state.New(), k: new(slotClerk), now: at}
	l.apply(&pb.Command{Id: "hosts", Kind: &pb.Command_UpdateHosts{UpdateHosts: &pb.UpdateHosts{Hosts: []*pb.HostUpdate{
		{Name: "a", Server: "s1", Session: 1, Host: &pb.Host{Name: "a", Zone: "zone-a", Environment: "lab"}},
		{Name: "b", Server: "s1", Session: 1, Host: &pb.Host{Name: "b", Zone: "zone-b", Environment: "lab"}},
	}}}})
	return l
}

func (l *ledger) apply(c *pb.Command) *pb.Outcome {
	l.index++
	c.AtUnixNanos = l.now.UnixNano()
	return l.m.Apply(l.index, c)
}

const drill = `
version: 1
name: names
title: Names fail
targets: { some: { zone: zone-a } }
guardrails: { environments: [lab] }
schedule: %s
timeline:
  - { at: T+0s, phase: dark, until: T+10s, faults: [ dns.fail: { target: some, for: 5s } ] }
`

// put keeps a schedule from now on.
func (l *ledger) put(name, rules string) {
	l.t.Helper()
	if o := l.apply(l.putting(name, rules)); o.GetRefused() != nil {
		l.t.Fatal(o.GetRefused())
	}
}

// putting is the command that keeps a schedule from now on.
func (l *ledger) putting(name, rules string) *pb.Command {
	l.t.Helper()
	e, _, problems := experiments.Decode("drill.yaml", []byte(strings.TrimLeft(fmt.Sprintf(drill, rules), "\n")))
	if len(problems) > 0 {
		l.t.Fatal(problems)
	}
	zone, err := schedule.Zone(e.GetSchedule().GetTimezone())
	if err != nil {
		l.t.Fatal(err)
	}
	return &pb.Command{Id: fmt.Sprint("put ", name, l.index), By: &pb.Principal{Name: "ann", Role: pb.Role_ROLE_USER}, Kind: &pb.Command_PutSchedule{PutSchedule: &pb.PutSchedule{
		Name: name, Experiment: e, After: l.now.In(zone).Format("2006-01-02T15:04"), Undone: schedule.Undone(l.m.View().Schedule(name), l.now),
	}}}
}

// until deals with what is due, up to a time.
func (l *ledger) until(end string) {
	l.t.Helper()
	at, err := time.Parse(time.RFC3339, end)
	if err != nil {
		l.t.Fatal(err)
	}
	for !l.now.After(at) {
		wake := at.Add(time.Second)
		for _, s := range l.m.View().Schedules() {
			d := l.k.due(l.now, l.m.View(), s)
			for _, c := range d.Record {
				l.record(c)
				wake = l.now
			}
			if !d.Wake.IsZero() && d.Wake.Before(wake) {
				wake = d.Wake
			}
		}
		l.now = wake
	}
}

// record commits as a term does.
func (l *ledger) record(c *pb.Command) {
	if o := l.apply(c); o.GetRefused() != nil && c.GetAdmitRun() != nil {
		l.apply(&pb.Command{Id: c.GetId() + "/refused", Kind: &pb.Command_PassSlot{PassSlot: &pb.PassSlot{
			Slot: c.GetAdmitRun().GetSlot(), Outcome: pb.SlotOutcome_SLOT_OUTCOME_REFUSED, Why: o.GetRefused().GetMessage(),
		}}})
	}
}

// history is what became of a schedule's slots, a line each.
func (l *ledger) history(name string) string {
	var b strings.Builder
	for _, h := range l.m.View().Schedule(name).GetHistory() {
		slot := h.GetSlot()
		if h.GetCount() > 1 {
			slot = fmt.Sprintf("%d from %s to %s", h.GetCount(), h.GetFrom(), slot)
		}
		line := strings.TrimSpace(slot + " " + text.Word(h.GetOutcome()) + " " + h.GetWhy())
		if v := h.GetVerdict(); v > pb.Verdict_VERDICT_PASS {
			line += " (" + text.Word(v) + ")"
		}
		if n := len(h.GetEarlier()); n > 0 {
			line += fmt.Sprintf(" after %d", n)
		}
		fmt.Fprintln(&b, line)
	}
	return b.String()
}

// finish ends all runs at once, as passed.
func (l *ledger) finish() { l.end(pb.Verdict_VERDICT_PASS) }

// end ends all runs at once.
func (l *ledger) end(v pb.Verdict) {
	l.t.Helper()
	for _, r := range l.m.View().Active() {
		l.apply(&pb.Command{Id: "end " + r.GetId(), Kind: &pb.Command_EndRun{EndRun: &pb.EndRun{Run: r.GetId(), Cause: pb.EndCause_END_CAUSE_RUNTIME}}})
		if o := l.apply(&pb.Command{Id: "finish " + r.GetId(), Kind: &pb.Command_Finish{Finish: &pb.Finish{Run: r.GetId(), Verdict: v}}}); o.GetRefused() != nil {
			l.t.Fatal(o.GetRefused())
		}
	}
}

func TestWhatBecomesOfSlots(t *testing.T) {
	const begin = "2026-12-01T09:30:00Z"
	for _, c := range []struct {
		name, schedule string
		do             func(*ledger)
		want           string
	}{
		{
			"on time", "{ every: day at 10:00, timezone: Europe/Paris }",
			func(l *ledger) { l.until("2026-12-02T08:59:59Z"); l.until("2026-12-02T09:00:00Z") },
			"2026-12-02T10:00 begun\n",
		},
		{
			"while one is under way", "{ every: 1h from 10:00 to 11:00, timezone: UTC }",
			func(l *ledger) { l.until("2026-12-01T11:30:00Z"); l.finish(); l.until("2026-12-02T10:30:00Z") },
			"2026-12-01T10:00 begun\n2026-12-01T11:00 skipped run d-RUN of this schedule is under way\n2026-12-02T10:00 begun\n",
		},
		{
			"where two may be, a claim says no", "{ every: 1h from 10:00 to 11:00, timezone: UTC, overlap: allow }",
			func(l *ledger) { l.until("2026-12-01T11:30:00Z") },
			"2026-12-01T10:00 begun\n2026-12-01T11:00 refused dark.dns.fail takes host/a/dns, which run d-RUN holds\n",
		},
		{
			"paused, and let go on", "{ every: 1h, timezone: UTC }",
			func(l *ledger) {
				l.pause("d", true)
				l.until("2026-12-01T10:30:00Z")
				l.pause("d", false)
				l.until("2026-12-01T11:30:00Z")
			},
			"2026-12-01T10:00 skipped paused by bob\n2026-12-01T11:00 begun\n",
		},
		{
			"a day left out", `{ every: day at 10:00, timezone: UTC, except: ["2026-12-01"], until: "2026-12-02" }`,
			func(l *ledger) { l.until("2026-12-05T00:00:00Z") },
			"2026-12-01T10:00 skipped 2026-12-01 is in 2026-12-01, which the schedule leaves out\n2026-12-02T10:00 begun\n",
		},
		{
			"nobody conducts for three days", "{ every: day at 10:00, timezone: UTC }",
			func(l *ledger) { l.now = l.now.AddDate(0, 0, 3); l.until("2026-12-04T10:30:00Z") },
			"3 from 2026-12-01T10:00 to 2026-12-03T10:00 missed nobody conducted; seen 23h30m0s late\n2026-12-04T10:00 begun\n",
		},
		{
			"the last one that was missed runs late", "{ every: 1h from 10:00 to 12:00, timezone: UTC, window: \"10:00-13:00\", missed: run }",
			func(l *ledger) { l.now = l.now.Add(3 * time.Hour); l.until("2026-12-01T12:30:00Z") },
			"2 from 2026-12-01T10:00 to 2026-12-01T11:00 missed nobody conducted; seen 1h30m0s late\n2026-12-01T12:00 begun\n",
		},
		{
			"but not after its window", "{ every: day at 10:00, timezone: UTC, window: \"10:00-11:00\", missed: run }",
			func(l *ledger) { l.now = l.now.Add(2 * time.Hour); l.until("2026-12-01T12:30:00Z") },
			"2026-12-01T10:00 missed nobody conducted; seen 1h30m0s late\n",
		},
		{
			"a new leader within the minute", "{ every: day at 10:00, timezone: UTC }",
			func(l *ledger) {
				l.now = l.now.Add(30*time.Minute + 40*time.Second)
				l.k = new(slotClerk)
				l.until("2026-12-01T10:01:00Z")
			},
			"2026-12-01T10:00 begun\n",
		},
		{
			"the lever is pulled", "{ every: day at 10:00, timezone: UTC }",
			func(l *ledger) {
				l.apply(&pb.Command{Id: "halt", Kind: &pb.Command_Halt{Halt: &pb.Halt{Id: "h", Reason: "fire"}}})
				l.until("2026-12-01T10:01:00Z")
			},
			"2026-12-01T10:00 refused the halt lever is engaged by \"h\": fire\n",
		},
		{
			"put again, a slot that was dealt with stays so", "{ every: day at 10:00, timezone: UTC }",
			func(l *ledger) {
				l.until("2026-12-01T10:00:00Z")
				l.now = l.now.Add(-time.Minute) // a clock that was put back
				l.put("d", "{ every: 30m, timezone: UTC, overlap: allow }")
				l.finish()
				l.until("2026-12-01T10:30:30Z")
			},
			"2026-12-01T10:00 begun\n2026-12-01T10:30 begun\n",
		},
		{
			"replaced, while one waits for its jitter", "{ every: day at 10:00, timezone: UTC, jitter: 30m }",
			func(l *ledger) {
				l.until("2026-12-01T10:04:59Z")
				l.put("d", "{ every: day at 10:00, timezone: UTC }")
				l.until("2026-12-02T10:00:00Z")
			},
			"2026-12-01T10:00 skipped replaced by ann\n2026-12-02T10:00 begun\n",
		},
		{
			"replaced, while one waits for cluster time", "{ every: 30m, timezone: UTC }",
			func(l *ledger) {
				l.doubted("2026-12-01T10:30:20Z")
				l.put("d", "{ every: day at 10:40, timezone: Europe/Paris }")
				l.until("2026-12-01T10:31:00Z")
			},
			"2 from 2026-12-01T10:00 to 2026-12-01T10:30 skipped replaced by ann\n",
		},
		{
			"replaced, while another try waits", "{ every: 1h, timezone: UTC, retry: 2 }",
			func(l *ledger) {
				l.until("2026-12-01T10:00:00Z")
				l.end(pb.Verdict_VERDICT_NOT_STARTED)
				l.put("d", "{ every: day at 12:00, timezone: UTC }")
				l.until("2026-12-01T11:00:00Z")
			},
			"2026-12-01T10:00 skipped replaced by ann (not started)\n",
		},
		{
			"a drill that failed pauses its schedule", "{ every: 1h, timezone: UTC, on_fail: pause }",
			func(l *ledger) {
				l.until("2026-12-01T10:00:00Z")
				l.end(pb.Verdict_VERDICT_FAIL)
				l.until("2026-12-01T11:00:00Z")
				l.pause("d", false)
				l.until("2026-12-01T12:00:00Z")
			},
			"2026-12-01T10:00 begun (fail)\n2026-12-01T11:00 skipped paused by on_fail: run d-RUN of slot 2026-12-01T10:00 ended as fail\n2026-12-01T12:00 begun\n",
		},
		{
			"it ends after two runs, of which one that did not start is none", "{ every: 1h, timezone: UTC, count: 2 }",
			func(l *ledger) {
				for hour := range 6 {
					l.until(fmt.Sprintf("2026-12-01T%d:00:00Z", 10+hour))
					l.end(map[bool]pb.Verdict{true: pb.Verdict_VERDICT_NOT_STARTED, false: pb.Verdict_VERDICT_PASS}[hour == 0])
				}
			},
			"2026-12-01T10:00 begun (not started)\n2026-12-01T11:00 begun\n2026-12-01T12:00 begun\n",
		},
		{
			"while the last one is under way, nobody knows whether it counts", "{ every: 1h, timezone: UTC, count: 1, overlap: allow }",
			func(l *ledger) {
				l.until("2026-12-01T11:00:00Z")
				l.end(pb.Verdict_VERDICT_NOT_STARTED)
				l.until("2026-12-01T12:00:00Z")
			},
			"2026-12-01T10:00 begun (not started)\n2026-12-01T11:00 skipped run d-RUN of this schedule, the last of 1, is under way\n2026-12-01T12:00 begun\n",
		},
		{
			"tried again until the gate is met", "{ every: 1h, timezone: UTC, retry: 2 }",
			func(l *ledger) {
				l.until("2026-12-01T10:00:00Z")
				l.end(pb.Verdict_VERDICT_NOT_STARTED)
				l.until("2026-12-01T10:05:30Z")
				l.k = new(slotClerk)
				l.end(pb.Verdict_VERDICT_NOT_STARTED)
				l.until("2026-12-01T10:11:00Z")
				l.finish()
				l.until("2026-12-01T10:59:00Z")
			},
			"2026-12-01T10:00 begun after 2\n",
		},
		{
			"tried again no more often than it says", "{ every: 1h, timezone: UTC, retry: 1, retry_after: 1m }",
			func(l *ledger) {
				for minute := range 5 {
					l.until(fmt.Sprintf("2026-12-01T10:%02d:00Z", minute))
					l.end(pb.Verdict_VERDICT_NOT_STARTED)
				}
			},
			"2026-12-01T10:00 begun (not started) after 1\n",
		},
		{
			"nor after its window, or the next start", `{ cron: "0,58 10 * * *", timezone: UTC, window: "10:00-11:00", retry: 5 }`,
			func(l *ledger) {
				l.until("2026-12-01T10:00:00Z")
				l.now = l.now.Add(54 * time.Minute)
				l.end(pb.Verdict_VERDICT_NOT_STARTED)
				l.until("2026-12-01T10:58:00Z")
				l.end(pb.Verdict_VERDICT_NOT_STARTED)
				l.until("2026-12-01T12:00:00Z")
			},
			"2026-12-01T10:00 begun (not started)\n2026-12-01T10:58 begun (not started)\n",
		},
		{
			"a try that nobody conducts", "{ every: 1h, timezone: UTC, retry: 5 }",
			func(l *ledger) {
				l.until("2026-12-01T10:00:00Z")
				l.end(pb.Verdict_VERDICT_NOT_STARTED)
				l.now = l.now.Add(time.Hour)
				l.until("2026-12-01T11:00:30Z")
			},
			"2026-12-01T10:00 missed its gate was not met, and nobody conducted when try 2 was due (not started)\n2026-12-01T11:00 begun\n",
		},
		{
			"a failure is not tried again", "{ every: 1h, timezone: UTC, retry: 5 }",
			func(l *ledger) {
				l.until("2026-12-01T10:00:00Z")
				l.end(pb.Verdict_VERDICT_INCONCLUSIVE)
				l.until("2026-12-01T10:59:00Z")
			},
			"2026-12-01T10:00 begun (inconclusive)\n",
		},
		{
			"late, but not so late", "{ every: day at 10:00, timezone: UTC, missed: run, late: 1h }",
			func(l *ledger) { l.now = l.now.Add(2 * time.Hour); l.until("2026-12-01T12:30:00Z") },
			"2026-12-01T10:00 missed nobody conducted; seen 1h30m0s late\n",
		},
		{
			"late, within its limit", "{ every: day at 10:00, timezone: UTC, missed: run, late: 2h }",
			func(l *ledger) { l.now = l.now.Add(2 * time.Hour); l.until("2026-12-01T12:30:00Z") },
			"2026-12-01T10:00 begun\n",
		},
		{
			"cluster time in doubt for less than a minute", "{ every: day at 10:00, timezone: UTC }",
			func(l *ledger) { l.doubted("2026-12-01T10:00:50Z"); l.until("2026-12-01T10:01:00Z") },
			"2026-12-01T10:00 begun\n",
		},
		{
			"in doubt for longer", "{ every: day at 10:00, timezone: UTC }",
			func(l *ledger) { l.doubted("2026-12-02T09:00:00Z"); l.until("2026-12-02T10:00:00Z") },
			"2026-12-01T10:00 missed cluster time was in doubt: it is off; seen 23h0m0s late\n2026-12-02T10:00 begun\n",
		},
		{
			"in doubt, and run late", "{ every: day at 10:00, timezone: UTC, missed: run }",
			func(l *ledger) { l.doubted("2026-12-01T15:00:00Z"); l.until("2026-12-01T15:01:00Z") },
			"2026-12-01T10:00 begun\n",
		},
		{
			"a snapshot was restored", "{ every: 1h, timezone: UTC, missed: run, retry: 5 }",
			func(l *ledger) {
				l.until("2026-12-01T10:00:00Z")
				l.end(pb.Verdict_VERDICT_NOT_STARTED)
				l.now = l.now.Add(150 * time.Minute)
				l.apply(&pb.Command{Id: "epoch", Kind: &pb.Command_RaiseEpoch{RaiseEpoch: &pb.RaiseEpoch{}}})
				l.until("2026-12-01T13:00:00Z")
			},
			"2026-12-01T10:00 begun (not started)\n2 from 2026-12-01T11:00 to 2026-12-01T12:00 unknown a snapshot was restored, and what was done after it is forgotten\n2026-12-01T13:00 begun\n",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLedger(t, begin)
			l.put("d", c.schedule)
			c.do(l)
			got := l.history("d")
			for _, r := range l.m.View().Runs() {
				got = strings.ReplaceAll(got, r.GetId(), "d-RUN")
			}
			if got != c.want {
				t.Errorf("got\n%swant\n%s", got, c.want)
			}
		})
	}
}

// doubted has slots come while cluster time is in doubt.
func (l *ledger) doubted(end string) {
	l.t.Helper()
	l.k.doubt = "it is off"
	l.until(end)
	if held := l.m.View().Schedule("d").GetHeld(); held.GetWhy() != "it is off" || held.GetSlot() == "" {
		l.t.Errorf("what waits is %v", held)
	}
	l.k.doubt = ""
}

func (l *ledger) pause(name string, paused bool) {
	l.apply(&pb.Command{Id: fmt.Sprint("pause ", paused, l.index), By: &pb.Principal{Name: "bob"}, Kind: &pb.Command_PauseSchedule{
		PauseSchedule: &pb.PauseSchedule{Name: name, Paused: paused},
	}})
}

// TestRunOfASlotIsItsOwners: the run says which slot it is of, and who answers
// for it.
func TestRunOfASlotIsItsOwners(t *testing.T) {
	l := newLedger(t, "2026-12-01T09:30:00Z")
	l.put("d", "{ every: day at 10:00, timezone: UTC }")
	l.until("2026-12-01T10:00:00Z")
	runs := l.m.View().Runs()
	if len(runs) != 1 || runs[0].GetSlot().GetSlot() != "2026-12-01T10:00" || runs[0].GetBy().GetName() != "ann" ||
		runs[0].GetBy().GetWhy() != "schedule d, slot 2026-12-01T10:00" || runs[0].GetPlan().GetSeed() == 0 {
		t.Errorf("the runs are %v", runs)
	}
}

// TestRunOfASlotHasItsFilesSeed where the file gives one; another schedule's run
// has its own.
func TestRunOfASlotHasItsFilesSeed(t *testing.T) {
	l := newLedger(t, "2026-12-01T09:30:00Z")
	l.put("d", "{ every: day at 10:00, timezone: UTC }\nseed: 7")
	l.until("2026-12-01T10:00:00Z")
	if runs := l.m.View().Runs(); len(runs) != 1 || runs[0].GetPlan().GetSeed() != 7 {
		t.Errorf("the runs are %v", runs)
	}
}
