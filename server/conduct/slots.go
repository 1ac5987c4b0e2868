package conduct

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"time"

	"google.golang.org/protobuf/proto"

	"squall/experiments"
	"squall/experiments/plan"
	"squall/experiments/schedule"
	pb "squall/proto/squall/v1"
	"squall/server/state"
)

// punctual is how late a slot may be dealt with and still begin its run: a new
// leader takes seconds. Later it is missed.
const punctual = time.Minute

// A slotClerk says what comes next for schedules, and keeps their calendars. Its
// zero value is ready; it is for one goroutine.
type slotClerk struct {
	// doubt is why cluster time is not to be relied on; empty where it is.
	doubt string
	pages map[*pb.Scheduled]page
}

// A page is a schedule's calendar and the first slot that is not dealt with. A
// schedule never changes: another one takes its place.
type page struct {
	// calendar is nil where this build makes none of the schedule.
	calendar *schedule.Calendar
	slot     schedule.Slot
	// until is when it is too late for another try: its window ends, or the next
	// slot comes.
	until time.Time
	none  bool
}

// due says what comes next for a schedule: at most one command, or when to look
// again.
func (k *slotClerk) due(now time.Time, v *state.View, s *pb.Scheduled) Decision {
	p := k.page(s)
	b := &booking{now: now, view: v, schedule: s, calendar: p.calendar, slot: p.slot, until: p.until}
	switch {
	case p.calendar == nil, p.none && s.GetRetry() == nil:
		return Decision{}
	case b.spent() && b.running() == "":
		return Decision{} // it has come to its end
	case s.GetRetry() != nil:
		return k.again(b)
	case p.slot.Start.After(now):
		return Decision{Wake: p.slot.Start}
	}
	return b.dueNow(k.doubt)
}

// again says what comes next for a slot whose gate was not met.
func (k *slotClerk) again(b *booking) Decision {
	retry := b.schedule.GetRetry()
	b.slot, b.try = schedule.Slot{Civil: retry.GetSlot().GetSlot()}, retry.GetSlot().GetTry()
	b.until = time.Unix(0, retry.GetSlot().GetUntilUnixNanos())
	at := time.Unix(0, retry.GetAtUnixNanos())
	switch {
	case at.After(b.now):
		return Decision{Wake: at}
	case !b.now.Before(b.until):
		return record(b.pass(b.slot, pb.SlotOutcome_SLOT_OUTCOME_MISSED, fmt.Sprintf("its gate was not met, and nobody conducted when try %d was due", b.try), 0, ""))
	}
	return b.unlessDoubted(k.doubt, b.deal)
}

func record(c *pb.Command) Decision { return Decision{Record: []*pb.Command{c}} }

// dueNow deals with the slot that has come, and with those before now that came
// while nobody could.
func (b *booking) dueNow(doubt string) Decision {
	if forgotten := b.forgotten(); forgotten != nil {
		return record(forgotten)
	}
	return b.unlessDoubted(doubt, func() *pb.Command {
		if gone := b.missed(); gone != nil {
			return gone
		}
		return b.deal()
	})
}

// unlessDoubted deals with a slot where cluster time is not in doubt. Where it
// is, the slot waits, which is on record.
func (b *booking) unlessDoubted(doubt string, deal func() *pb.Command) Decision {
	switch {
	case doubt == "":
		return record(deal())
	case b.schedule.GetHeld().GetSlot() == b.slot.Civil:
		return Decision{Wake: b.now.Add(lookAgain)}
	}
	return record(b.command("hold", b.slot, &pb.Command{Kind: &pb.Command_HoldSlot{HoldSlot: &pb.HoldSlot{Slot: b.ref(b.slot), Why: doubt}}}))
}

// lookAgain is how often a slot that waits looks whether cluster time is in doubt still.
const lookAgain = 200 * time.Millisecond

func (k *slotClerk) page(s *pb.Scheduled) page {
	if p, known := k.pages[s]; known {
		return p
	}
	if k.pages == nil {
		k.pages = make(map[*pb.Scheduled]page)
	}
	k.pages[s] = pageOf(s)
	return k.pages[s]
}

