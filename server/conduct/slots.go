package conduct

import (
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
	pages map[*pb.Scheduled]page
}

// A page is a schedule's calendar and the first slot that is not dealt with. A
// schedule never changes: another one takes its place.
type page struct {
	calendar *schedule.Calendar
	slot     schedule.Slot
	none     bool
}

// due says what comes next for a schedule: at most one command, or when to look
// again.
func (k *slotClerk) due(now time.Time, v *state.View, s *pb.Scheduled) Decision {
	p := k.page(s)
	switch {
	case p.none:
		return Decision{}
	case p.slot.Start.After(now):
		return Decision{Wake: p.slot.Start}
	}
	b := booking{now: now, view: v, schedule: s, slot: p.slot}
	if gone := b.missed(p.calendar); gone != nil {
		return Decision{Record: []*pb.Command{gone}}
	}
	return Decision{Record: []*pb.Command{b.deal()}}
}

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
// slots wait for one that does.
func pageOf(s *pb.Scheduled) page {
	c, err := schedule.New(s.GetExperiment().GetSchedule())
	if err != nil {
		return page{none: true}
	}
	slots, err := c.After(s.GetWatermark())
	if err != nil {
		return page{none: true}
	}
	for slot := range slots {
		return page{calendar: c, slot: slot}
	}
	return page{none: true}
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
	slot     schedule.Slot
}

// missed passes the slots over, in one command, that came while nobody
// conducted. It is nil where none did, or where the last of them may run late.
func (b *booking) missed(c *schedule.Calendar) *pb.Command {
	var gone []schedule.Slot
	slots, _ := c.After(b.schedule.GetWatermark()) // it was read before
	for slot := range slots {
		if b.now.Sub(slot.Start) <= punctual || len(gone) == maxMissed {
			break
		}
		gone = append(gone, slot)
	}
	if n := len(gone); n > 0 && b.runsLate() && b.now.Before(gone[n-1].Close) {
		gone = gone[:n-1]
	}
	if len(gone) == 0 {
		return nil
	}
	last := gone[len(gone)-1]
	why := fmt.Sprintf("nobody conducted; seen %s late", b.now.Sub(last.Start).Round(time.Second))
	return b.pass(last, pb.SlotOutcome_SLOT_OUTCOME_MISSED, why, uint32(len(gone)), gone[0].Civil)
}

// maxMissed is how many slots one command passes over.
const maxMissed = 10_000

func (b *booking) runsLate() bool {
	return b.schedule.GetExperiment().GetSchedule().GetMissed() == "run"
}

// deal begins the slot's run, or passes it over by a rule of the schedule.
func (b *booking) deal() *pb.Command {
	skip := func(why string) *pb.Command { return b.pass(b.slot, pb.SlotOutcome_SLOT_OUTCOME_SKIPPED, why, 0, "") }
	switch {
	case b.slot.Skip != "":
		return skip(b.slot.Skip)
	case b.schedule.GetPausedBy() != nil:
		return skip(fmt.Sprintf("paused by %s", b.schedule.GetPausedBy().GetName()))
	}
	if run := b.underWay(); run != "" {
		return skip(fmt.Sprintf("run %s of this schedule is under way", run))
	}
	admit := b.admission()
	if problems := admit.GetPlan().GetProblems(); len(problems) > 0 {
		return b.pass(b.slot, pb.SlotOutcome_SLOT_OUTCOME_REFUSED, problems[0].GetMessage(), 0, "")
	}
	return b.command("slot", b.slot, &pb.Command{Kind: &pb.Command_AdmitRun{AdmitRun: admit}})
}

// underWay is a run of the schedule that is not done, where two may not be.
func (b *booking) underWay() string {
	if b.schedule.GetExperiment().GetSchedule().GetOverlap() == "allow" {
		return ""
	}
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
	sum := sha256.Sum256([]byte(b.schedule.GetName() + " " + b.slot.Civil))
	e := proto.CloneOf(b.schedule.GetExperiment())
	if e.GetSeed() == 0 {
		e.Seed = binary.LittleEndian.Uint64(sum[:8])>>1 | 1
	}
	world := b.view.World()
	world.Aim, world.NowUnixNanos = b.schedule.GetAim(), b.now.UnixNano()
	return &pb.AdmitRun{
		Run:        b.schedule.GetName() + "-" + hex.EncodeToString(sum[8:12]),
		Experiment: plan.Aimed(e, b.schedule.GetAim()), Plan: plan.Make(e, experiments.Source{}, world), Source: b.schedule.GetSource(),
		Slot: b.ref(b.slot),
	}
}

func (b *booking) ref(slot schedule.Slot) *pb.SlotRef {
	return &pb.SlotRef{Schedule: b.schedule.GetName(), Slot: slot.Civil}
}

func (b *booking) pass(slot schedule.Slot, outcome pb.SlotOutcome, why string, count uint32, from string) *pb.Command {
	return b.command("pass", slot, &pb.Command{Kind: &pb.Command_PassSlot{PassSlot: &pb.PassSlot{
		Slot: b.ref(slot), Outcome: outcome, Why: why, Count: count, From: from,
	}}})
}

// command has the schedule's owner act, under an id that is the slot's own.
func (b *booking) command(what string, slot schedule.Slot, c *pb.Command) *pb.Command {
	c.Id = fmt.Sprintf("%s/%s/%s/%d", what, b.schedule.GetName(), slot.Civil, b.schedule.GetPutUnixNanos())
	c.By = &pb.Principal{
		Name: b.schedule.GetBy().GetName(), Role: b.schedule.GetBy().GetRole(),
		Why: fmt.Sprintf("schedule %s, slot %s", b.schedule.GetName(), slot.Civil),
	}
	return c
}
