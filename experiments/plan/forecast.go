package plan

import (
	"time"

	pb "squall/proto/squall/v1"
)

// Forecast is what the guards of a world will say about one plan at later
// instants, as if nothing else ran then. Nil is that of a world without guards.
type Forecast struct {
	docket *docket
	// broken are those that are broken whenever it begins, but for exceptions.
	broken []*pb.GuardOpinion
	// closed are those that depend on the hour.
	closed []*pb.Guard
	// after is the guard with the longest gap.
	after *pb.Guard
}

// NewForecast judges a plan once, for all instants at which it may begin.
func NewForecast(p *pb.Plan, w World) *Forecast {
	if len(w.Guards) == 0 {
		return nil
	}
	w.Active, w.Past = nil, nil
	f := &Forecast{docket: &docket{w: w, blast: newBlast(p, nil, w, everyStep), own: Active{Plan: p, FileDigest: w.FileDigest}}}
	for _, g := range w.Guards {
		o := f.docket.opinion(g)
		switch {
		case o.GetStanding() == pb.GuardStanding_GUARD_STANDING_SILENT:
		case g.GetClosed() != nil:
			f.closed = append(f.closed, g)
		case g.GetGapNanos() > f.after.GetGapNanos():
			f.after = g
		case o.GetMessage() != "":
			f.broken = append(f.broken, o)
		}
	}
	return f
}

// At are the guards that refuse the plan at an instant in Unix nanoseconds, each
// with its numbers.
func (f *Forecast) At(unixNanos int64) (why []string) {
	if f == nil {
		return nil
	}
	f.docket.w.NowUnixNanos = unixNanos
	for _, o := range f.broken {
		if f.docket.w.excepted(o.GetGuard(), f.docket.own) == nil {
			why = append(why, o.GetMessage())
		}
	}
	for _, g := range f.closed {
		if o := f.docket.opinion(g); o.GetStanding() == pb.GuardStanding_GUARD_STANDING_BROKEN {
			why = append(why, o.GetMessage())
		}
	}
	return why
}

// Gap is the longest time that must lie between two runs, and the guard that says
// so; 0 for none.
func (f *Forecast) Gap() (guard string, gap time.Duration) {
	if f == nil {
		return "", 0
	}
	return f.after.GetName(), time.Duration(f.after.GetGapNanos())
}
