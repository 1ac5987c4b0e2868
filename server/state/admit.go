package state

import (
	"squall/experiments/plan"
	pb "squall/proto/squall/v1"
)

// maxActive is how many runs may be under way at one time.
const maxActive = 64

// admit lets a run in. Two runs can't both slip through a guardrail: each is
// judged against the state that the one before it left.
func (t *change) admit(c *pb.AdmitRun) *pb.Problem {
	if p := t.admissible(c); p != nil {
		return p
	}
	r := &record{slots: slotsOf(c.GetPlan()), run: &pb.Run{
		Id: c.GetRun(), Experiment: c.GetExperiment(), Plan: c.GetPlan(), Source: c.GetSource(),
		By: t.cmd.GetBy(), AdHoc: c.GetAdHoc(), AdmittedIndex: t.index,
	}}
	t.owned[r] = true
	own(t, &t.runs)
	t.runs[c.GetRun()] = r
	t.enter(r, pb.RunState_RUN_STATE_GATING)
	if c.GetExperiment().GetSteadyState() == nil {
		t.enter(r, pb.RunState_RUN_STATE_PREPARING) // nothing to wait for
	}
	t.reorder(concerned(r.run)...)
	return nil
}

func (t *change) admissible(c *pb.AdmitRun) *pb.Problem {
	switch {
	case c.GetRun() == "" || len(c.GetPlan().GetSteps()) == 0 || c.GetExperiment() == nil:
		return refuse(pb.Refusal_REFUSAL_INVALID, "", "the command names no run, no experiment, or a plan without steps")
	case t.runs[c.GetRun()] != nil:
		return refuse(pb.Refusal_REFUSAL_INVALID, "choose another id", "run %q exists already", c.GetRun())
	case t.halt.GetEngaged():
		return refuse(pb.Refusal_REFUSAL_HALTED, "let go of it with: squall resume "+t.halt.GetId(),
			"the halt lever is engaged by %q: %s", t.halt.GetId(), t.halt.GetReason())
	case len(c.GetPlan().GetProblems()) > 0:
		return c.GetPlan().GetProblems()[0]
	case len(t.Active()) >= maxActive:
		return refuse(pb.Refusal_REFUSAL_GUARDRAIL, "wait for one to end", "%d runs are under way, the most that may be", maxActive)
	}
	if ps := plan.Admissible(c.GetPlan(), c.GetExperiment(), t.World()); len(ps) > 0 {
		return ps[0]
	}
	return nil
}

// World is what a plan made now is judged against: registry, cluster-wide
// guardrails and the runs that are not done.
func (v *View) World() plan.World {
	w := plan.World{Guardrails: v.guardrails, NowUnixNanos: v.last}
	for _, h := range v.Hosts() {
		w.Hosts = append(w.Hosts, h.GetHost())
	}
	for _, r := range v.Active() {
		w.Active = append(w.Active, plan.Active{
			Run: r.GetId(), Plan: r.GetPlan(), T0UnixNanos: r.GetT0UnixNanos(), Over: over(r),
		})
	}
	return w
}

// over are the steps of a run that have ended on their hosts.
func over(r *pb.Run) map[plan.On]bool {
	out := make(map[plan.On]bool)
	for step, hosts := range r.GetSteps() {
		for host, s := range hosts.GetHosts() {
			if Ended(s) {
				out[plan.On{Step: step, Host: host}] = true
			}
		}
	}
	return out
}