// pageOf is a schedule's page. Where this build makes no calendar of it, its
// slots and their other tries wait for one that does.
func pageOf(s *pb.Scheduled) page {
	c, err := schedule.Of(s)
	if err != nil {
		return page{none: true}
	}
	slots, err := c.After(s.GetWatermark())
	if err != nil {
		return page{none: true}
	}
	p := page{calendar: c, none: true}
	for slot := range slots {
		if !p.none {
			p.until = earlier(p.until, slot.Start)
			break
		}
		p.slot, p.until, p.none = slot, slot.Close, false
	}
	return p
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// forget drops the pages of schedules that have changed.
func (k *slotClerk) forget(v *state.View) {
	maps.DeleteFunc(k.pages, func(s *pb.Scheduled, _ page) bool { return v.Schedule(s.GetName()) != s })
}

// A booking deals with a slot that has come.
type booking struct {
	now      time.Time
	view     *state.View
	schedule *pb.Scheduled
	calendar *schedule.Calendar
	slot     schedule.Slot
	until    time.Time
	try      uint32 // 0 is the first
}

func (b *booking) rules() *pb.Schedule { return b.schedule.GetExperiment().GetSchedule() }

// spent tells whether the schedule has begun as many runs as it was to.
func (b *booking) spent() bool { return schedule.Left(b.schedule) == 0 }

// before are the first slots that are not dealt with, as long as they are as
// wanted, so many at the most.
func (b *booking) before(wanted func(schedule.Slot) bool) (all []schedule.Slot) {
	slots, _ := b.calendar.After(b.schedule.GetWatermark()) // it was read before
	for slot := range slots {
		if !wanted(slot) || len(all) == maxMissed {
			break
		}
		all = append(all, slot)
	}
	return all
}

// maxMissed is how many slots one command passes over.
const maxMissed = 10_000

// forgotten passes the slots over that came before a restore. They may have begun
// runs of which nothing is known here, so that they never do. It is nil where
// there are none.
func (b *booking) forgotten() *pb.Command {
	if b.slot.Start.After(b.view.Restored()) {
		return nil
	}
	gone := b.before(func(s schedule.Slot) bool { return !s.Start.After(b.view.Restored()) })
	return b.passAll(gone, pb.SlotOutcome_SLOT_OUTCOME_UNKNOWN, "a snapshot was restored, and what was done after it is forgotten")
}

// missed passes the slots over, in one command, that came while nobody
// conducted. It is nil where none did, or where the last of them may run late.
func (b *booking) missed() *pb.Command {
	if b.late(b.slot) <= punctual {
		return nil
	}
	gone := b.before(func(s schedule.Slot) bool { return b.late(s) > punctual })
	n := len(gone)
	if n > 0 && b.runsLate(gone[n-1]) {
		gone = gone[:n-1]
	}
	if len(gone) == 0 {
		return nil
	}
	why := "nobody conducted"
	if h := b.schedule.GetHeld(); h != nil {
		why = "cluster time was in doubt: " + h.GetWhy()
	}
	last := gone[len(gone)-1]
	return b.passAll(gone, pb.SlotOutcome_SLOT_OUTCOME_MISSED, fmt.Sprintf("%s; seen %s late", why, b.late(last).Round(time.Second)))
}

func (b *booking) late(s schedule.Slot) time.Duration { return b.now.Sub(s.Start) }

// runsLate tells whether a slot that was missed is run all the same.
func (b *booking) runsLate(s schedule.Slot) bool {
	limit := time.Duration(b.rules().GetLate().GetNanos())
	return b.rules().GetMissed() == "run" && b.now.Before(s.Close) && (limit == 0 || b.late(s) <= limit)
}

// deal begins the slot's run, or passes it over by a rule of the schedule. Days
// that are left out are those of the instant, too: a try or a slot that is late
// may come on another day than its slot.
func (b *booking) deal() *pb.Command {
	skip := func(why string) *pb.Command { return b.pass(b.slot, pb.SlotOutcome_SLOT_OUTCOME_SKIPPED, why, 0, "") }
	switch why := cmp.Or(b.slot.Skip, b.calendar.Why(b.now)); {
	case why != "":
		return skip(why)
	case b.schedule.GetPausedBy() != nil:
		return skip(b.paused())
	}
	switch run := b.running(); {
	case run != "" && b.rules().GetOverlap() != "allow":
		return skip(fmt.Sprintf("run %s of this schedule is under way", run))
	case run != "" && b.spent():
		return skip(fmt.Sprintf("run %s of this schedule, the last of %d, is under way", run, b.rules().GetCount()))
	}
	admit := b.admission()
	if problems := admit.GetPlan().GetProblems(); len(problems) > 0 {
		return b.pass(b.slot, pb.SlotOutcome_SLOT_OUTCOME_REFUSED, problems[0].GetMessage(), 0, "")
	}
	return b.command("slot", b.slot, &pb.Command{Kind: &pb.Command_AdmitRun{AdmitRun: admit}})
}

// paused says who holds the schedule's slots back, or which run of it.
func (b *booking) paused() string {
	by := b.schedule.GetPausedBy()
	if b.schedule.GetPausedRun() != "" {
		return fmt.Sprintf("paused by %s: %s", by.GetName(), by.GetWhy())
	}
	return "paused by " + by.GetName()
}

// running is a run of the schedule that is not done.
func (b *booking) running() string {
	for _, r := range b.view.Active() {
		if r.GetSlot().GetSchedule() == b.schedule.GetName() {
			return r.GetId()
		}
	}
	return ""
}

// admission is the slot's run, planned against the fleet of now. Everything in
// it follows from the slot, so that it is the same whoever decides.
func (b *booking) admission() *pb.AdmitRun {
	slot := fmt.Sprintf("%s %s %s", b.schedule.GetName(), b.slot.Civil, b.rules().GetTimezone())
	sum := sha256.Sum256([]byte(slot))
	e := proto.CloneOf(b.schedule.GetExperiment())
	if e.GetSeed() == 0 {
		e.Seed = binary.LittleEndian.Uint64(sum[:8])>>1 | 1
	}
	if b.try > 1 {
		sum = sha256.Sum256(fmt.Appendf(nil, "%s try %d", slot, b.try))
	}
	world := b.view.WorldFor(b.schedule.GetSource())
	world.Aim, world.NowUnixNanos = b.schedule.GetAim(), b.now.UnixNano()
	return &pb.AdmitRun{
		Run:        b.schedule.GetName() + "-" + hex.EncodeToString(sum[8:12]),
		Experiment: plan.Aimed(e, b.schedule.GetAim()), Plan: plan.Make(e, experiments.Source{}, world), Source: b.schedule.GetSource(),
		Slot: b.ref(b.slot),
	}
}

func (b *booking) ref(slot schedule.Slot) *pb.SlotRef {
	return &pb.SlotRef{
		Schedule: b.schedule.GetName(), Slot: slot.Civil, Try: b.try, UntilUnixNanos: b.until.UnixNano(), Version: b.schedule.GetVersion(),
	}
}

// passAll passes slots in a row over, in one command; nil where there are none.
func (b *booking) passAll(slots []schedule.Slot, outcome pb.SlotOutcome, why string) *pb.Command {
	if len(slots) == 0 {
		return nil
	}
	return b.pass(slots[len(slots)-1], outcome, why, uint32(len(slots)), slots[0].Civil)
}

func (b *booking) pass(slot schedule.Slot, outcome pb.SlotOutcome, why string, count uint32, from string) *pb.Command {
	return b.command("pass", slot, &pb.Command{Kind: &pb.Command_PassSlot{PassSlot: &pb.PassSlot{
		Slot: b.ref(slot), Outcome: outcome, Why: why, Count: count, From: from,
	}}})
}

// command has the schedule's owner act, under an id that is the slot's own, in
// this version of the schedule: what another one says of the slot is news.
func (b *booking) command(what string, slot schedule.Slot, c *pb.Command) *pb.Command {
	c.Id = fmt.Sprintf("%s/%s/%s/%d", what, b.schedule.GetName(), slot.Civil, b.schedule.GetVersion())
	if b.try > 1 {
		c.Id += fmt.Sprintf("/%d", b.try)
	}
	c.By = &pb.Principal{
		Name: b.schedule.GetBy().GetName(), Role: b.schedule.GetBy().GetRole(),
		Why: fmt.Sprintf("schedule %s, slot %s", b.schedule.GetName(), slot.Civil),
	}
	return c
}
