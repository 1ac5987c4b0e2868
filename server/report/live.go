package report

import (
	"time"

	"google.golang.org/protobuf/proto"

	"squall/experiments"
	kind "squall/experiments/fault"
	"squall/proto/hist"
	pb "squall/proto/squall/v1"
	"squall/server/state"
)

// history is how many seconds of a probe people look back over.
const history = 60

// Live is a run as it stands now, but for its rules: those are judged.
func Live(v *state.View, r *pb.Run, now time.Time) *pb.LiveRun {
	l := &pb.LiveRun{
		Run: Summary(v, r), NowUnixNanos: now.UnixNano(),
		IncidentUnixNanos: state.Incident(r, now.UnixNano()), Residue: left(hosts(v, r)),
	}
	if p := phaseAt(r, now.UnixNano()); p != nil {
		l.Phase, l.Say, l.PhaseEndsUnixNanos = p.GetName(), p.GetSay(), r.GetT0UnixNanos()+p.GetEndNanos()
	}
	conditions := conditionsOf(v, r)
	for _, h := range v.Hosts() {
		l.Hosts = append(l.Hosts, liveHost(h, conditions[h.GetHost().GetName()]))
	}
	for _, p := range r.GetPlan().GetSteps() {
		l.Faults = append(l.Faults, liveFault(v, r, p))
	}
	for _, p := range r.GetPlan().GetProbes() {
		if p.GetProbe() != nil {
			l.Probes = append(l.Probes, liveProbe(v.Readings(r.GetId()), p, now))
		}
	}
	return l
}

// phaseAt is the phase of an instant: of those that have begun, the last.
func phaseAt(r *pb.Run, now int64) (phase *pb.PlannedPhase) {
	for _, p := range r.GetPlan().GetPhases() {
		if r.GetT0UnixNanos() != 0 && r.GetT0UnixNanos()+p.GetStartNanos() <= now {
			phase = p
		}
	}
	return phase
}

// conditionsOf are the conditions of a run's hosts, the worst of each.
func conditionsOf(v *state.View, r *pb.Run) map[string]pb.HostCondition {
	worst := map[string]pb.HostCondition{}
	for _, p := range r.GetPlan().GetSteps() {
		for _, slot := range p.GetSlots() {
			c := conditionOf(v, r, p, slot)
			worst[slot.GetHost()] = max(worst[slot.GetHost()], c)
		}
	}
	return worst
}

// conditionOf is what a step means for one of its hosts.
func conditionOf(v *state.View, r *pb.Run, p *pb.PlannedStep, slot *pb.HostSlot) pb.HostCondition {
	s := r.GetSteps()[p.GetId()].GetHosts()[slot.GetHost()]
	dark := kind.TakesHosts(p.GetFault(), p.GetWorkload())
	switch standing(v, r, p.GetId(), slot) {
	case pb.Standing_STANDING_RESIDUE:
		return pb.HostCondition_HOST_CONDITION_RESIDUE
	case pb.Standing_STANDING_UNKNOWN:
		return pb.HostCondition_HOST_CONDITION_UNKNOWN
	case pb.Standing_STANDING_HELD:
		switch {
		case s.GetState() == pb.StepState_STEP_STATE_ARMED:
			return pb.HostCondition_HOST_CONDITION_UNSPECIFIED
		case s.GetState() == pb.StepState_STEP_STATE_RETURNING:
			return pb.HostCondition_HOST_CONDITION_RETURNING
		case dark:
			return pb.HostCondition_HOST_CONDITION_HIT
		}
		return pb.HostCondition_HOST_CONDITION_DEGRADED
	case pb.Standing_STANDING_REVERTED:
		if dark && !s.GetReadyAgain() {
			return pb.HostCondition_HOST_CONDITION_RETURNING
		}
	}
	return pb.HostCondition_HOST_CONDITION_UNSPECIFIED
}

func liveHost(h *pb.Registered, c pb.HostCondition) *pb.LiveHost {
	switch {
	case c != pb.HostCondition_HOST_CONDITION_UNSPECIFIED:
	case h.GetServer() == "":
		c = pb.HostCondition_HOST_CONDITION_LOST
	default:
		c = pb.HostCondition_HOST_CONDITION_LIT
	}
	return &pb.LiveHost{Name: h.GetHost().GetName(), Zone: h.GetHost().GetZone(), Room: h.GetHost().GetRoom(), Condition: c}
}

func liveFault(v *state.View, r *pb.Run, p *pb.PlannedStep) *pb.LiveFault {
	f := &pb.LiveFault{Step: p.GetId(), Fault: experiments.FaultName(p.GetFault()), Hosts: uint32(len(p.GetSlots()))}
	if t0 := r.GetT0UnixNanos(); t0 != 0 { // else nobody knows yet when it will be
		f.StartUnixNanos, f.EndUnixNanos = t0+p.GetStartNanos(), t0+p.GetEndNanos()
	}
	for _, slot := range p.GetSlots() {
		if standing(v, r, p.GetId(), slot) == pb.Standing_STANDING_HELD {
			f.Held++
		}
	}
	return f
}

// liveProbe joins the zones of a probe, second by second. The second that is
// open, and the one that may still travel, are left out.
func liveProbe(readings state.Readings, p *pb.PlannedProbe, now time.Time) *pb.LiveProbe {
	l := &pb.LiveProbe{Name: p.GetName()}
	last := now.Unix() - 2
	newest := int64(0)
	for second := last - history + 1; second <= last; second++ {
		w := windowOf(readings, p.GetName(), second)
		success := -1.0
		if w.GetCount() > 0 {
			success = share(w)
			l.P95Millis, newest = millis(w, 0.95), w.GetNewestUnixNanos()
			l.Success = proto.Float64(success)
		}
		l.History = append(l.History, success)
	}
	if newest == 0 {
		return l
	}
	l.AgeNanos = now.UnixNano() - newest
	if fresh := 2*p.GetProbe().GetEvery().GetNanos() + p.GetProbe().GetTimeout().GetNanos() + int64(2*time.Second); l.GetAgeNanos() > fresh {
		l.Success = nil
	}
	return l
}

// windowOf is a second of a probe over all its zones; nil where there is none.
func windowOf(readings state.Readings, probe string, second int64) (sum *pb.Window) {
	for _, zone := range readings.Zones(probe) {
		switch w := readings.Window(probe, zone, second); {
		case w == nil:
		case sum == nil:
			sum = w
		default:
			sum = hist.Join(sum, w)
		}
	}
	return sum
}
