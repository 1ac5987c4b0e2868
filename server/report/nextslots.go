package report

import (
	"context"
	"fmt"
	"time"

	"squall/experiments/plan"
	"squall/experiments/quantity"
	"squall/experiments/schedule"
	pb "squall/proto/squall/v1"
	"squall/server/state"
)

// An Outlook is what the next slots of a schedule are judged by.
type Outlook struct {
	View *state.View
	// Schedule need not be in the view, as one that is about to be kept.
	Schedule *pb.Scheduled
	// Forecast says what guardrails of the cluster will say; nil says nothing.
	Forecast *plan.Forecast
	// Length is how long a run of it takes at least.
	Length time.Duration
	// Now is cluster time, and Doubt why it is not to be relied on; empty where it is.
	Now   time.Time
	Doubt string
}

// Next are the next slots, at most count of them, and what hinders each as
// things stand. The error is a *schedule.Error, or that of ctx, with whose end it
// stops.
func (o Outlook) Next(ctx context.Context, count int) ([]*pb.NextSlot, error) {
	c, err := schedule.Of(o.Schedule)
	if err != nil {
		return nil, err
	}
	standing := o.standing()
	before := o.underWay()
	if again := o.tryToCome(); again.until.After(before.until) {
		before = again
	}
	left := schedule.Left(o.Schedule)
	var next []*pb.NextSlot
	for slot := range c.Since(o.Now) {
		if len(next) == count || left == 0 {
			break
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if slot.Civil <= o.Schedule.GetWatermark() { // its name was dealt with, before clocks were put back
			continue
		}
		s := &pb.NextSlot{Slot: slot.Civil, AtUnixNanos: slot.Start.UnixNano()}
		if slot.Skip != "" {
			s.HinderedBy = append(s.HinderedBy, slot.Skip)
		}
		s.HinderedBy = append(s.HinderedBy, standing...)
		if why := o.after(before, slot.Start); why != "" {
			s.HinderedBy = append(s.HinderedBy, why)
		}
		s.HinderedBy = append(s.HinderedBy, o.Forecast.At(slot.Start.UnixNano())...)
		if len(s.GetHinderedBy()) == 0 {
			before = o.run(fmt.Sprintf("the run of %s", slot.Civil), slot.Start)
			left--
		}
		next = append(next, s)
	}
	return next, nil
}

// standing is what hinders every slot until somebody acts.
func (o Outlook) standing() (all []string) {
	if p := o.Schedule.GetPausedBy(); p != nil {
		all = append(all, Because("paused by "+p.GetName(), p.GetWhy()))
	}
	if h := o.View.Halt(); h.GetEngaged() {
		all = append(all, Because(fmt.Sprintf("the halt lever is engaged by %q", h.GetId()), h.GetReason()))
	}
	if o.Doubt != "" {
		all = append(all, "cluster time is in doubt: "+o.Doubt)
	}
	return all
}

// Because is what is so, and why where somebody has said that.
func Because(what, why string) string {
	if why == "" {
		return what
	}
	return what + ": " + why
}

// A busy time is that of a run of the schedule. It may let another one begin.
type busy struct {
	until   time.Time
	what    string
	overlap bool
}

// run is the time of one that begins at an instant.
func (o Outlook) run(what string, from time.Time) busy {
	return busy{from.Add(o.Length), what, o.Schedule.GetExperiment().GetSchedule().GetOverlap() == "allow"}
}

// after says why no run begins at an instant after another one; "" where one may.
func (o Outlook) after(b busy, at time.Time) string {
	if !b.overlap && at.Before(b.until) {
		return fmt.Sprintf("%s is under way: it lasts %s or more", b.what, o.Length.Round(time.Second))
	}
	guard, gap := o.Forecast.Gap()
	if gap > 0 && b.what != "" && at.Before(b.until.Add(gap)) {
		return fmt.Sprintf("guardrail %s of the cluster: %s must lie between the end of %s and the next run", guard, quantity.FormatSpan(int64(gap)), b.what)
	}
	return ""
}

// underWay is the time of a run that is under way now.
func (o Outlook) underWay() (longest busy) {
	for _, r := range o.View.Active() {
		if r.GetSlot().GetSchedule() != o.Schedule.GetName() {
			continue
		}
		from := o.Now
		if r.GetT0UnixNanos() != 0 {
			from = time.Unix(0, r.GetT0UnixNanos())
		}
		if b := o.run("run "+r.GetId(), from); b.until.After(longest.until) {
			longest = b
		}
	}
	return longest
}

// tryToCome is the time of another try of the last slot that waits.
func (o Outlook) tryToCome() busy {
	retry := o.Schedule.GetRetry()
	if retry == nil {
		return busy{}
	}
	return o.run(fmt.Sprintf("try %d of %s", retry.GetSlot().GetTry(), retry.GetSlot().GetSlot()), time.Unix(0, retry.GetAtUnixNanos()))
}

// UnderWay are the runs of a schedule that are not done, oldest first.
func UnderWay(v *state.View, name string) (runs []string) {
	for _, r := range v.Active() {
		if r.GetSlot().GetSchedule() == name {
			runs = append(runs, r.GetId())
		}
	}
	return runs
}

// mostIdle is after how many slots in a row without a run a schedule is taken to
// begin none.
const mostIdle = 10_000

// Idle is why the last of a schedule's slots begins no run where its own rules let
// none of them; empty where one may. The error is as of Next.
func (o Outlook) Idle(ctx context.Context) (why string, err error) {
	c, err := schedule.Of(o.Schedule)
	if err != nil {
		return "", err
	}
	n := 0
	for slot := range c.Since(o.Now) {
		if n++; slot.Skip == "" {
			return "", nil
		}
		if why = slot.Skip; n == mostIdle {
			break
		}
		if err := ctx.Err(); err != nil {
			return "", err
		}
	}
	return why, nil
}

// Crowded warns of slots that come before the run of the one before has ended.
// It is nil where there are none among the next hundred.
func (o Outlook) Crowded() *pb.Problem {
	c, err := schedule.Of(o.Schedule)
	if err != nil {
		return nil
	}
	var last schedule.Slot
	n := 0
	for slot := range c.Since(o.Now) {
		if n++; n > 100 {
			return nil
		}
		if gap := slot.Start.Sub(last.Start); n > 1 && gap < o.Length {
			return o.crowded(gap)
		}
		last = slot
	}
	return nil
}

func (o Outlook) crowded(gap time.Duration) *pb.Problem {
	p := &pb.Problem{
		Message: fmt.Sprintf("its slots come as soon as %s after one another, and a run lasts %s or more: the slots meanwhile are skipped", gap, o.Length.Round(time.Second)),
		Fix:     "let them come further apart",
	}
	if o.Schedule.GetExperiment().GetSchedule().GetOverlap() == "allow" {
		p.Message = fmt.Sprintf("its slots come as soon as %s after one another, and a run lasts %s or more: those that touch the same hosts are refused", gap, o.Length.Round(time.Second))
	}
	return p
}
