package conduct

import (
	"cmp"
	"container/heap"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
	"squall/server/state"
)

// year is a year of schedules, from event to event, and everything that goes
// wrong in it.
type year struct {
	*ledger
	rng   *rand.Rand
	due   agenda
	next  map[string]time.Time // when to look at each schedule: other visits are void
	kills int
	// begun are the runs that each slot began, by its try; passed is how often it was
	// passed over.
	begun, passed map[string]int
}

// An agenda is when to look at schedules again, the next one first.
type agenda []visit

type visit struct {
	at   time.Time
	name string
}

func (a agenda) Len() int           { return len(a) }
func (a agenda) Less(i, k int) bool { return a[i].at.Before(a[k].at) }
func (a agenda) Swap(i, k int)      { a[i], a[k] = a[k], a[i] }
func (a *agenda) Push(x any)        { *a = append(*a, x.(visit)) }
func (a *agenda) Pop() any {
	last := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return last
}

// newYear has so many schedules of all kinds.
func newYear(t testing.TB, schedules int) *year {
	y := &year{
		ledger: newLedger(t, "2026-01-01T00:00:00Z"), rng: rand.New(rand.NewPCG(3, 4)),
		next: map[string]time.Time{}, begun: map[string]int{}, passed: map[string]int{},
	}
	zones := []string{"Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Asia/Seoul", "Africa/Casablanca"}
	rules := []string{"", ", missed: run", ", retry: 2, retry_after: 10m", ", jitter: 50m, seed: 7", ", count: 5", ", on_fail: pause", ", overlap: allow, missed: run, late: 2h"}
	for n := range schedules {
		pattern := fmt.Sprintf("\"%d %d %d * *\"", y.rng.IntN(60), y.rng.IntN(24), 1+y.rng.IntN(28))
		if n%10 == 0 { // every week, in the small hours in which clocks are moved
			pattern = fmt.Sprintf("\"%d %d * * %d\"", y.rng.IntN(60), 1+y.rng.IntN(3), y.rng.IntN(7))
		}
		name := fmt.Sprintf("s%03d", n)
		y.put(name, fmt.Sprintf("{ cron: %s, timezone: %s%s }", pattern, zones[n%len(zones)], rules[n%len(rules)]))
		y.again(y.now, name)
	}
	return y
}

// until goes from event to event. At each event the leader may die.
func (y *year) until(end time.Time) {
	for len(y.due) > 0 && !y.due[0].at.After(end) {
		next := heap.Pop(&y.due).(visit)
		if !next.at.Equal(y.next[next.name]) {
			continue
		}
		delete(y.next, next.name)
		if next.at.After(y.now) {
			y.now = next.at
		}
		y.look(next.name)
		y.endRuns()
	}
	y.now = end
}

// again has a schedule visited at an instant, or earlier.
func (y *year) again(at time.Time, name string) {
	if known, ok := y.next[name]; ok && !at.Before(known) {
		return
	}
	y.next[name] = at
	heap.Push(&y.due, visit{at, name})
}

// look deals with what is due for a schedule, or notes when to look again.
func (y *year) look(name string) {
	d := y.k.due(y.now, y.m.View(), y.m.View().Schedule(name))
	for _, c := range d.Record {
		y.commitOrDie(name, c)
		y.again(y.now, name)
	}
	if !d.Wake.IsZero() {
		y.again(d.Wake, name)
	}
}

// commitOrDie commits a command, unless its leader dies before; or it dies after;
// or another one thinks that it leads and does the same.
func (y *year) commitOrDie(name string, c *pb.Command) {
	switch y.rng.IntN(30) {
	case 0:
	case 1:
		y.commit(c)
	case 2:
		other := new(slotClerk).due(y.now, y.m.View(), y.m.View().Schedule(name))
		y.commit(c)
		for _, c := range other.Record {
			y.commit(c)
		}
	default:
		y.commit(c)
		return
	}
	y.kills++
	y.k = new(slotClerk)
	if y.kills%100 == 0 { // the new one looks at all of them, as each does
		for _, s := range y.m.View().Schedules() {
			y.again(y.now, s.GetName())
		}
	}
}

