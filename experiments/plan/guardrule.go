package plan

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"squall/experiments/internal/pattern"
	"squall/experiments/quantity"
	"squall/experiments/schedule"
	pb "squall/proto/squall/v1"
)

const (
	// eachRole stands for every role, each by itself.
	eachRole = "*"
	// mostNames is how many environments or rules of hosts a guardrail names, and
	// longestName how long each name may be, in bytes: a guardrail is read in each
	// judgement.
	mostNames, longestName = 32, 128
	// MaxGap is the longest gap between runs, in nanoseconds.
	MaxGap = int64(31 * 24 * time.Hour)
)

// guardName is how guardrails of the cluster are named.
var guardName = pattern.Lazy(`^[a-z][a-z0-9-]{0,62}$`)

// CheckGuard says what is wrong with a guardrail of the cluster, by the flag or
// field at fault; nil where nothing is. It knows neither hosts nor time zones.
func CheckGuard(g *pb.Guard) *pb.Problem {
	wrong := func(path, fix, format string, args ...any) *pb.Problem {
		return &pb.Problem{Path: path, Refusal: pb.Refusal_REFUSAL_INVALID, Message: path + ": " + fmt.Sprintf(format, args...), Fix: fix}
	}
	if !guardName().MatchString(g.GetName()) {
		return wrong("name", "begin with a small letter, and go on with small letters, digits or `-`", "%.80q can't name a guardrail", g.GetName())
	}
	if n := len(g.GetEnvironments()); n > mostNames {
		return wrong("environment", fmt.Sprintf("name at most %d", mostNames), "%d environments can't be kept", n)
	}
	if i := slices.IndexFunc(g.GetEnvironments(), func(env string) bool { return !canName(env) }); i >= 0 {
		return wrong("environment", fmt.Sprintf("write a name of 1 to %d bytes", longestName), "%.80q is no environment", g.GetEnvironments()[i])
	}
	switch rule := g.GetRule().(type) {
	case *pb.Guard_MaxZones:
		if n := rule.MaxZones; n < 1 || n > 100 {
			return wrong("max-zones", "write 1 to 100", "%d zones are no limit", n)
		}
	case *pb.Guard_MajorityOf:
		if !canName(rule.MajorityOf) {
			return wrong("majority-of", "name a role, or write * for each of them", "%.80q is no role", rule.MajorityOf)
		}
	case *pb.Guard_MaxShare:
		return checkShare(rule.MaxShare, wrong)
	case *pb.Guard_HostsAMinute:
		if n := rule.HostsAMinute; n < 1 || n > 100_000 {
			return wrong("hosts-a-minute", "write 1 to 100000", "%d hosts are no limit", n)
		}
	case *pb.Guard_GapNanos:
		if n := rule.GapNanos; n < int64(time.Second) || n > MaxGap {
			return wrong("gap", "write 1s to 744h", "%s is no gap between runs", quantity.FormatSpan(max(n, 0)))
		}
	case *pb.Guard_Protect:
		return checkProtect(rule.Protect, wrong)
	case *pb.Guard_Closed:
		if zone := rule.Closed.GetTimezone(); len(zone) > longestName {
			return wrong("timezone", "write a name of the tz database, such as Europe/Paris or UTC", "there is no time zone %.80q", zone)
		}
		_, err := schedule.ClosedOf(rule.Closed)
		if e, is := errors.AsType[*schedule.Error](err); is {
			return wrong("closed", e.Fix, "%s", e.Message)
		}
	default:
		return wrong("rule", "give one of --max-zones, --majority-of, --max-share, --hosts-a-minute, --gap, --protect and --closed", "the guardrail has none, or none that this build knows")
	}
	return nil
}

// canName tells whether a text may be the name of something in a guardrail.
func canName(text string) bool { return text != "" && len(text) <= longestName }

type wrongFunc func(path, fix, format string, args ...any) *pb.Problem

