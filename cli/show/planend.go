package show

import (
	"slices"
	"strings"

	kind "squall/experiments/fault"
	"squall/experiments/quantity"
	pb "squall/proto/squall/v1"
	"squall/proto/text"
)

// probes says where each probe runs and how often.
func (t *plainText) probes() {
	label := "probes"
	for _, p := range t.p.GetProbes() {
		if p.GetProbe() == nil {
			continue
		}
		t.line(label, "%s every %s from %s%s", p.GetName(), quantity.FormatSpan(p.GetProbe().GetEvery().GetNanos()), places(p), t.present(p))
		label = ""
		t.failures(p.GetName())
	}
	if why := t.p.GetTrial().GetUntried(); why != "" && label == "" {
		t.line("", "not tried: %s", why)
	}
	t.gate()
}

// places names where a probe runs, few hosts by name.
func places(p *pb.PlannedProbe) string {
	var list []string
	switch n := len(p.GetHosts()); {
	case n > 4:
		list = append(list, text.Count(n, "host"))
	case n > 0:
		list = append(list, strings.Join(p.GetHosts(), " "))
	}
	if p.GetControl() {
		list = append(list, "the servers")
	}
	return strings.Join(list, " and ")
}

// rules says when the run ends early.
func (t *plainText) rules() {
	label := "abort"
	for _, a := range t.used.GetAbort() {
		lasts := max(a.GetFor().GetNanos(), 1e9)
		t.line(label, "%s: %s for %s%s", a.GetName(), a.GetWhen(), quantity.FormatSpan(lasts), t.ruleNow(a))
		label = ""
	}
	if label != "" {
		t.line(label, "no rule: only the end, a halt or the lease ends this run")
	}
}

// undo says in one line per step what its end puts back.
func (t *plainText) undo() {
	label := "undo"
	for _, s := range t.p.GetSteps() {
		if k := kind.Of(s.GetFault()); k != nil {
			t.line(label, "%s: %s", s.GetId(), k.Undone(t.scene(s)))
			label = ""
		}
	}
}

// scene counts what a step touches.
func (t *plainText) scene(s *pb.PlannedStep) *kind.Scene {
	scene := &kind.Scene{Fault: s.GetFault(), Hosts: len(s.GetSlots()), Workloads: t.workloads(s), AtOnce: s.GetBootTokens()}
	for _, slot := range s.GetSlots() {
		if slot.GetNeverBack() {
			scene.NeverBack++
		}
	}
	return scene
}

// workloads counts what a step kills, and its way back starts.
func (t *plainText) workloads(s *pb.PlannedStep) int {
	n := 0
	for _, h := range t.p.GetHosts() {
		if slices.ContainsFunc(s.GetSlots(), func(slot *pb.HostSlot) bool { return slot.GetHost() == h.GetName() }) {
			for _, w := range h.GetWorkload() {
				if len(s.GetWorkload()) == 0 || slices.Contains(s.GetWorkload(), w) {
					n++
				}
			}
		}
	}
	return n
}

// outside lists what lives on behind a silence, and what it leaves alone.
func (t *plainText) outside() {
	live, open := "lives on", "stays open"
	for _, h := range t.p.GetHosts() {
		if len(h.GetUndeclared()) > 0 {
			t.line(live, "%s: %s", h.GetName(), strings.Join(h.GetUndeclared(), " "))
			live = ""
		}
	}
	for _, h := range t.p.GetHosts() {
		for _, peer := range h.GetManagement() {
			t.line(open, "%s: port %d for %s", h.GetName(), peer.GetPort(), peer.GetPrefix())
			open = ""
		}
	}
}

func (t *plainText) rest() {
	label := "defaults"
	for _, d := range t.p.GetDefaults() {
		t.line(label, "%s", d)
		label = ""
	}
}
