package plan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"squall/experiments/quantity"
	"squall/experiments/schedule"
	pb "squall/proto/squall/v1"
)

const (
	// mostShown is how many zones and hosts an opinion names.
	mostShown = 20
	minute    = int64(60)
	// minuteNanos is a minute.
	minuteNanos = minute * 1e9
)

// Opinions are what the guards of the world say about a plan that would begin
// now, in their order. The rules in words are left to whoever shows them.
func Opinions(p *pb.Plan, w World) []*pb.GuardOpinion {
	return opinionsOn(p, w, newBlast(p, nil, w, everyStep))
}

func opinionsOn(p *pb.Plan, w World, b *blast) []*pb.GuardOpinion {
	d := &docket{w: w, blast: b, own: Active{Plan: p, FileDigest: w.FileDigest}}
	all := make([]*pb.GuardOpinion, len(w.Guards))
	for i, g := range w.Guards {
		all[i] = d.opinion(g)
	}
	return all
}

// opinions refuses what guards refuse, and shows the room that they leave.
func (l *limiter) opinions(all []*pb.GuardOpinion) {
	for _, o := range all {
		if o.GetStanding() == pb.GuardStanding_GUARD_STANDING_SILENT {
			continue
		}
		broken := o.GetStanding() == pb.GuardStanding_GUARD_STANDING_BROKEN
		used := o.GetUsed()
		if o.GetStanding() == pb.GuardStanding_GUARD_STANDING_EXCEPTED {
			used += ", by exception"
		}
		l.headroom = append(l.headroom, &pb.Headroom{Guardrail: o.GetGuard(), Used: used, Exceeded: broken})
		if broken {
			l.found = append(l.found, refusal{pb.Refusal_REFUSAL_GUARDRAIL, "", o.GetMessage(), o.GetFix()})
		}
	}
}

// GuardBreach says of a run that goes on which guard it breaks, now or with what
// it has still to do; nil for none. Others count with what they hold at this
// moment, but for those that were let past the guard.
func GuardBreach(run string, w World) *pb.GuardOpinion {
	if len(w.Guards) == 0 {
		return nil
	}
	d, all := &docket{w: w, own: w.active(run), goesOn: true}, w.blastOf(run, "")
	for _, g := range w.Guards {
		if slices.Contains(d.own.Excepted, g.GetName()) {
			continue
		}
		if d.blast = all; w.letsPast(g.GetName()) {
			d.blast = w.blastOf(run, g.GetName())
		}
		if o := d.opinion(g); o.GetStanding() == pb.GuardStanding_GUARD_STANDING_BROKEN {
			return o
		}
	}
	return nil
}

// active is a run of the world by its id; one without a plan where there is none.
func (w World) active(run string) Active {
	for _, a := range w.Active {
		if a.Run == run {
			return a
		}
	}
	return Active{}
}

// letsPast tells whether some run was let past a guard.
func (w World) letsPast(guard string) bool {
	return slices.ContainsFunc(w.Active, func(a Active) bool { return slices.Contains(a.Excepted, guard) })
}

// blastOf is what a run has still to do, and what the others hold at this moment,
// but for those that were let past a guard.
func (w World) blastOf(run, guard string) *blast {
	r := w.registry()
	b := &blast{registry: r, fresh: &harm{}, tallies: map[string]map[string]int{}, counts: map[string]*headcount{}}
	for _, a := range w.Active {
		switch {
		case a.Run == run:
			b.fresh = a.ahead(r, w.NowUnixNanos)
		case guard != "" && slices.Contains(a.Excepted, guard):
		default:
			if h := a.present(r, w.NowUnixNanos); len(h.hosts) > 0 {
				b.held = append(b.held, h)
			}
		}
	}
	return b
}

// docket is a plan or a run that is judged by the guards of a world.
type docket struct {
	w     World
	blast *blast
	// own is what is judged; it has no T0 where it has not fired.
	own Active
	// goesOn says that it was let in before.
	goesOn bool
	// guard is the name of the one that is asked.
	guard string
}

// ruling is what a guard says in one environment.
type ruling struct {
	broken       bool
	used         string
	message, fix string
	// zones and hosts are what the numbers are of.
	zones, hosts []string
}

