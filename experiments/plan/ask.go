package plan

import (
	"fmt"
	"slices"

	"squall/experiments"
	"squall/experiments/quantity"
	pb "squall/proto/squall/v1"
)

// needs lists the mechanisms that each kind of fault is made of.
var needs = map[string][]string{
	"power.off": {"journal", "silence", "cgroup.kill", "hold.exec"},
	"dns.fail":  {"journal", "dns.drop"},
	"net.delay": {"journal", "delay.line"},
}

// ask holds every step against what each of its hosts can do, and against the
// word of the host's owner.
func (m *maker) ask() {
	for _, step := range m.p.GetSteps() {
		if !carriedOut(step) {
			continue
		}
		path := m.stepPath(step.GetId())
		for _, slot := range step.GetSlots() {
			h := m.hosts[slot.GetHost()]
			m.able(path, step, h)
			m.willing(path, step, slot, h)
			m.returns(path, step, h)
		}
	}
}

// carriedOut tells whether this build can inject a step.
func carriedOut(step *pb.PlannedStep) bool {
	return needs[experiments.FaultName(step.GetFault())] != nil
}

func (m *maker) able(path string, step *pb.PlannedStep, h *pb.Host) {
	name := experiments.FaultName(step.GetFault())
	for _, a := range h.GetAbilities() {
		if !slices.Contains(needs[name], a.GetName()) {
			continue
		}
		switch a.GetState() {
		case pb.AbilityState_ABILITY_STATE_MISSING:
			m.problem(pb.Refusal_REFUSAL_HOST, path, fmt.Sprintf("%s can't do %s: %s is missing: %s", h.GetName(), name, a.GetName(), a.GetDetail()), "see `squall doctor` there, or exclude the host")
		case pb.AbilityState_ABILITY_STATE_WARN:
			m.warn(path, fmt.Sprintf("%s does %s less well: %s: %s", h.GetName(), name, a.GetName(), a.GetDetail()), "")
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
	if step.GetFault().GetPowerOff().GetUndeclared() == pb.Undeclared_UNDECLARED_KILL && !h.GetAllowUndeclaredKill() {
		no("`undeclared: kill`")
	}
	if step.GetLostContact() == pb.LostContact_LOST_CONTACT_HOLD && !h.GetAllowHold() {
		no("`lost_contact: hold`")
	}
	lasts := slot.GetEndNanos() - slot.GetStartNanos()
	if most := h.GetMaxHold().GetNanos(); most > 0 && lasts > most {
		no("faults longer than %s: %s lasts %s", quantity.FormatSpan(most), step.GetId(), quantity.FormatSpan(lasts))
	}
	for _, w := range h.GetWorkloads() {
		if w.GetProtect() && slices.Contains(step.GetWorkload(), w.GetName()) {
			no("faults on its protected workload %s", quoted(w.GetName()))
		}
	}
}

// returns refuses to kill what nobody could start again.
func (m *maker) returns(path string, step *pb.PlannedStep, h *pb.Host) {
	off := step.GetFault().GetPowerOff()
	if off == nil || off.GetBack().GetStart() == pb.BackStart_BACK_START_NONE {
		return
	}
	killed := touched(step, h)
	for _, w := range killed {
		if w.CanStart != nil && !w.GetCanStart() {
			m.problem(pb.Refusal_REFUSAL_NO_WAY_BACK, path, fmt.Sprintf("workload %s on %s has no way back", quoted(w.GetName()), h.GetName()), "give it a unit or `start` in the host's config, or say `back: none`")
		}
	}
	if len(killed) == 0 {
		m.warn(path, fmt.Sprintf("%s has no workload to kill: it only falls silent", h.GetName()), "")
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
