// Package plan resolves an experiment against a registry: who, what and when
// in real time, with every choice made.
//
// It is pure and deterministic: the same experiment, world and seed give the
// same plan, byte for byte. What it says of a run's limits is judged again, by
// the same functions, when the run is admitted.
package plan

import (
	"cmp"
	"maps"
	"slices"

	"squall/experiments"
	"squall/experiments/judge"
	"squall/experiments/near"
	pb "squall/proto/squall/v1"
)

// World is what a plan is made against.
type World struct {
	// Hosts is the registry, or a fleet file.
	Hosts []*pb.Host
	// Registry is the same hosts, indexed; nil where nobody keeps an index.
	Registry *Registry
	// Aim puts other zones in the place of a role of the file's `zones`.
	Aim map[string]*pb.ZoneRole
	// Guardrails are the cluster-wide ones, which outrank the file's; nil where there are none.
	Guardrails *pb.Guardrails
	// Active are the other runs that may hold something.
	Active []Active
	// NowUnixNanos is the cluster time at which the plan is made or admitted.
	NowUnixNanos int64
	// Seed is taken where the experiment gives none.
	Seed uint64
	// Barred are hosts that two machines say they are, sorted.
	Barred []string
	// Damaged are hosts whose journal was damaged, which nobody has confirmed, sorted.
	Damaged []string
	// Guards are the guardrails of the cluster that have names, in the order of those.
	Guards []*pb.Guard
	// Exceptions let plans and files past guards, by their digests.
	Exceptions map[string]*pb.GuardException
	// FileDigest is the SHA-256 of the file, in hex; empty where there is none.
	FileDigest string
	// Past are runs that are over and may matter to guards all the same.
	Past []Past
	// Command says that no file stands behind the experiment: it can't mean the control servers.
	Command bool
}

func (w World) registry() *Registry {
	if w.Registry != nil {
		return w.Registry
	}
	return NewRegistry(w.Hosts)
}

// Active is another run that has not ended, or that some host has not been
// heard from since.
type Active struct {
	Run  string
	Plan *pb.Plan
	// Guardrails are its file's, as written; nil where it has none.
	Guardrails *pb.Guardrails
	// T0UnixNanos is when it fired, in cluster time; 0 until then.
	T0UnixNanos int64
	// Done says that the run is over. It still holds what is not Over.
	Done bool
	// Over tells which steps have ended on their hosts for good; nil is none. What
	// they took is free, although the run may still be watched.
	Over func(On) bool
	// Claims are the plan's, by resource; nil where nobody keeps an index.
	Claims map[string][]*pb.Claim
	// FileDigest is the SHA-256 of its file, in hex; empty where it has none.
	FileDigest string
	// Excepted are the guards that it was let past, by name.
	Excepted []string
}

// Past is a run that has fired and is over.
type Past struct {
	Active
	// EndUnixNanos is when it was over.
	EndUnixNanos int64
}

// On is a step on a host.
type On struct{ Step, Host string }

// Source places a problem in the experiment's file. experiments.Source is one.
type Source interface {
	Problem(path, message, fix string) *pb.Problem
}

// maker makes one plan.
type maker struct {
	e     *pb.Experiment
	src   Source
	w     World
	p     *pb.Plan
	time  *timeline
	judge *judge.Judge
	// hosts are the registry's, by name; sorted holds their names.
	hosts  map[string]*pb.Host
	sorted []string
	zones  []string
	// targets holds what targets were resolved to.
	targets map[string][]string
	// spoilt are targets with a problem of their own: that they are empty is no news.
	spoilt map[string]bool
}

// Make plans an experiment, whether it was decoded or came as a message: one
// that breaks the rules of files gets a plan of nothing but its problems.
// Everything that stops the run is in the plan's problems; it is never nil.
// Neither the experiment nor the world is changed.
func Make(e *pb.Experiment, src Source, w World) *pb.Plan {
	if problems := experiments.Check(e); len(problems) > 0 {
		return &pb.Plan{Experiment: e.GetName(), Problems: placed(problems, src)}
	}
	m := newMaker(e, src, w)
	m.aim()
	experiments.Lacking(m.e, func(path, message, fix string) {
		m.problem(pb.Refusal_REFUSAL_UNSUPPORTED, path, message, fix)
	})
	m.schedule()
	m.steps()
	m.compile()
	m.probes()
	m.length()
	m.claim()
	m.ask()
	m.show()
	m.compression()
	m.p.Digest = digest(m.e, m.p) // which exceptions go by
	m.admit()
	m.p.Defaults = defaults(e, m.e)
	inOrder(m.p.GetProblems())
	inOrder(m.p.GetWarnings())
	return m.p
}

// placed gives problems their place in the file, where there is one.
func placed(problems []*pb.Problem, src Source) []*pb.Problem {
	list := make([]*pb.Problem, len(problems))
	for i, p := range problems {
		list[i] = src.Problem(p.GetPath(), p.GetMessage(), p.GetFix())
		list[i].Refusal = p.GetRefusal()
	}
	return list
}

// inOrder puts problems in the order of the file; those without a place come last.
func inOrder(list []*pb.Problem) {
	slices.SortStableFunc(list, func(a, b *pb.Problem) int {
		if a.GetLine() == 0 || b.GetLine() == 0 {
			return cmp.Compare(b.GetLine(), a.GetLine())
		}
		return cmp.Or(cmp.Compare(a.GetLine(), b.GetLine()), cmp.Compare(a.GetColumn(), b.GetColumn()))
	})
}

