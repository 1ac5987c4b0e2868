package plan

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	pb "squall/proto/squall/v1"
)

// harm is what one run does to hosts, from now on.
type harm struct {
	run        string
	guardrails *pb.Guardrails
	// slots are what it holds or will hold; ends come before starts at one instant.
	slots []held
	// hosts are those of the slots, once each and sorted.
	hosts []string
	// environments are those of the hosts, sorted.
	environments []string
}

// held is one slot in nanoseconds after the run's T0.
type held struct {
	host       string
	start, end int64
}

// counting chooses what counts as harm: a step on a host, which may be unknown.
type counting func(*pb.PlannedStep, *pb.Host) bool

func everyStep(*pb.PlannedStep, *pb.Host) bool { return true }

// harmOf is what a plan that is not running yet does, with any build: faults that
// this one lacks count too, so that a file's guardrails are right or wrong everywhere.
func harmOf(p *pb.Plan, g *pb.Guardrails, r *Registry, counts counting) *harm {
	h := &harm{guardrails: g}
	for _, step := range p.GetSteps() {
		for _, s := range step.GetSlots() {
			if counts(step, r.hosts[s.GetHost()]) {
				h.slots = append(h.slots, held{s.GetHost(), s.GetStartNanos(), s.GetEndNanos()})
			}
		}
	}
	h.settle(r)
	return h
}

// harmLeft is what another run may still hold: all that it has not let go of,
// whenever it comes to it. What has outlived its planned end counts until its
// deadline, and so does a host that nobody has heard from, though the run be done.
func harmLeft(a Active, r *Registry, now int64, counts counting) *harm {
	h := &harm{run: a.Run, guardrails: a.Guardrails}
	for _, step := range a.Plan.GetSteps() {
		for _, s := range step.GetSlots() {
			if end, holds := a.holds(step.GetId(), s, now); holds && counts(step, r.hosts[s.GetHost()]) {
				h.slots = append(h.slots, held{s.GetHost(), s.GetStartNanos(), end})
			}
		}
	}
	h.settle(r)
	return h
}

// holds tells whether a run may still hold a slot, and until when after its T0.
// Before it fires, it may; after it is done, only what nobody has heard the end of.
func (a Active) holds(step string, s *pb.HostSlot, now int64) (end int64, holds bool) {
	switch {
	case a.T0UnixNanos == 0:
		return s.GetEndNanos(), !a.Done
	case a.T0UnixNanos+s.GetDeadlineNanos() <= now:
		return 0, false
	case a.Done && a.over(step, s.GetHost()):
		return 0, false
	case a.T0UnixNanos+s.GetEndNanos() <= now:
		return s.GetDeadlineNanos(), true
	}
	return s.GetEndNanos(), true
}

func (a Active) over(step, host string) bool { return a.Over != nil && a.Over(On{step, host}) }

func (h *harm) settle(r *Registry) {
	hosts, envs := map[string]bool{}, map[string]bool{}
	for _, s := range h.slots {
		if !hosts[s.host] {
			hosts[s.host], envs[environment(r.hosts[s.host])] = true, true
		}
	}
	h.hosts, h.environments = slices.Sorted(maps.Keys(hosts)), slices.Sorted(maps.Keys(envs))
}

// edge is a host's fault that begins or ends.
type edge struct {
	at   int64
	by   int
	host string
}

// edges are the starts and ends of the slots in order of time; at one instant, ends come first.
func (h *harm) edges() []edge {
	list := make([]edge, 0, 2*len(h.slots))
	for _, s := range h.slots {
		list = append(list, edge{s.start, 1, s.host}, edge{s.end, -1, s.host})
	}
	slices.SortFunc(list, func(x, y edge) int {
		return cmp.Or(cmp.Compare(x.at, y.at), cmp.Compare(x.by, y.by), cmp.Compare(x.host, y.host))
	})
	return list
}

// blast is what all runs do together, the new one included.
type blast struct {
	registry *Registry
	fresh    *harm
	held     []*harm
	// tallies hold how often each key is hit by all runs, by scope and key.
	tallies map[string]map[string]int
	counts  map[string]*headcount
}

// headcount is what there is in a scope: the hosts and zones that shares are of.
type headcount struct{ hosts, zones int }

