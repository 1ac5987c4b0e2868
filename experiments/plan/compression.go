package plan

import (
	"fmt"
	"slices"
	"time"

	"squall/experiments/fault"
	"squall/experiments/quantity"
	pb "squall/proto/squall/v1"
)

// detections is how many times a detection wants to be able to happen in a
// stretch that should trip it.
const detections = 3

// compression warns of phases that became shorter than three times what should
// notice them takes: physics does not compress.
func (m *maker) compression() {
	for i, p := range m.p.GetPhases() {
		lasts := p.GetEndNanos() - p.GetStartNanos()
		if what, takes := m.detection(p.GetName()); m.time.milli > 1000 && lasts < detections*takes {
			m.warn(index("timeline", i), fmt.Sprintf("phase %s lasts %s real; %s (%s) wants %d times as long", quoted(p.GetName()),
				quantity.FormatSpan(lasts), quoted(what), quantity.FormatSpan(takes), detections), m.slower(p, detections*takes))
		} else if what != "" && lasts < 2*int64(time.Second) {
			m.warn(index("timeline", i), fmt.Sprintf("phase %s lasts %s real; %s needs a whole second inside it", quoted(p.GetName()), quantity.FormatSpan(lasts), quoted(what)), "let it last at least 2s")
		}
	}
	m.watchers()
}

// detection is the slowest check of a phase, and how long it takes to notice.
func (m *maker) detection(phase string) (what string, takes int64) {
	slowest := func(name string, nanos int64) {
		if what == "" || nanos > takes {
			what, takes = name, nanos
		}
	}
	for _, p := range m.e.GetProof() {
		if any1(p.GetDuring(), phase) {
			slowest(p.GetName(), m.every(p.GetCheck()))
		}
	}
	for _, x := range m.e.GetExpect() {
		if x.GetAfter() == phase {
			slowest(x.GetName(), x.GetWithin().GetNanos())
		} else if x.GetAfter() == "" && any1(x.GetDuring(), phase) {
			slowest(x.GetName(), m.every(x.GetCheck()))
		}
	}
	return what, takes
}

// every is the longest `every` of the probes in an expression.
func (m *maker) every(expression string) int64 {
	var longest int64
	for _, name := range m.judge.ProbesIn(expression) {
		longest = max(longest, m.e.GetProbes()[name].GetEvery().GetNanos())
	}
	return longest
}

// slower says at which speed, or with which floor, a phase is long enough.
func (m *maker) slower(p *pb.PlannedPhase, least int64) string {
	floor := "`at_least: " + quantity.FormatSpan(least) + "`"
	if milli := (p.GetIncidentEndNanos() - p.GetIncidentStartNanos()) / (least/1000 + 1) / 1000; milli >= 1 {
		return fmt.Sprintf("set speed to %dx or slower, or give the phase %s", milli, floor)
	}
	return "give the phase " + floor
}

// watchers warns of probes on hosts that go dark: they then tell of the dark
// host, not of the service.
func (m *maker) watchers() {
	dark := map[string]bool{}
	for _, s := range m.p.GetSteps() {
		for _, slot := range s.GetSlots() {
			if fault.TakesHosts(s.GetFault(), s.GetWorkload()) {
				dark[slot.GetHost()] = true
			}
		}
	}
	for _, p := range m.p.GetProbes() {
		blind := slices.DeleteFunc(slices.Clone(p.GetHosts()), func(h string) bool { return !dark[h] })
		if p.GetProbe() != nil && len(blind) > 0 {
			m.warn("probes."+p.GetName()+".from", fmt.Sprintf("probe %s runs on hosts that go dark: %s silenced too", quoted(p.GetName()), some(blind)), "run it from zones that stay lit")
		}
	}
}
