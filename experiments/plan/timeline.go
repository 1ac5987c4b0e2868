package plan

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"squall/experiments"
	"squall/experiments/fault"
	"squall/experiments/quantity"
	pb "squall/proto/squall/v1"
)

const day = int64(24 * time.Hour)

// timeline turns incident time into real time. Incident instants are
// nanoseconds after the origin, real ones after T0.
type timeline struct {
	// milli is the speed in thousandths.
	milli int64
	// midnight is how long after midnight the origin is; -1 where there is no origin.
	midnight int64
	phases   []phaseTime
	// shifts are what floors in real time add to everything from an instant on, in order.
	shifts []shift
}

// phaseTime is a phase in incident time.
type phaseTime struct {
	start, end int64
	steps      []stepTime
}

// stepTime is a step in incident time; done is when its way back is over too.
type stepTime struct{ start, end, done int64 }

// shift moves everything from an instant of incident time on.
type shift struct{ from, by int64 }

// floor is a stretch of incident time with its least length in real time.
type floor struct{ start, end, least int64 }

// Real is a length of incident time in real time, in nanoseconds, at a speed in thousandths.
func Real(span int64, milliSpeed uint64) int64 {
	milli := int64(max(milliSpeed, 1))
	return span/milli*1000 + span%milli*1000/milli
}

// scale divides a length of incident time by the speed.
func (t *timeline) scale(span int64) int64 {
	return Real(span, uint64(t.milli))
}

// real is when an instant comes, in real time.
func (t *timeline) real(instant int64) int64 {
	at := t.scale(instant)
	for _, s := range t.shifts {
		if s.from <= instant {
			at += s.by
		}
	}
	return at
}

// keep makes stretches last as long as their floors ask: what is at their ends
// or after moves by what is lacking.
func (t *timeline) keep(floors []floor) {
	slices.SortStableFunc(floors, func(a, b floor) int { return cmp.Compare(a.end, b.end) })
	for _, f := range floors {
		if lacking := f.least - (t.real(f.end) - t.real(f.start)); lacking > 0 {
			t.shifts = append(t.shifts, shift{f.end, lacking})
		}
	}
}

// schedule places phases and steps in both times.
func (m *maker) schedule() {
	m.time = &timeline{milli: max(int64(m.e.GetClock().GetSpeed().GetMilliTimes()), 1), midnight: -1}
	m.p.MilliSpeed = uint64(m.time.milli)
	m.origin()
	m.starts()
	m.ends()
	m.time.keep(m.floors())
	for i, p := range m.e.GetTimeline() {
		at := m.time.phases[i]
		m.p.Phases = append(m.p.Phases, &pb.PlannedPhase{
			Name: p.GetPhase(), Say: p.GetSay(),
			StartNanos: m.time.real(at.start), EndNanos: m.time.real(at.end),
			IncidentStartNanos: at.start, IncidentEndNanos: at.end,
		})
	}
}

func (m *maker) origin() {
	text := m.e.GetClock().GetOrigin()
	if text == "" {
		return
	}
	origin, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		m.problem(pb.Refusal_REFUSAL_INVALID, "clock.origin", quoted(text)+" is not an instant", `write RFC 3339 in quotes, such as "2012-06-29T19:57:00-07:00"`)
		return
	}
	_, zone := origin.Zone()
	m.p.OriginUnixNanos, m.p.OriginZoneSeconds = origin.UnixNano(), int32(zone)
	m.time.midnight = (origin.UnixNano() + int64(zone)*int64(time.Second)) % day
}

// starts finds when each phase begins: never before the one above it.
func (m *maker) starts() {
	at := int64(0)
	for i, p := range m.e.GetTimeline() {
		path := index("timeline", i)
		if p.GetAt() != nil {
			at = m.instant(path+".at", p.GetAt(), at)
		} else if i > 0 {
			m.problem(pb.Refusal_REFUSAL_INVALID, path, "phase "+quoted(p.GetPhase())+" does not say when it begins", "add `at:`")
		}
		m.time.phases = append(m.time.phases, phaseTime{start: at})
	}
}

