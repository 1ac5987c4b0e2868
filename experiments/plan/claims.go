package plan

import (
	"fmt"
	"iter"
	"slices"

	"squall/experiments/fault"
	pb "squall/proto/squall/v1"
)

// takes lists what a step takes on each of its hosts. A kind that this build
// lacks takes nothing: its plan is refused.
func takes(step *pb.PlannedStep) []fault.Claim {
	if kind := fault.Of(step.GetFault()); kind != nil {
		return kind.Claims(step.GetFault(), step.GetWorkload())
	}
	return nil
}

// claim lists the resources of every step, each until its host's deadline, and
// refuses steps of one plan that would take the same thing at the same time.
func (m *maker) claim() {
	for _, step := range m.p.GetSteps() {
		for _, slot := range step.GetSlots() {
			for _, t := range takes(step) {
				m.p.Claims = append(m.p.Claims, &pb.Claim{
					Resource: "host/" + slot.GetHost() + t.Resource, Shared: t.Shared, Step: step.GetId(), Host: slot.GetHost(),
					StartNanos: slot.GetStartNanos(), EndNanos: slot.GetDeadlineNanos(),
				})
			}
		}
	}
	m.clashes()
}

// hold is an exclusive claim for as long as it is planned, without its grace:
// in one plan, a step may follow another at once.
type hold struct {
	step       string
	start, end int64
}

func (h hold) clashes(with hold) bool {
	return h.step != with.step && h.start < with.end && with.start < h.end
}

// clashes refuses steps of this plan that take one thing at one time, once for each two.
func (m *maker) clashes() {
	held, told := map[string][]hold{}, map[[2]string]bool{}
	for _, step := range m.p.GetSteps() {
		for resource, mine := range exclusive(step) {
			for _, other := range held[resource] {
				if pair := [2]string{other.step, mine.step}; other.clashes(mine) && !told[pair] {
					told[pair] = true
					m.problem(pb.Refusal_REFUSAL_CLAIM, m.stepPath(mine.step), fmt.Sprintf("%s and %s both take %s at one time", other.step, mine.step, resource), "let one end before the other begins")
				}
			}
			held[resource] = append(held[resource], mine)
		}
	}
}

// exclusive are the resources that a step takes alone.
func exclusive(step *pb.PlannedStep) iter.Seq2[string, hold] {
	return func(yield func(string, hold) bool) {
		for _, slot := range step.GetSlots() {
			for _, t := range takes(step) {
				h := hold{step.GetId(), slot.GetStartNanos(), slot.GetEndNanos()}
				if !t.Shared && !yield("host/"+slot.GetHost()+t.Resource, h) {
					return
				}
			}
		}
	}
}

// ClaimsByResource finds a plan's claims by what they take.
func ClaimsByResource(p *pb.Plan) map[string][]*pb.Claim {
	index := make(map[string][]*pb.Claim, len(p.GetClaims()))
	for _, c := range p.GetClaims() {
		index[c.GetResource()] = append(index[c.GetResource()], c)
	}
	return index
}

// clashing is a claim of another run that stands in the way of one of ours. A
// claim is held until its step has ended on its host or, when nobody hears of
// that, until its deadline. Until a run has fired, its claims have no instants,
// and hold.
func (a Active) clashing(c *pb.Claim, now int64) bool {
	return slices.ContainsFunc(a.Claims[c.GetResource()], func(held *pb.Claim) bool {
		passed := a.T0UnixNanos != 0 && a.T0UnixNanos+held.GetEndNanos() <= now
		free := passed || a.over(held.GetStep(), held.GetHost()) || a.Done && a.T0UnixNanos == 0
		return !free && (!c.GetShared() || !held.GetShared())
	})
}

// conflicts refuses claims that another run holds.
func conflicts(p *pb.Plan, w World) []refusal {
	told := map[string]bool{}
	var found []refusal
	for _, a := range w.Active {
		if a.Claims == nil {
			a.Claims = ClaimsByResource(a.Plan)
		}
		for _, c := range p.GetClaims() {
			if key := a.Run + " " + c.GetStep(); !told[key] && a.clashing(c, w.NowUnixNanos) {
				told[key] = true
				found = append(found, a.refuses(c))
			}
		}
	}
	return found
}

func (a Active) refuses(c *pb.Claim) refusal {
	message := fmt.Sprintf("%s takes %s, which run %s ", c.GetStep(), c.GetResource(), a.Run)
	if a.Done {
		return refusal{
			pb.Refusal_REFUSAL_CLAIM, "", message + "may still hold: its host has not been heard from",
			"bring the host back, or wait until the deadline of what it may hold",
		}
	}
	return refusal{
		pb.Refusal_REFUSAL_CLAIM, "", message + "holds",
		"wait until that run has ended, or end it with `squall undo " + a.Run + "`",
	}
}