// opinion is what a guard says, in the first environment where it is broken, or
// else in the first where it says something.
func (d *docket) opinion(g *pb.Guard) *pb.GuardOpinion {
	o := &pb.GuardOpinion{Guard: g.GetName(), Standing: pb.GuardStanding_GUARD_STANDING_SILENT, SetBy: g.GetBy()}
	var says *ruling
	d.guard = g.GetName()
	for _, env := range d.blast.fresh.environments {
		if len(g.GetEnvironments()) > 0 && !slices.Contains(g.GetEnvironments(), env) {
			continue
		}
		for _, r := range d.rule(g, env) {
			if says == nil || r.broken && !says.broken {
				says = r
			}
		}
		if g.GetClosed() != nil { // the hours are those of every environment
			break
		}
	}
	if says == nil {
		return o
	}
	o.Standing, o.Used = pb.GuardStanding_GUARD_STANDING_KEPT, says.used
	o.Zones, o.Hosts, o.HostCount = first(says.zones), first(says.hosts), uint32(len(says.hosts))
	if says.broken {
		o.Standing, o.Message, o.Fix = pb.GuardStanding_GUARD_STANDING_BROKEN, "guardrail "+g.GetName()+" of the cluster: "+says.message, says.fix
		if o.Exception = d.w.excepted(g.GetName(), d.own); o.Exception != nil {
			o.Standing = pb.GuardStanding_GUARD_STANDING_EXCEPTED
		}
	}
	return o
}

func first(names []string) []string { return names[:min(len(names), mostShown)] }

// excepted is the exception that lets a run past a guard now; nil for none.
func (w World) excepted(guard string, a Active) *pb.GuardException {
	for _, digest := range []string{a.Plan.GetDigest(), a.FileDigest} {
		e := w.Exceptions[digest]
		if digest != "" && e != nil && e.GetUntilUnixNanos() > w.NowUnixNanos && (len(e.GetGuards()) == 0 || slices.Contains(e.GetGuards(), guard)) {
			return e
		}
	}
	return nil
}

// rule is what a guard says in an environment to which the run comes.
func (d *docket) rule(g *pb.Guard, env string) []*ruling {
	switch rule := g.GetRule().(type) {
	case *pb.Guard_MaxZones:
		return []*ruling{d.maxZones(env, int(rule.MaxZones))}
	case *pb.Guard_MajorityOf:
		return d.majorities(env, rule.MajorityOf)
	case *pb.Guard_MaxShare:
		return d.shares(env, rule.MaxShare)
	case *pb.Guard_HostsAMinute:
		return []*ruling{d.pace(env, int(rule.HostsAMinute))}
	case *pb.Guard_GapNanos:
		return d.gap(env, rule.GapNanos)
	case *pb.Guard_Protect:
		return []*ruling{d.protected(env, rule.Protect.GetMatch())}
	case *pb.Guard_Closed:
		return d.closed(rule.Closed)
	}
	return []*ruling{{broken: true, used: "not known", message: "its rule is not known to this build", fix: "upgrade this server"}}
}

func (d *docket) peak(env string, k key) int { return d.blast.peak(d.blast.fresh, []string{env}, k) }

func (d *docket) together() string { return d.blast.others(d.blast.fresh) }

// touched are the run's own hosts in an environment, sorted.
func (d *docket) touched(env string) []string {
	return d.blast.named(func(h *pb.Host) bool { return environment(h) == env })
}

// hit are all that is hit in an environment, by a key, sorted.
func (d *docket) hit(env string, k key) []string {
	return slices.Sorted(maps.Keys(d.blast.tally([]string{env}, k)))
}

func (d *docket) maxZones(env string, most int) *ruling {
	used := d.peak(env, byZone)
	r := &ruling{broken: used > most, used: fmt.Sprintf("%s, at most %d", plural(used, "zone"), most), zones: d.hit(env, byZone), hosts: d.hit(env, byName)}
	if r.broken {
		r.message = fmt.Sprintf("%d zones with a fault at one time (%s), and at most %d may have one%s", used, strings.Join(first(r.zones), ", "), most, d.together())
		r.fix = "aim at fewer zones, let faults follow one another, or wait for the other runs"
	}
	return r
}

// majorities judges a role, or each one of which the run touches a host.
func (d *docket) majorities(env, role string) (all []*ruling) {
	for _, name := range d.roles(env) {
		if role == eachRole || role == name {
			all = append(all, d.majority(env, name))
		}
	}
	return all
}