// commit commits as a term does, and keeps account.
func (y *year) commit(c *pb.Command) {
	o := y.apply(proto.CloneOf(c))
	switch refused := o.GetRefused(); {
	case o.GetRepeatedCommand():
	case refused != nil && c.GetAdmitRun() != nil:
		y.commit(&pb.Command{Id: c.GetId() + "/refused", Kind: &pb.Command_PassSlot{PassSlot: &pb.PassSlot{
			Slot: c.GetAdmitRun().GetSlot(), Outcome: pb.SlotOutcome_SLOT_OUTCOME_REFUSED, Why: refused.GetMessage(),
		}}})
	case refused != nil:
	case c.GetAdmitRun() != nil:
		slot := c.GetAdmitRun().GetSlot()
		y.begun[fmt.Sprintf("%s %s %d", slot.GetSchedule(), slot.GetSlot(), max(slot.GetTry(), 1))]++
	case c.GetPassSlot() != nil && c.GetPassSlot().GetSlot().GetTry() < 2:
		y.pass(c.GetPassSlot())
	}
}

// pass accounts for the slots that a command passes over.
func (y *year) pass(c *pb.PassSlot) {
	slots, err := pageOf(y.m.View().Schedule(c.GetSlot().GetSchedule())).calendar.After(before(cmp.Or(c.GetFrom(), c.GetSlot().GetSlot())))
	if err != nil {
		y.t.Fatal(err)
	}
	n := uint32(0)
	for slot := range slots {
		if slot.Civil > c.GetSlot().GetSlot() {
			break
		}
		n++
		y.passed[c.GetSlot().GetSchedule()+" "+slot.Civil]++
	}
	if n != max(c.GetCount(), 1) {
		y.t.Errorf("%v passes %d slots over", c, n)
	}
}

// before is the civil time a minute before another.
func before(civil string) string {
	const layout = "2006-01-02T15:04"
	at, _ := time.Parse(layout, civil)
	return at.Add(-time.Minute).Format(layout)
}

// endRuns ends what is under way, as this or that. A schedule that is paused by it
// goes on at once.
func (y *year) endRuns() {
	for _, r := range y.m.View().Active() {
		name := r.GetSlot().GetSchedule()
		y.end([]pb.Verdict{pb.Verdict_VERDICT_PASS, pb.Verdict_VERDICT_NOT_STARTED, pb.Verdict_VERDICT_FAIL}[y.rng.IntN(3)])
		if y.m.View().Schedule(name).GetPausedBy() != nil && y.rng.IntN(2) == 0 {
			y.pause(name, false)
		}
		y.again(y.now, name)
	}
}

// snapshot is the state as it is kept.
func (y *year) snapshot() []byte {
	b, err := proto.Marshal(y.m.Snapshot())
	if err != nil {
		y.t.Fatal(err)
	}
	return b
}

// comesUp has all servers come up anew with a state that was kept.
func (y *year) comesUp(kept []byte) {
	var s pb.State
	if err := proto.Unmarshal(kept, &s); err != nil {
		y.t.Fatal(err)
	}
	y.m, y.k = state.New(), new(slotClerk)
	if err := y.m.Restore(&s); err != nil {
		y.t.Fatal(err)
	}
	for _, s := range y.m.View().Schedules() {
		y.again(y.now, s.GetName())
	}
}

// TestEverySlotOnceInAYear has 1,000 schedules, and leaders that are killed at a
// thousand slots: before the command, after it, or while two think that they lead.
// The servers come up anew behind a clock that is fast by 90 minutes, cluster time
// is in doubt for a day, nobody leads for a week, and a snapshot is restored that
// is two days old. Each slot begins one run, try by try, or is on record.
func TestEverySlotOnceInAYear(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: it is one goroutine, and takes minutes under the race detector")
	}
	passYear(t)
}