func newMaker(e *pb.Experiment, src Source, w World) *maker {
	m := &maker{e: experiments.WithDefaults(e), src: src, w: w, hosts: map[string]*pb.Host{}, targets: map[string][]string{}, spoilt: map[string]bool{}}
	if m.e.GetSeed() == 0 {
		m.e.Seed = w.Seed
	}
	zones := map[string]bool{}
	for _, h := range w.Hosts {
		m.hosts[h.GetName()], zones[h.GetZone()] = h, true
	}
	m.sorted, m.zones = slices.Sorted(maps.Keys(m.hosts)), slices.Sorted(maps.Keys(zones))
	m.p = &pb.Plan{Experiment: m.e.GetName(), Seed: m.e.GetSeed(), LeaseNanos: lease(m.e.GetGuardrails(), w.Guardrails)}
	return m
}

// lease is the file's, or the cluster's where that is shorter.
func lease(file, cluster *pb.Guardrails) int64 {
	if c := cluster.GetLease().GetNanos(); c > 0 {
		return min(c, file.GetLease().GetNanos())
	}
	return file.GetLease().GetNanos()
}

// aim puts the zones that were asked for in the place of the file's, and
// checks that every zone exists.
func (m *maker) aim() {
	for _, role := range slices.Sorted(maps.Keys(m.w.Aim)) {
		if _, ok := m.e.GetZones()[role]; !ok {
			m.problem(pb.Refusal_REFUSAL_UNKNOWN, "zones", "there is no role "+quoted(role)+" to aim",
				near.Fix(role, "role", slices.Collect(maps.Keys(m.e.GetZones()))))
			continue
		}
		m.e.Zones[role] = &pb.ZoneRole{Zone: slices.Clone(m.w.Aim[role].GetZone())}
	}
	if len(m.w.Aim) > 0 { // which came without a file
		m.p.Problems = append(m.p.Problems, placed(experiments.Check(m.e), m.src)...)
	}
	for _, role := range slices.Sorted(maps.Keys(m.e.GetZones())) {
		for i, zone := range m.e.Zones[role].GetZone() {
			m.zoneOfRole(role, i, zone)
		}
	}
}

// zoneOfRole checks that a zone of a role exists, whoever put it there.
func (m *maker) zoneOfRole(role string, i int, zone string) {
	if m.w.Aim[role] == nil {
		m.known(index("zones."+role+".zone", i), zone)
		return
	}
	if !slices.Contains(m.zones, zone) {
		m.problem(pb.Refusal_REFUSAL_UNKNOWN, "zones."+role, "role "+quoted(role)+" is aimed at "+quoted(zone)+", and there is no such zone", near.Fix(zone, "zone", m.zones))
	}
}

// compile adds what is wrong with expressions.
func (m *maker) compile() {
	j, problems := judge.Compile(m.e, m.src)
	m.judge = j
	m.p.Problems = append(m.p.Problems, problems...)
}

// known checks that a zone exists.
func (m *maker) known(path, zone string) bool {
	if slices.Contains(m.zones, zone) {
		return true
	}
	m.problem(pb.Refusal_REFUSAL_UNKNOWN, path, "there is no zone "+quoted(zone), near.Fix(zone, "zone", m.zones))
	return false
}

func (m *maker) problem(why pb.Refusal, path, message, fix string) {
	m.p.Problems = append(m.p.Problems, m.place(why, path, message, fix))
}

func (m *maker) warn(path, message, fix string) {
	m.p.Warnings = append(m.p.Warnings, m.place(pb.Refusal_REFUSAL_UNSPECIFIED, path, message, fix))
}

func (m *maker) place(why pb.Refusal, path, message, fix string) *pb.Problem {
	p := m.src.Problem(path, message, fix)
	p.Refusal = why
	return p
}

// length is until when the run is watched: past the last step, the last phase
// and the last moment by which something must hold. Hosts that never come back
// are held as long.
func (m *maker) length() {
	for _, p := range m.p.GetPhases() {
		m.p.LengthNanos = max(m.p.LengthNanos, p.GetEndNanos())
	}
	for _, s := range m.p.GetSteps() {
		m.p.LengthNanos = max(m.p.LengthNanos, s.GetEndNanos())
	}
	for _, x := range m.e.GetExpect() {
		if start, ok := m.phaseStart(x.GetAfter()); ok {
			m.p.LengthNanos = max(m.p.LengthNanos, start+x.GetWithin().GetNanos())
		}
	}
	for _, s := range m.p.GetSteps() {
		for _, slot := range s.GetSlots() {
			if slot.GetNeverBack() {
				slot.EndNanos = m.p.LengthNanos
				slot.DeadlineNanos = m.p.LengthNanos + s.GetBootLimitNanos() + grace
			}
			m.p.DeadlineNanos = max(m.p.DeadlineNanos, slot.GetDeadlineNanos())
		}
	}
}

func (m *maker) phaseStart(name string) (int64, bool) {
	for _, p := range m.p.GetPhases() {
		if p.GetName() == name {
			return p.GetStartNanos(), true
		}
	}
	return 0, false
}

// defaults lists what the file leaves out, the seed included.
func defaults(written, used *pb.Experiment) []string {
	list := experiments.Defaults(written)
	if written.GetSeed() == 0 {
		list = append(list, "seed = "+number(used.GetSeed()))
	}
	slices.SortStableFunc(list, cmp.Compare)
	return list
}