func newBlast(p *pb.Plan, file *pb.Guardrails, w World, counts counting) *blast {
	r := w.registry()
	b := &blast{registry: r, fresh: harmOf(p, file, r, counts), tallies: map[string]map[string]int{}, counts: map[string]*headcount{}}
	for _, a := range w.Active {
		if h := harmLeft(a, r, w.NowUnixNanos, counts); len(h.hosts) > 0 {
			b.held = append(b.held, h)
		}
	}
	return b
}

// everyone are all harms.
func (b *blast) everyone(yield func(*harm) bool) {
	if !yield(b.fresh) {
		return
	}
	for _, h := range b.held {
		if !yield(h) {
			return
		}
	}
}

// key groups hosts; hosts with an empty key do not count. Its name tells it
// apart from other keys.
type key struct {
	name string
	of   func(*pb.Host) string
}

var (
	byZone = key{"zone", (*pb.Host).GetZone}
	byName = key{"host", (*pb.Host).GetName}
)

// byRole counts connected hosts of a role.
func byRole(role string) key {
	return key{"role " + role, func(h *pb.Host) string {
		if !connected(h) || !slices.Contains(h.GetRole(), role) {
			return ""
		}
		return h.GetName()
	}}
}

// in is the key of hosts within a scope of environments; nil is all of them.
func (k key) in(scope []string, h *pb.Host) string {
	if h == nil || scope != nil && !slices.Contains(scope, environment(h)) {
		return ""
	}
	return k.of(h)
}

// peak is the most different keys that are hit at one time while one run goes
// on, all that the others may hold being hit all the while.
func (b *blast) peak(of *harm, scope []string, k key) int {
	count := b.tally(scope, k)
	add := func(host string, by int) {
		name := k.in(scope, b.registry.hosts[host])
		if name == "" {
			return
		}
		if count[name] += by; count[name] == 0 {
			delete(count, name)
		}
	}
	for _, host := range of.hosts {
		add(host, -1)
	}
	most := len(count)
	for _, e := range of.edges() {
		add(e.host, e.by)
		most = max(most, len(count))
	}
	for _, host := range of.hosts { // the edges have cancelled out
		add(host, 1)
	}
	return most
}

// tally counts each key over all runs; it is made once for a scope.
func (b *blast) tally(scope []string, k key) map[string]int {
	id := k.name + "\x00" + strings.Join(scope, "\x00")
	if count, ok := b.tallies[id]; ok {
		return count
	}
	count := map[string]int{}
	for h := range b.everyone {
		for _, host := range h.hosts {
			if name := k.in(scope, b.registry.hosts[host]); name != "" {
				count[name]++
			}
		}
	}
	b.tallies[id] = count
	return count
}

// headcount is what there is in some environments: hosts that carry their
// workloads and are connected or held by us, and zones with such a host. What
// is hit counts in any case, so that it never counts above the line alone.
func (b *blast) headcount(scope []string) *headcount {
	id := strings.Join(scope, "\x00")
	if c := b.counts[id]; c != nil {
		return c
	}
	n, zones := 0, map[string]bool{}
	for _, env := range scope {
		p := b.registry.populace(env)
		n += p.hosts
		maps.Copy(zones, p.zones)
	}
	for name := range b.tally(scope, byName) {
		h := b.registry.hosts[name]
		zones[h.GetZone()] = true
		if !b.registry.populace(environment(h)).counts(h) {
			n++
		}
	}
	delete(zones, "")
	b.counts[id] = &headcount{hosts: n, zones: len(zones)}
	return b.counts[id]
}

// remain is how many connected hosts of a role there are in a scope.
func (b *blast) remain(scope []string, role string) int {
	n := 0
	for _, env := range scope {
		n += b.registry.populace(env).roles[role]
	}
	return n
}

// named are the new plan's hosts that a rule speaks of, sorted.
func (b *blast) named(rule func(*pb.Host) bool) []string {
	var names []string
	for _, name := range b.fresh.hosts {
		if h := b.registry.hosts[name]; h != nil && rule(h) {
			names = append(names, name)
		}
	}
	return names
}

// others says which runs count as well, but for the one that is judged.
func (b *blast) others(judged *harm) string {
	var runs []string
	for _, h := range b.held {
		if h != judged {
			runs = append(runs, h.run)
		}
	}
	if len(runs) == 0 {
		return ""
	}
	return ", with run " + strings.Join(runs, ", ")
}
