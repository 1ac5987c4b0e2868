// Package show renders what the control plane and the planner tell, for people
// to read.
//
// It has no I/O: messages in, text out. Escaping what a terminal would obey is
// left to whoever writes to one.
package show

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"squall/experiments"
	kind "squall/experiments/fault"
	"squall/experiments/plan"
	"squall/experiments/quantity"
	pb "squall/proto/squall/v1"
	"squall/proto/text"
)

// Plan is a plan as people read it: what is wrong first, then who, when and
// how it is undone. What others wrote stands in it as they wrote it.
func Plan(p *pb.Plan, e *pb.Experiment) string {
	t := &plainText{p: p, e: e, used: experiments.WithDefaults(e)}
	t.head()
	t.problems("refused", p.GetProblems())
	t.room()
	t.hosts()
	t.times()
	t.problems("warn", p.GetWarnings())
	t.probes()
	t.rules()
	t.undo()
	t.outside()
	t.rest()
	return t.b.String()
}

// plainText writes a plan for people.
type plainText struct {
	p *pb.Plan
	// e is the experiment as written, used the one with its defaults.
	e, used *pb.Experiment
	b       strings.Builder
}

// label stands before the first line of a block; further lines are indented as far.
const indent = 11

func (t *plainText) line(label, format string, args ...any) {
	fmt.Fprintf(&t.b, "%-*s%s\n", indent, label, strings.TrimRight(fmt.Sprintf(format, args...), " "))
}

func (t *plainText) head() {
	length := quantity.FormatSpan(t.p.GetLengthNanos())
	if speed := t.p.GetMilliSpeed(); speed != 1000 && len(t.p.GetPhases()) > 0 {
		last := t.p.GetPhases()[len(t.p.GetPhases())-1]
		length = fmt.Sprintf("%s: %s -> %s", quantity.FormatRate(t.used.GetClock().GetSpeed()), quantity.FormatSpan(last.GetIncidentEndNanos()), length)
	}
	fmt.Fprintf(&t.b, "%s   %s   %s\n", t.p.GetExperiment(), t.e.GetTitle(), length)
	switch n := len(t.p.GetProblems()); n {
	case 0:
		t.line("checks", "ok   digest %.12s   seed %d", t.p.GetDigest(), t.p.GetSeed())
	case 1:
		t.line("checks", "refused: 1 problem")
	default:
		t.line("checks", "refused: %d problems", n)
	}
}

func (t *plainText) problems(label string, list []*pb.Problem) {
	for _, p := range list {
		for i, line := range strings.Split(experiments.FormatProblem(p), "\n") {
			if i > 0 {
				label = ""
			}
			t.line(label, "%s", line)
		}
		label = ""
	}
}

func (t *plainText) room() {
	var parts []string
	for _, h := range t.p.GetHeadroom() {
		part := h.GetGuardrail() + " " + h.GetUsed()
		if h.GetExceeded() {
			part += " EXCEEDED"
		}
		parts = append(parts, part)
	}
	parts = append(parts, "lease "+quantity.FormatSpan(t.p.GetLeaseNanos()))
	t.line("guardrails", "%s", strings.Join(parts, "   "))
}

// hosts shows every zone: + is dark, ~ is degraded, blank stays as it is.
func (t *plainText) hosts() {
	zones := map[string][]*pb.PlannedHost{}
	var order []string
	for _, h := range t.p.GetHosts() {
		if zones[h.GetZone()] == nil {
			order = append(order, h.GetZone())
		}
		zones[h.GetZone()] = append(zones[h.GetZone()], h)
	}
	slices.Sort(order)
	for _, zone := range order {
		t.zone(zone, zones[zone])
	}
}

func (t *plainText) zone(zone string, hosts []*pb.PlannedHost) {
	untouched := 0
	groups := map[string][]string{}
	var order []string
	for _, h := range hosts {
		what := t.faultsOn(h.GetName())
		if what == "" {
			untouched++
			continue
		}
		if groups[what] == nil {
			order = append(order, what)
		}
		groups[what] = append(groups[what], withWorkloads(h))
	}
	label := zone
	for _, what := range order {
		t.line(label, "%s   %s   %s", what[:1]+" "+strings.Join(groups[what], " "), what[2:], text.Count(len(groups[what]), "host"))
		label = ""
	}
	if untouched > 0 {
		t.line(label, "  %s untouched", text.Count(untouched, "host"))
	}
}

