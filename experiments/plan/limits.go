package plan

import (
	"fmt"
	"slices"
	"strings"

	"squall/experiments"
	"squall/experiments/quantity"
	pb "squall/proto/squall/v1"
)

// refusal is a problem before anybody knows where it stands.
type refusal struct {
	why                pb.Refusal
	path, message, fix string
}

// Admissible judges a plan by integers and sets alone, as admission must: the
// file's and the cluster's guardrails, those of the runs that hold something
// already, and their claims. Each problem names the guardrail and by how much it
// is exceeded, or the claim and who holds it; their order depends on nothing but
// the arguments. It reads of the world what is not for planning alone.
func Admissible(p *pb.Plan, e *pb.Experiment, w World) []*pb.Problem {
	found := slices.Concat(absent(p, w), barred(p, w), strangers(p, e, w), measured(p, w))
	limits, _ := judged(p, experiments.WithDefaults(e).GetGuardrails(), w)
	found = append(found, limits...)
	problems := make([]*pb.Problem, len(found))
	for i, r := range found {
		problems[i] = &pb.Problem{Path: r.path, Message: r.message, Fix: r.fix, Refusal: r.why}
	}
	return problems
}

// absent refuses hosts that have gone since the plan was made.
func absent(p *pb.Plan, w World) []refusal {
	hosts, told := w.registry().hosts, map[string]bool{}
	var gone []string
	for _, step := range p.GetSteps() {
		for _, s := range step.GetSlots() {
			if !connected(hosts[s.GetHost()]) && !told[s.GetHost()] {
				gone, told[s.GetHost()] = append(gone, s.GetHost()), true
			}
		}
	}
	if len(gone) == 0 {
		return nil
	}
	return []refusal{{pb.Refusal_REFUSAL_ABSENT, "", some(gone) + " not connected", "start the agent there, or exclude the host"}}
}

// barred refuses hosts that two machines say they are, for one of them would be
// hit unseen, and those whose journal may have lost what ran there.
func barred(p *pb.Plan, w World) (found []refusal) {
	if hit := among(p, w.Barred); len(hit) > 0 {
		found = append(found, refusal{
			pb.Refusal_REFUSAL_HOST, "", some(hit) + " the name of two machines with one certificate",
			"stop one of their agents, issue it a certificate of its own, and wait a minute",
		})
	}
	if hit := among(p, w.Damaged); len(hit) > 0 {
		found = append(found, refusal{
			pb.Refusal_REFUSAL_HOST, "", some(hit) + " not shown to be free of earlier faults: part of the journal can't be read",
			"see that nothing of an earlier fault is left there, then: squall confirm damage " + strings.Join(hit, " "),
		})
	}
	return found
}

// among are the plan's hosts that a sorted list names, each once.
func among(p *pb.Plan, list []string) (hit []string) {
	for _, step := range p.GetSteps() {
		for _, s := range step.GetSlots() {
			if _, is := slices.BinarySearch(list, s.GetHost()); is && !slices.Contains(hit, s.GetHost()) {
				hit = append(hit, s.GetHost())
			}
		}
	}
	return hit
}

// admit judges the plan as admission will, and places what is refused.
func (m *maker) admit() {
	found, headroom := judged(m.p, m.e.GetGuardrails(), m.w)
	found = append(slices.Concat(barred(m.p, m.w), measured(m.p, m.w)), found...)
	for _, r := range found {
		m.problem(r.why, r.path, r.message, r.fix)
	}
	m.p.Headroom = headroom
}

func judged(p *pb.Plan, file *pb.Guardrails, w World) ([]refusal, []*pb.Headroom) {
	b := newBlast(p, file, w, everyStep)
	l := &limiter{plan: p, blast: b, judged: b.fresh, scope: b.fresh.environments, prefix: "guardrails."}
	l.environments(file)
	l.limits(file)
	l.protect(file)
	l.runtime(file)
	l.cluster(w.Guardrails)
	l.others()
	l.opinions(opinionsOn(p, w, b))
	l.servers(newBlast(p, file, w, stepOnServer))
	return append(l.found, conflicts(p, w)...), l.headroom
}

// limiter holds a blast radius against guardrails.
type limiter struct {
	plan  *pb.Plan
	blast *blast
	// judged is the run whose guardrails are held against the blast radius, in
	// the environments of the scope.
	judged *harm
	scope  []string
	// prefix leads to the guardrails in the file; suffix tells others apart.
	prefix, suffix string
	found          []refusal
	headroom       []*pb.Headroom
}

// cluster judges by the guardrails that hold for every run, in each environment
// by itself: what another one has is no excuse.
func (l *limiter) cluster(g *pb.Guardrails) {
	if g == nil {
		return
	}
	l.prefix, l.suffix = "", " of the cluster"
	l.environments(g)
	for _, env := range l.blast.fresh.environments {
		l.scope = []string{env}
		l.limits(g)
	}
	l.protect(g)
	l.runtime(g)
}

// others judges by the guardrails of the runs that hold something already in an
// environment that the new one comes to: what they were admitted under stays true.
func (l *limiter) others() {
	mine := l.headroom
	l.prefix = ""
	for _, h := range l.blast.held {
		if shareOne(h.environments, l.blast.fresh.environments) {
			l.judged, l.scope, l.suffix = h, h.environments, " of run "+h.run
			l.limits(h.guardrails)
		}
	}
	l.headroom = append(mine, exceeded(l.headroom[len(mine):])...)
}

