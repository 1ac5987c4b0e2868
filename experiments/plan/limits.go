package plan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"squall/experiments"
	"squall/experiments/fault"
	"squall/experiments/quantity"
	pb "squall/proto/squall/v1"
)

// refusal is a problem before anybody knows where it stands.
type refusal struct {
	why                pb.Refusal
	path, message, fix string
}

// Admissible judges a plan by integers and sets alone, as admission must: the
// file's and the cluster's guardrails, and the claims of other runs. Each
// problem names the guardrail and by how much it is exceeded, or the claim and
// who holds it; their order depends on nothing but the arguments. It reads the
// world's hosts, guardrails, active runs and time.
func Admissible(p *pb.Plan, e *pb.Experiment, w World) []*pb.Problem {
	found, _ := judged(p, experiments.WithDefaults(e).GetGuardrails(), w)
	found = append(absent(p, w), found...)
	problems := make([]*pb.Problem, len(found))
	for i, r := range found {
		problems[i] = &pb.Problem{Path: r.path, Message: r.message, Fix: r.fix, Refusal: r.why}
	}
	return problems
}

// absent refuses hosts that have gone since the plan was made.
func absent(p *pb.Plan, w World) []refusal {
	here := map[string]bool{}
	for _, h := range w.Hosts {
		here[h.GetName()] = h.GetPresence() != pb.Presence_PRESENCE_LOST
	}
	var gone []string
	for _, step := range p.GetSteps() {
		for _, s := range step.GetSlots() {
			if !here[s.GetHost()] && !slices.Contains(gone, s.GetHost()) {
				gone = append(gone, s.GetHost())
			}
		}
	}
	if len(gone) == 0 {
		return nil
	}
	return []refusal{{pb.Refusal_REFUSAL_ABSENT, "", some(gone) + " not connected", "start the agent there, or exclude the host"}}
}

// admit judges the plan as admission will, and places what is refused.
func (m *maker) admit() {
	found, headroom := judged(m.p, m.e.GetGuardrails(), m.w)
	for _, r := range found {
		m.problem(r.why, r.path, r.message, r.fix)
	}
	m.p.Headroom = headroom
}

func judged(p *pb.Plan, file *pb.Guardrails, w World) ([]refusal, []*pb.Headroom) {
	b := newBlast(p, w)
	l := &limiter{plan: p, blast: b, prefix: "guardrails."}
	l.all(file)
	if w.Guardrails != nil {
		l.prefix, l.suffix = "", " of the cluster"
		l.all(w.Guardrails)
	}
	return append(l.found, conflicts(p, w)...), l.headroom
}

// limiter holds a blast radius against guardrails.
type limiter struct {
	plan  *pb.Plan
	blast *blast
	// prefix leads to the guardrails in the file; suffix tells others apart.
	prefix, suffix string
	found          []refusal
	headroom       []*pb.Headroom
}

func (l *limiter) all(g *pb.Guardrails) {
	l.environments(g)
	l.zones(g)
	l.hosts(g)
	for _, k := range g.GetKeep() {
		l.keep(k)
	}
	l.protect(g)
	l.runtime(g)
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
			some(out), environment(l.blast.hosts[out[0]]), strings.Join(g.GetEnvironments(), ", "))
	}
}

func environment(h *pb.Host) string { return cmp.Or(h.GetEnvironment(), "default") }

func (l *limiter) zones(g *pb.Guardrails) {
	used, all := l.blast.peak(zoneOf), l.blast.zones()
	if most := int(g.GetMaxZones()); most > 0 {
		l.room("max_zones", used > most, "%d of %d", used, most)
		if used > most {
			l.refuse("max_zones", "aim at fewer zones, or let faults follow one another", "%d zones with a fault at one time, and at most %d may have one%s", used, most, l.blast.others())
		}
	}
	if all > 1 && used == all && !g.GetAllowRegionWide() {
		l.refuse("allow_region_wide", "aim at fewer zones, or set `allow_region_wide: true`", "all %d zones have a fault at one time%s", all, l.blast.others())
	}
}

