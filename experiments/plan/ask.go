package plan

import (
	"fmt"
	"slices"

	"squall/experiments"
	"squall/experiments/fault"
	"squall/experiments/quantity"
	pb "squall/proto/squall/v1"
)

// ask holds every step against what each of its hosts can do, and against the
// word of the host's owner.
func (m *maker) ask() {
	for _, step := range m.p.GetSteps() {
		kind := fault.Of(step.GetFault())
		if kind == nil {
			continue
		}
		path := m.stepPath(step.GetId())
		for _, slot := range step.GetSlots() {
			h := m.hosts[slot.GetHost()]
			m.able(path, kind, h)
			m.willing(path, step, slot, h)
			for _, f := range kind.OnHost(step.GetFault(), h, touched(step, h)) {
				m.finding(path, f)
			}
		}
	}
}

// finding is a warning where it does not refuse.
func (m *maker) finding(path string, f fault.Finding) {
	if f.Refusal == pb.Refusal_REFUSAL_UNSPECIFIED {
		m.warn(path, f.Message, f.Fix)
		return
	}
	m.problem(f.Refusal, path, f.Message, f.Fix)
}

func (m *maker) able(path string, kind *fault.Kind, h *pb.Host) {
	for _, a := range h.GetAbilities() {
		if a.GetName() != fault.Journal && !slices.Contains(kind.Needs, a.GetName()) {
			continue
		}
		switch a.GetState() {
		case pb.AbilityState_ABILITY_STATE_MISSING:
			m.problem(pb.Refusal_REFUSAL_HOST, path, fmt.Sprintf("%s can't do %s: %s is missing: %s", h.GetName(), kind.Name, a.GetName(), a.GetDetail()), "see `squall doctor` there, or exclude the host")
		case pb.AbilityState_ABILITY_STATE_WARN:
			m.warn(path, fmt.Sprintf("%s does %s less well: %s: %s", h.GetName(), kind.Name, a.GetName(), a.GetDetail()), "")
		}
	}
	if a := ability(h, "realtime"); a.GetState() == pb.AbilityState_ABILITY_STATE_MISSING {
		m.warn(path, fmt.Sprintf("%s starts and ends steps late: no real-time threads: %s", h.GetName(), a.GetDetail()), "")
	}
}

func ability(h *pb.Host, name string) *pb.Ability {
	for _, a := range h.GetAbilities() {
		if a.GetName() == name {
			return a
		}
	}
	return nil
}

// willing tells what the host's own config refuses.
func (m *maker) willing(path string, step *pb.PlannedStep, slot *pb.HostSlot, h *pb.Host) {
	name := experiments.FaultName(step.GetFault())
	no := func(format string, args ...any) {
		m.problem(pb.Refusal_REFUSAL_HOST, path, h.GetName()+"'s own config refuses "+fmt.Sprintf(format, args...), "exclude the host, or ask its owner")
	}
	if slices.Contains(h.GetRefuse(), name) {
		no("%s", name)
	}
	if step.GetLostContact() == pb.LostContact_LOST_CONTACT_HOLD && !h.GetAllowHold() {
		no("`lost_contact: hold`")
	}
	lasts := slot.GetEndNanos() - slot.GetStartNanos()
	if step.GetBootTokens() > 0 { // its token may be as late as that
		lasts = slot.GetDeadlineNanos() - slot.GetStartNanos()
	}
	if most := h.GetMaxHold().GetNanos(); most > 0 && lasts > most {
		no("faults longer than %s: %s lasts %s", quantity.FormatSpan(most), step.GetId(), quantity.FormatSpan(lasts))
	}
	for _, w := range h.GetWorkloads() {
		if w.GetProtect() && slices.Contains(step.GetWorkload(), w.GetName()) {
			no("faults on its protected workload %s", quoted(w.GetName()))
		}
	}
}

// touched are the workloads of a host that a step touches.
func touched(step *pb.PlannedStep, h *pb.Host) []*pb.HostWorkload {
	var found []*pb.HostWorkload
	for _, w := range h.GetWorkloads() {
		if !w.GetProtect() && any1(step.GetWorkload(), w.GetName()) {
			found = append(found, w)
		}
	}
	return found
}

// stepPath is where a planned step stands in the file.
func (m *maker) stepPath(id string) string {
	for ref := range written(m.e) {
		if ref.id == id {
			return ref.path + "." + experiments.FaultName(ref.step.GetFault())
		}
	}
	return "timeline"
}
