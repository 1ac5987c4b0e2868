package show

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	pb "squall/proto/squall/v1"
)

// maxFailures is how many failed attempts of a probe are told one by one.
const maxFailures = 3

func (t *plainText) trial(probe string) *pb.ProbeTrial {
	for _, p := range t.p.GetTrial().GetProbes() {
		if p.GetProbe() == probe {
			return p
		}
	}
	return nil
}

// present is what a probe showed when it was tried for the plan; empty where it was not.
func (t *plainText) present(p *pb.PlannedProbe) string {
	tried := t.trial(p.GetName()).GetAttempts()
	if len(tried) == 0 {
		return ""
	}
	ok, slowest, values := 0, int64(0), []string{}
	for _, a := range tried {
		if !a.GetOk() {
			continue
		}
		ok++
		slowest = max(slowest, a.GetDurationNanos())
		if value := strconv.FormatFloat(a.GetValue(), 'g', 6, 64); a.Value != nil && !slices.Contains(values, value) {
			values = append(values, value)
		}
	}
	text := fmt.Sprintf("   now ok %d of %d", ok, len(tried))
	if ok > 0 {
		text += ", " + duration(slowest)
	}
	if len(values) > 0 {
		text += ", value " + strings.Join(values[:min(len(values), maxFailures)], " ")
	}
	return text
}

// duration is one of an attempt, to the millisecond, or finer below.
func duration(nanos int64) string {
	d := time.Duration(nanos)
	if d < time.Millisecond {
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(time.Millisecond).String()
}

// failures tells which attempts of a probe failed and why, the first of them.
func (t *plainText) failures(probe string) {
	more := 0
	for _, a := range t.trial(probe).GetAttempts() {
		switch {
		case a.GetOk():
		case more < maxFailures:
			t.line("", "  %s%s: %s", a.GetHost(), a.GetServer(), a.GetError())
			more++
		default:
			more++
		}
	}
	if more > maxFailures {
		t.line("", "  and %d more", more-maxFailures)
	}
}

// gate says whether the steady state would be met by what was tried.
func (t *plainText) gate() {
	label := "gate now"
	for _, r := range t.p.GetTrial().GetSteadyState() {
		switch {
		case r.Holds == nil:
			t.line(label, "?        %s: can't be known, %s", r.GetName(), r.GetUnknown())
		case r.GetHolds():
			t.line(label, "met      %s", r.GetSeen())
		default:
			t.line(label, "NOT met  %s", r.GetSeen())
		}
		label = ""
	}
}

// ruleNow says how an abort rule stands by what was tried.
func (t *plainText) ruleNow(rule *pb.AbortRule) string {
	for _, r := range t.p.GetTrial().GetAbort() {
		values := strings.TrimPrefix(r.GetSeen(), rule.GetWhen())
		switch {
		case r.GetName() != rule.GetName():
		case r.Holds == nil:
			return "   now ?, can't be known: " + r.GetUnknown()
		case r.GetHolds():
			return "   now TRUE" + values
		default:
			return "   now not true" + values
		}
	}
	return ""
}