func (l *limiter) hosts(g *pb.Guardrails) {
	if g.GetMaxHosts() == nil {
		return
	}
	used, all := l.blast.peak(nameOf), len(l.blast.hosts)
	most, asked := int(g.GetMaxHosts().GetCount()), quantity.FormatAmount(g.GetMaxHosts())
	has := number(uint64(used))
	if s := g.GetMaxHosts().GetShare(); s != nil {
		most = int(int64(all) * int64(s.GetPpm()) / 1_000_000)
		has = fmt.Sprintf("%d of %d (%d%%)", used, all, 100*used/max(all, 1))
	}
	l.room("max_hosts", used > most, "%s of %s", has, asked)
	if used > most {
		l.refuse("max_hosts", "aim at fewer hosts, with `pick` or `exclude`", "%s hosts with a fault at one time, and at most %s may have one%s", has, asked, l.blast.others())
	}
}

func (l *limiter) keep(k *pb.Keep) {
	hit := l.blast.peak(func(h *pb.Host) string {
		if !keeps(h, k.GetRole()) {
			return ""
		}
		return h.GetName()
	})
	kept, least := -hit, int(k.GetCount())
	for _, h := range l.blast.hosts {
		if keeps(h, k.GetRole()) {
			kept++
		}
	}
	l.room("keep "+k.GetRole(), kept < least, "%d, at least %d", kept, least)
	if kept < least {
		l.refuse("keep", "aim at fewer hosts of that role", "only %d connected hosts of role %s stay untouched, and %d must%s", kept, k.GetRole(), least, l.blast.others())
	}
}

// keeps tells whether a host counts as one of a role that must remain.
func keeps(h *pb.Host, role string) bool {
	return h.GetPresence() != pb.Presence_PRESENCE_LOST && slices.Contains(h.GetRole(), role)
}

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

// blast is how many hosts and zones have a fault at one time, other runs included.
type blast struct {
	hosts map[string]*pb.Host
	// edges are the starts and ends of this plan's slots, in order of time; at
	// one instant, ends come first.
	edges []edge
	// held are the hosts that other runs may hold.
	held map[string]bool
	runs []string
}

type edge struct {
	at   int64
	by   int
	host string
}

func newBlast(p *pb.Plan, w World) *blast {
	b := &blast{hosts: map[string]*pb.Host{}, held: map[string]bool{}}
	for _, h := range w.Hosts {
		b.hosts[h.GetName()] = h
	}
	for _, step := range p.GetSteps() {
		if fault.Of(step.GetFault()) != nil {
			for _, s := range step.GetSlots() {
				b.edges = append(b.edges, edge{s.GetStartNanos(), 1, s.GetHost()}, edge{s.GetEndNanos(), -1, s.GetHost()})
			}
		}
	}
	slices.SortFunc(b.edges, func(x, y edge) int {
		return cmp.Or(cmp.Compare(x.at, y.at), cmp.Compare(x.by, y.by), cmp.Compare(x.host, y.host))
	})
	for _, a := range w.Active {
		b.hold(a, w.NowUnixNanos)
	}
	return b
}

// hold adds the hosts that another run may still hold: all it has not let go
// of, whenever it comes to them.
func (b *blast) hold(a Active, now int64) {
	holds := false
	for _, step := range a.Plan.GetSteps() {
		for _, s := range step.GetSlots() {
			if a.T0UnixNanos == 0 || a.T0UnixNanos+s.GetDeadlineNanos() > now {
				b.held[s.GetHost()], holds = true, true
			}
		}
	}
	if holds {
		b.runs = append(b.runs, a.Run)
	}
}

func zoneOf(h *pb.Host) string { return h.GetZone() }

func nameOf(h *pb.Host) string { return h.GetName() }

// peak is the most different keys that hosts with a fault have at one time. An
// empty key does not count.
func (b *blast) peak(key func(*pb.Host) string) int {
	count := map[string]int{}
	add := func(host string, by int) {
		k := key(b.hosts[host])
		if k == "" {
			return
		}
		if count[k] += by; count[k] == 0 {
			delete(count, k)
		}
	}
	for host := range b.held {
		add(host, 1)
	}
	most := len(count)
	for _, e := range b.edges {
		add(e.host, e.by)
		most = max(most, len(count))
	}
	return most
}

// named are the plan's hosts that a rule speaks of, sorted.
func (b *blast) named(rule func(*pb.Host) bool) []string {
	set := map[string]bool{}
	for _, e := range b.edges {
		if h := b.hosts[e.host]; h != nil && rule(h) {
			set[e.host] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

func (b *blast) zones() int {
	zones := map[string]bool{}
	for _, h := range b.hosts {
		zones[h.GetZone()] = true
	}
	return len(zones)
}

// others says which runs count as well.
func (b *blast) others() string {
	if len(b.runs) == 0 {
		return ""
	}
	return ", with run " + strings.Join(b.runs, ", ")
}