func withWorkloads(h *pb.PlannedHost) string {
	if len(h.GetWorkload()) == 0 {
		return h.GetName()
	}
	return h.GetName() + "(" + strings.Join(h.GetWorkload(), ",") + ")"
}

// faultsOn names the faults on a host behind a sign for the worst of them.
func (t *plainText) faultsOn(host string) string {
	sign, names := "~", []string{}
	for _, s := range t.p.GetSteps() {
		if !slices.ContainsFunc(s.GetSlots(), func(slot *pb.HostSlot) bool { return slot.GetHost() == host }) {
			continue
		}
		name := faultText(s)
		if kind.TakesHosts(s.GetFault(), s.GetWorkload()) {
			sign = "+"
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return sign + " " + strings.Join(names, ", ")
}

// faultText is a fault with what matters most of it.
func faultText(s *pb.PlannedStep) string {
	name := experiments.FaultName(s.GetFault())
	if k := kind.Of(s.GetFault()); k != nil {
		return strings.TrimRight(name+" "+k.Magnitude(s.GetFault()), " ")
	}
	return name
}

// times shows phases and steps in both clocks.
func (t *plainText) times() {
	rows := [][]string{{"incident", "real", "for", "what"}}
	for _, p := range t.p.GetPhases() {
		rows = append(rows, []string{
			t.clock(p.GetIncidentStartNanos()), "+" + quantity.FormatSpan(p.GetStartNanos()),
			t.both(p.GetIncidentEndNanos()-p.GetIncidentStartNanos(), p.GetEndNanos()-p.GetStartNanos()), p.GetName() + "  " + p.GetSay(),
		})
		rows = append(rows, t.stepRows(p.GetName())...)
	}
	t.columns(rows)
}

// stepRows are the steps of a phase.
func (t *plainText) stepRows(phase string) [][]string {
	var rows [][]string
	for id, step := range plan.Steps(t.used) {
		for _, s := range t.p.GetSteps() {
			if s.GetId() == id && s.GetPhase() == phase {
				rows = append(rows, []string{"", "+" + quantity.FormatSpan(s.GetStartNanos()), quantity.FormatSpan(s.GetEndNanos() - s.GetStartNanos()), "  " + t.paced(s, step)})
			}
		}
	}
	return rows
}

// columns prints rows of equal length, each column as wide as its widest cell.
func (t *plainText) columns(rows [][]string) {
	width := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			fmt.Fprintf(&line, "%-*s  ", width[i], cell)
		}
		t.b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
}

// paced is a step with how its starts and its way back are spread.
func (t *plainText) paced(planned *pb.PlannedStep, s *pb.Step) string {
	parts := []string{experiments.FaultName(s.GetFault()) + " " + s.GetTarget()}
	if n := s.GetSpread().GetNanos(); n > 0 {
		parts = append(parts, "spread "+t.both(n, t.real(n)))
	}
	if back := kind.WayBack(s.GetFault()); back.GetSpread().GetNanos() > 0 {
		parts = append(parts, "back over "+t.both(back.GetSpread().GetNanos(), t.real(back.GetSpread().GetNanos())))
	}
	if planned.GetBootTokens() > 0 {
		parts = append(parts, fmt.Sprintf("%d at once", planned.GetBootTokens()))
	}
	if planned.GetLostContact() == pb.LostContact_LOST_CONTACT_HOLD {
		parts = append(parts, "held without contact")
	}
	if kind.Of(planned.GetFault()) == nil {
		parts = append(parts, "this build lacks it")
	}
	return strings.Join(parts, ", ")
}

func (t *plainText) real(incident int64) int64 {
	return plan.Real(incident, t.p.GetMilliSpeed())
}

// both is a length in both times, where they differ.
func (t *plainText) both(incident, real int64) string {
	if t.p.GetMilliSpeed() == 1000 && incident == real {
		return quantity.FormatSpan(real)
	}
	return quantity.FormatSpan(incident) + " -> " + quantity.FormatSpan(real)
}

// clock is an instant of incident time: a time of day where the file has an origin.
func (t *plainText) clock(after int64) string {
	if t.p.GetOriginUnixNanos() == 0 {
		return "T+" + quantity.FormatSpan(after)
	}
	zone := time.FixedZone("", int(t.p.GetOriginZoneSeconds()))
	at := time.Unix(0, t.p.GetOriginUnixNanos()+after).In(zone)
	if at.Second() == 0 {
		return at.Format("15:04")
	}
	return at.Format("15:04:05")
}