// ends finds when each phase ends: at its until, else where the next begins,
// else with its last fault, else after its floor.
func (m *maker) ends() {
	for i, p := range m.e.GetTimeline() {
		path, at := index("timeline", i), &m.time.phases[i]
		last := at.start + p.GetAtLeast().GetNanos()/1000*m.time.milli
		for k, s := range p.GetFaults() {
			st := m.stepTime(index(path+".faults", k), s, at.start)
			at.steps = append(at.steps, st)
			last = max(last, st.done)
		}
		switch {
		case p.GetUntil() != nil:
			at.end = m.instant(path+".until", p.GetUntil(), at.start)
		case i+1 < len(m.time.phases):
			at.end = m.time.phases[i+1].start
		default:
			at.end = last
		}
		if at.end <= at.start {
			m.problem(pb.Refusal_REFUSAL_INVALID, path, "phase "+quoted(p.GetPhase())+" has no length", "add `until:`, or a fault")
		}
	}
}

func (m *maker) stepTime(path string, s *pb.Step, start int64) stepTime {
	st := stepTime{start: start}
	if s.GetAt() != nil {
		st.start = m.instant(path+".at", s.GetAt(), start)
	}
	switch {
	case s.GetUntil() != nil:
		st.end = m.instant(path+".until", s.GetUntil(), st.start)
	case s.GetFor() != nil:
		st.end = st.start + s.GetFor().GetNanos()
	}
	if st.end <= st.start {
		m.problem(pb.Refusal_REFUSAL_INVALID, path, experiments.FaultName(s.GetFault())+" has no length", "add `until:` or `for:`")
	}
	st.done = st.end + fault.WayBack(s.GetFault()).GetSpread().GetNanos()
	return st
}

func (m *maker) floors() []floor {
	var floors []floor
	for i, p := range m.e.GetTimeline() {
		at := m.time.phases[i]
		floors = append(floors, floor{at.start, at.end, p.GetAtLeast().GetNanos()})
		for k, s := range p.GetFaults() {
			floors = append(floors, floor{at.steps[k].start, at.steps[k].end, s.GetAtLeast().GetNanos()})
		}
	}
	return floors
}

// instant resolves a moment that comes no earlier than after. A time of day
// that would is on the next day.
func (m *maker) instant(path string, i *pb.Instant, after int64) int64 {
	at := after
	switch of := i.GetOf().(type) {
	case *pb.Instant_TimeOfDay:
		return m.timeOfDay(path, of.TimeOfDay, after)
	case *pb.Instant_AfterOrigin:
		at = of.AfterOrigin
	case *pb.Instant_Phase:
		at = m.startOf(path, of.Phase, after)
	}
	if at < after {
		m.problem(pb.Refusal_REFUSAL_INVALID, path, quoted(quantity.FormatInstant(i))+" is earlier than what comes before it", "write a later time: times only go forward")
		return after
	}
	return at
}

func (m *maker) timeOfDay(path string, seconds uint32, after int64) int64 {
	if m.time.midnight < 0 {
		m.problem(pb.Refusal_REFUSAL_INVALID, path, "a time of day needs to know the day", "add `clock: {origin: …}`, or write T+ and a length of time")
		return after
	}
	at := int64(seconds)*int64(time.Second) - m.time.midnight
	if at < after {
		at += (after - at + day - 1) / day * day
	}
	return at
}

// startOf is when a phase begins that is already placed.
func (m *maker) startOf(path, name string, otherwise int64) int64 {
	for i := range m.time.phases {
		if m.e.Timeline[i].GetPhase() == name {
			return m.time.phases[i].start
		}
	}
	m.problem(pb.Refusal_REFUSAL_INVALID, path, fmt.Sprintf("there is no phase %s before this line", quoted(name)), "name a phase that is written above, or a time")
	return otherwise
}