// BenchmarkYear is how long that takes. The baseline is the calendars alone: going
// through the same slots.
func BenchmarkYear(b *testing.B) {
	for b.Loop() {
		began, used := time.Now(), processorTime(b)
		y := passYear(b)
		passed, spent := time.Now(), processorTime(b)-used
		for _, s := range y.m.View().Schedules() {
			for slot := range pageOf(s).calendar.Since(y.now.AddDate(-1, 0, 0)) {
				if slot.Start.After(y.now) {
					break
				}
			}
		}
		b.ReportMetric(passed.Sub(began).Seconds(), "s")
		b.ReportMetric(spent.Seconds(), "processor-s")
		b.ReportMetric(time.Since(passed).Seconds(), "calendars-s")
	}
}

// processorTime is what this process has used so far.
func processorTime(t testing.TB) time.Duration {
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

func passYear(t testing.TB) *year {
	y := newYear(t, 1000)
	begin := y.now
	month := func(n int) time.Time { return begin.AddDate(0, n, 3) }
	y.until(month(1))
	y.comesUp(y.snapshot()) // nothing is lost
	y.until(month(2))
	y.now = y.now.Add(90 * time.Minute)
	y.comesUp(y.snapshot())
	y.until(month(3))
	y.k.doubt = "it is off"
	y.until(month(3).AddDate(0, 0, 1))
	y.k = new(slotClerk)
	y.until(month(5))
	y.now = y.now.AddDate(0, 0, 7)
	y.until(month(7))
	old := y.snapshot()
	y.until(month(7).AddDate(0, 0, 2))
	y.comesUp(old)
	y.apply(&pb.Command{Id: "restore", Kind: &pb.Command_RaiseEpoch{RaiseEpoch: &pb.RaiseEpoch{}}})
	y.until(begin.AddDate(1, 0, 0))
	y.check(begin)
	return y
}

// check holds the account against the calendars.
func (y *year) check(begin time.Time) {
	for what, n := range y.begun {
		if n != 1 {
			y.t.Errorf("slot %s began %d runs", what, n)
		}
	}
	slots, twice := 0, 0
	for _, s := range y.m.View().Schedules() {
		p := pageOf(s)
		if ended := (&booking{schedule: s}).spent(); !ended && p.slot.Start.Before(y.now) {
			y.t.Errorf("%s waits for slot %s since %s", s.GetName(), p.slot.Civil, p.slot.Start)
		}
		for slot := range p.calendar.Since(begin) {
			if slot.Civil > s.GetWatermark() {
				break
			}
			slots++
			what := s.GetName() + " " + slot.Civil
			switch n := y.begun[what+" 1"] + y.passed[what]; {
			case n == 2 && y.passed[what] == 1 && y.unknown(s, slot.Civil):
				twice++ // it was dealt with, and is unknown since the restore
			case n != 1 && (y.passed[what] != 2 || !y.unknown(s, slot.Civil)):
				y.t.Errorf("slot %s was dealt with %d times", what, n)
			}
		}
	}
	y.t.Logf("%d slots, %d runs, %d kills, %d slots unknown since the restore", slots, len(y.begun), y.kills, twice)
	if slots < 10_000 || y.kills < 1000 || twice == 0 {
		y.t.Error("too little to show anything")
	}
}

// unknown tells whether the record says that it is not known what became of a slot.
func (y *year) unknown(s *pb.Scheduled, civil string) bool {
	return slices.ContainsFunc(s.GetHistory(), func(r *pb.SlotRecord) bool {
		return r.GetOutcome() == pb.SlotOutcome_SLOT_OUTCOME_UNKNOWN && strings.Compare(cmp.Or(r.GetFrom(), r.GetSlot()), civil) <= 0 && civil <= r.GetSlot()
	})
}