// roles are those of the hosts that the run touches in an environment, sorted.
func (d *docket) roles(env string) []string {
	found := map[string]bool{}
	for _, name := range d.touched(env) {
		for _, role := range d.blast.registry.hosts[name].GetRole() {
			found[role] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

func (d *docket) majority(env, role string) *ruling {
	p := d.blast.registry.populace(env)
	known, lost := p.known[role], p.known[role]-p.roles[role]
	hurt := lost + d.peak(env, byRole(role))
	r := &ruling{broken: 2*hurt > known, used: fmt.Sprintf("%d of %d of role %s", hurt, known, role), hosts: d.hit(env, byRole(role))}
	if r.broken {
		lostToo := ""
		if lost > 0 {
			lostToo = fmt.Sprintf(", %d of them lost", lost)
		}
		r.message = fmt.Sprintf("%d of %d hosts of role %s hurt at one time%s, which is a majority%s", hurt, known, role, lostToo, d.together())
		r.fix = "aim at fewer hosts of that role, with `pick` or `exclude`"
	}
	return r
}

// shares judges the fleet, or each zone or role of which the run touches a host.
func (d *docket) shares(env string, s *pb.GuardShare) (all []*ruling) {
	switch s.GetOf() {
	case "fleet":
		return []*ruling{d.share("the fleet", s.GetMost(), d.peak(env, byName), d.blast.headcount([]string{env}).hosts, d.hit(env, byName))}
	case "zone":
		for _, zone := range d.zones(env) {
			if k := byNameIn(zone); s.GetName() == "" || s.GetName() == zone {
				all = append(all, d.share("zone "+zone, s.GetMost(), d.peak(env, k), d.blast.countIn(env, zone), d.hit(env, k)))
			}
		}
	default:
		for _, role := range d.roles(env) {
			if k := byRole(role); s.GetName() == "" || s.GetName() == role {
				all = append(all, d.share("role "+role, s.GetMost(), d.peak(env, k), d.blast.registry.populace(env).roles[role], d.hit(env, k)))
			}
		}
	}
	return all
}

// zones are those of the hosts that the run touches in an environment, sorted.
func (d *docket) zones(env string) []string {
	found := map[string]bool{}
	for _, name := range d.touched(env) {
		found[d.blast.registry.hosts[name].GetZone()] = true
	}
	return slices.Sorted(maps.Keys(found))
}

func (d *docket) share(of string, most *pb.Share, used, all int, hosts []string) *ruling {
	limit := portion(&pb.Amount{Of: &pb.Amount_Share{Share: most}}, all)
	r := &ruling{
		broken: used > limit, hosts: hosts,
		used: fmt.Sprintf("%d of %d hosts of %s (%d%% of %s)", used, all, of, 100*used/max(all, 1), quantity.FormatShare(most.GetPpm())),
	}
	if r.broken {
		r.message = fmt.Sprintf("%d of %d hosts of %s with a fault at one time (%d%%), and at most %s, which is %d, may have one%s",
			used, all, of, 100*used/max(all, 1), quantity.FormatShare(most.GetPpm()), limit, d.together())
		r.fix = "aim at fewer hosts, with `pick` or `exclude`, or wait for the other runs"
	}
	return r
}

// byNameIn counts hosts of a zone.
func byNameIn(zone string) key {
	return key{"host in " + zone, func(h *pb.Host) string {
		if h.GetZone() != zone {
			return ""
		}
		return h.GetName()
	}}
}

// countIn is how many hosts of a zone there are: those that count in their
// environment, and what is hit.
func (b *blast) countIn(env, zone string) int {
	p := b.registry.populace(env)
	n := p.inZone[zone]
	for name := range b.tally([]string{env}, byNameIn(zone)) {
		if !p.counts(b.registry.hosts[name]) {
			n++
		}
	}
	return n
}

func (d *docket) protected(env string, match []string) *ruling {
	hit := d.blast.named(func(h *pb.Host) bool {
		return environment(h) == env && slices.ContainsFunc(match, func(rule string) bool { return matches(rule, h) })
	})
	r := &ruling{broken: len(hit) > 0, used: fmt.Sprintf("%d protected", len(hit)), hosts: hit}
	if r.broken {
		r.message, r.fix = some(hit)+" protected by "+d.protector(match, hit[0]), "leave them out with `exclude`, or ask for an exception"
	}
	return r
}

func (d *docket) protector(match []string, host string) string {
	i := slices.IndexFunc(match, func(rule string) bool { return matches(rule, d.blast.registry.hosts[host]) })
	return match[i]
}

// matches is protects, of environments too.
func matches(rule string, h *pb.Host) bool {
	if env, is := strings.CutPrefix(rule, "environment="); is {
		return environment(h) == env
	}
	return protects(rule, h)
}

// closed judges the time from now to the end of the run's plan.
func (d *docket) closed(g *pb.GuardClosed) []*ruling {
	from := d.w.NowUnixNanos
	to := cmp.Or(d.own.T0UnixNanos, from) + d.own.Plan.GetLengthNanos()
	c, err := schedule.ClosedOf(g)
	if err != nil || to <= from {
		return nil
	}
	hours, at := c.Within(from/1e9, (to+1e9-1)/1e9)
	r := &ruling{broken: hours != "", used: fmt.Sprintf("from %s to %s in %s", c.Wall(from/1e9), c.Wall(to/1e9), g.GetTimezone())}
	if r.broken {
		r.message = fmt.Sprintf("nothing runs in %s (%s), and this would run %s, into %s there", hours, g.GetTimezone(), r.used, c.Wall(at))
		r.fix = "begin it at another time"
		if opens := c.Opens(at, (to-from)/1e9+1); opens != 0 {
			r.fix = "begin it at " + c.Wall(opens) + " there or later"
		}
	}
	return []*ruling{r}
}