func checkShare(s *pb.GuardShare, wrong wrongFunc) *pb.Problem {
	switch ppm := s.GetMost().GetPpm(); {
	case ppm < 1 || ppm >= 1_000_000:
		return wrong("max-share", "write more than 0% and less than 100%; to protect all, use --protect", "%s is no limit", quantity.FormatShare(ppm))
	case !slices.Contains([]string{"fleet", "zone", "role"}, s.GetOf()):
		return wrong("of", "write fleet, zone, zone=NAME, role or role=NAME", "%.80q is nothing to take a share of", s.GetOf())
	case s.GetName() != "" && (s.GetOf() == "fleet" || !canName(s.GetName())):
		return wrong("of", "write fleet, zone, zone=NAME, role or role=NAME", "%s has no %.80q", s.GetOf(), s.GetName())
	}
	return nil
}

func checkProtect(p *pb.GuardProtect, wrong wrongFunc) *pb.Problem {
	fix := fmt.Sprintf("write environment=…, role=…, zone=…, room=…, host=… or a label with its value, each of 1 to %d bytes", longestName)
	if n := len(p.GetMatch()); n < 1 || n > mostNames {
		return wrong("protect", fmt.Sprintf("name 1 to %d", mostNames), "%d rules of hosts can't be kept", n)
	}
	for _, rule := range p.GetMatch() {
		key, value, two := strings.Cut(rule, "=")
		switch {
		case !two || !canName(key) || !canName(value):
			return wrong("protect", fix, "%.80q is not key=value", rule)
		case key == "environment" && value == "lab":
			return wrong("protect", "name another one", "the environment of labs is never protected")
		}
	}
	return nil
}

// GuardRule is a guardrail's rule in words.
func GuardRule(g *pb.Guard) string {
	return ruleText(g) + where(g)
}

func ruleText(g *pb.Guard) string {
	switch rule := g.GetRule().(type) {
	case *pb.Guard_MaxZones:
		return fmt.Sprintf("at most %s with a fault at one time", plural(int(rule.MaxZones), "zone"))
	case *pb.Guard_MajorityOf:
		if rule.MajorityOf == eachRole {
			return "never a majority of any role's hosts, lost ones included"
		}
		return fmt.Sprintf("never a majority of role %s, lost hosts included", rule.MajorityOf)
	case *pb.Guard_MaxShare:
		return fmt.Sprintf("at most %s of %s with a fault at one time", quantity.FormatShare(rule.MaxShare.GetMost().GetPpm()), shareText(rule.MaxShare))
	case *pb.Guard_HostsAMinute:
		return fmt.Sprintf("faults begin on at most %s within any minute", plural(int(rule.HostsAMinute), "host"))
	case *pb.Guard_GapNanos:
		return fmt.Sprintf("one run at a time, and %s between the end of one and the next", quantity.FormatSpan(rule.GapNanos))
	case *pb.Guard_Protect:
		return "no fault touches " + strings.Join(rule.Protect.GetMatch(), ", ")
	case *pb.Guard_Closed:
		return fmt.Sprintf("nothing runs in %s (%s)", strings.Join(rule.Closed.GetHours(), ", "), rule.Closed.GetTimezone())
	}
	return "a rule that this build does not know"
}

func shareText(s *pb.GuardShare) string {
	if s.GetOf() == "fleet" {
		return "the fleet"
	}
	return cmp.Or(prefixed(s.GetOf()+" ", s.GetName()), "each "+s.GetOf())
}

func prefixed(prefix, name string) string {
	if name == "" {
		return ""
	}
	return prefix + name
}

func where(g *pb.Guard) string {
	if len(g.GetEnvironments()) == 0 {
		return ""
	}
	return " (in " + strings.Join(g.GetEnvironments(), ", ") + ")"
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// GuardHorizon is how long after its end a run still matters to some guardrails,
// in nanoseconds; 0 where it does to none.
func GuardHorizon(guards []*pb.Guard) (most int64) {
	for _, g := range guards {
		if g.GetHostsAMinute() > 0 {
			most = max(most, minuteNanos)
		}
		most = max(most, g.GetGapNanos())
	}
	return most
}

// GuardNames are what a guardrail names, as role=…, zone=… and environment=….
func GuardNames(g *pb.Guard) (names []string) {
	for _, env := range g.GetEnvironments() {
		names = append(names, "environment="+env)
	}
	if role := g.GetMajorityOf(); role != "" && role != eachRole {
		names = append(names, "role="+role)
	}
	if s := g.GetMaxShare(); s.GetName() != "" {
		names = append(names, s.GetOf()+"="+s.GetName())
	}
	return append(names, g.GetProtect().GetMatch()...)
}
