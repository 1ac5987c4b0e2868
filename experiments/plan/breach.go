package plan

import pb "squall/proto/squall/v1"

// Breach names the guardrail that a run breaks now, or will with what it has
// still to do: guardrails may be tightened, and hosts lost, while it goes on. It
// is nil while none is broken, and for a run that the world does not hold.
// Others count with what they hold at this moment, so that nothing that admission
// let in together is a breach.
func Breach(run string, w World) *pb.Problem {
	own, b := w.active(run), w.blastOf(run, "")
	l := &limiter{plan: own.Plan, blast: b, judged: b.fresh, scope: b.fresh.environments}
	l.limits(own.Guardrails)
	l.cluster(w.Guardrails)
	if len(l.found) > 0 {
		return &pb.Problem{Message: l.found[0].message, Fix: l.found[0].fix, Refusal: l.found[0].why}
	}
	if o := GuardBreach(run, w); o != nil {
		return &pb.Problem{Message: o.GetMessage(), Fix: o.GetFix(), Refusal: pb.Refusal_REFUSAL_GUARDRAIL}
	}
	return nil
}

// ahead is what a run has not let go of yet.
func (a Active) ahead(r *Registry, now int64) *harm {
	h := &harm{run: a.Run, guardrails: a.Guardrails}
	for _, step := range a.Plan.GetSteps() {
		for _, s := range step.GetSlots() {
			if end, left := a.left(r, step.GetId(), s, now); left {
				h.slots = append(h.slots, held{s.GetHost(), s.GetStartNanos(), end})
			}
		}
	}
	h.settle(r)
	return h
}

// present is what a run that has fired holds now.
func (a Active) present(r *Registry, now int64) *harm {
	h := &harm{run: a.Run, guardrails: a.Guardrails}
	for _, s := range a.ahead(r, now).slots {
		if a.T0UnixNanos != 0 && a.T0UnixNanos+s.start <= now {
			h.slots = append(h.slots, s)
		}
	}
	h.settle(r)
	return h
}

// left tells until when after its T0 a run holds a slot from now on: to its
// planned end, or, where the host says nothing any more, to its deadline.
func (a Active) left(r *Registry, step string, s *pb.HostSlot, now int64) (end int64, left bool) {
	since := now - a.T0UnixNanos
	switch {
	case a.over(step, s.GetHost()):
		return 0, false
	case a.T0UnixNanos == 0, since < s.GetEndNanos():
		return s.GetEndNanos(), !a.Done || a.T0UnixNanos != 0
	}
	return s.GetDeadlineNanos(), since < s.GetDeadlineNanos() && !connected(r.hosts[s.GetHost()])
}