func shareOne(a, b []string) bool {
	return slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
}

// exceeded leaves out what another run has room for: that is its own plan's to show.
func exceeded(list []*pb.Headroom) []*pb.Headroom {
	return slices.DeleteFunc(slices.Clone(list), func(h *pb.Headroom) bool { return !h.GetExceeded() })
}

// limits judges what depends on all runs together.
func (l *limiter) limits(g *pb.Guardrails) {
	if len(l.blast.fresh.hosts) == 0 {
		return // nothing is hit
	}
	l.zones(g)
	l.hosts(g)
	for _, k := range g.GetKeep() {
		l.keep(k)
	}
}

func (l *limiter) refuse(name, fix, format string, args ...any) {
	path := ""
	if l.prefix != "" {
		path = l.prefix + name
	}
	l.found = append(l.found, refusal{pb.Refusal_REFUSAL_GUARDRAIL, path, "guardrail " + name + l.suffix + ": " + fmt.Sprintf(format, args...), fix})
}

func (l *limiter) room(name string, exceeded bool, format string, args ...any) {
	l.headroom = append(l.headroom, &pb.Headroom{Guardrail: name + l.suffix, Used: fmt.Sprintf(format, args...), Exceeded: exceeded})
}

func (l *limiter) environments(g *pb.Guardrails) {
	if len(g.GetEnvironments()) == 0 {
		return
	}
	out := l.blast.named(func(h *pb.Host) bool { return !slices.Contains(g.GetEnvironments(), environment(h)) })
	if len(out) > 0 {
		l.refuse("environments", "aim at other hosts", "%s in environment %q, and only %s may be touched",
			some(out), environment(l.blast.registry.hosts[out[0]]), strings.Join(g.GetEnvironments(), ", "))
	}
}

func (l *limiter) zones(g *pb.Guardrails) {
	used, all := l.peak(byZone), l.blast.headcount(l.scope).zones
	if most := int(g.GetMaxZones()); most > 0 {
		l.room("max_zones", used > most, "%d of %d", used, most)
		if used > most {
			l.refuse("max_zones", "aim at fewer zones, or let faults follow one another", "%d zones with a fault at one time, and at most %d may have one%s", used, most, l.together())
		}
	}
	if all > 1 && used == all && !g.GetAllowRegionWide() {
		l.refuse("allow_region_wide", "aim at fewer zones, or set `allow_region_wide: true`", "all %d zones have a fault at one time%s", all, l.together())
	}
}

func (l *limiter) hosts(g *pb.Guardrails) {
	if g.GetMaxHosts() == nil {
		return
	}
	used, all := l.peak(byName), l.blast.headcount(l.scope).hosts
	most, asked := int(g.GetMaxHosts().GetCount()), quantity.FormatAmount(g.GetMaxHosts())
	has := number(uint64(used))
	if s := g.GetMaxHosts().GetShare(); s != nil {
		most = portion(g.GetMaxHosts(), all)
		has = fmt.Sprintf("%d of %d (%d%%)", used, all, 100*used/max(all, 1))
	}
	l.room("max_hosts", used > most, "%s of %s", has, asked)
	if used > most {
		l.refuse("max_hosts", "aim at fewer hosts, with `pick` or `exclude`", "%s hosts with a fault at one time, and at most %s may have one%s", has, asked, l.together())
	}
}

func (l *limiter) keep(k *pb.Keep) {
	role := byRole(k.GetRole())
	kept, least := l.blast.remain(l.scope, k.GetRole())-l.peak(role), int(k.GetCount())
	l.room("keep "+k.GetRole(), kept < least, "%d, at least %d", kept, least)
	if kept < least {
		l.refuse("keep", "aim at fewer hosts of that role", "only %d connected hosts of role %s stay untouched, and %d must%s", kept, k.GetRole(), least, l.together())
	}
}

func (l *limiter) peak(k key) int { return l.blast.peak(l.judged, l.scope, k) }

func (l *limiter) together() string { return l.blast.others(l.judged) }

func (l *limiter) protect(g *pb.Guardrails) {
	for _, rule := range g.GetProtect() {
		if rule == "role="+serverRole {
			continue // a target that names the role means it
		}
		hit := l.blast.named(func(h *pb.Host) bool { return protects(rule, h) })
		if len(hit) > 0 {
			l.refuse("protect", "exclude them", "%s protected by %s", some(hit), rule)
		}
	}
}

func (l *limiter) runtime(g *pb.Guardrails) {
	most := g.GetMaxRuntime().GetNanos()
	if most == 0 {
		return
	}
	lasts := l.plan.GetLengthNanos()
	l.room("max_runtime", lasts > most, "%s of %s", quantity.FormatSpan(lasts), quantity.FormatSpan(most))
	if lasts > most {
		l.refuse("max_runtime", "shorten the timeline, or raise the speed", "the run takes %s, and may take %s", quantity.FormatSpan(lasts), quantity.FormatSpan(most))
	}
}
