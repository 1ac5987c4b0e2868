package plan_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"squall/experiments/plan"
	"squall/experiments/schedule"
	pb "squall/proto/squall/v1"
)

// guardCases is how many admissions the property test judges.
const guardCases = 100_000

// TestWhatIsAdmittedKeepsEveryGuard holds the guards against a plain model, which
// looks at every instant by itself: whatever is let in, and whenever it fires, no
// guard is broken over all runs together; and what runs alone is refused only
// where the model finds a guard broken.
func TestWhatIsAdmittedKeepsEveryGuard(t *testing.T) {
	n := guardCases
	if testing.Short() {
		n /= 20
	}
	let, refused := 0, 0
	for seed := uint64(1); let+refused < n; seed++ {
		g := newGuarded(rand.New(rand.NewPCG(seed, 9)))
		for range 6 {
			why := g.admit()
			if why == "" {
				let++
			} else {
				refused++
			}
			if wrong := g.check(why); wrong != "" {
				t.Fatalf("seed %d: %s\nguards: %v", seed, wrong, g.w.Guards)
			}
			g.goOn()
		}
	}
	t.Logf("%d let in, %d refused", let, refused)
	if let < n/5 || refused < n/5 {
		t.Errorf("%d let in and %d refused: too few of one", let, refused)
	}
}

// guarded is a fleet with guards, and the runs on it.
type guarded struct {
	r    *rand.Rand
	w    plan.World
	runs []*guardedRun
}

// guardedRun is a run as the model sees it.
type guardedRun struct {
	name                string
	plan                *pb.Plan
	admitted, t0, ended int64
	excepted            bool
}

func newGuarded(r *rand.Rand) *guarded {
	g := &guarded{r: r, w: plan.World{NowUnixNanos: 1_800_000_000e9 + r.Int64N(86400)*1e9, Exceptions: map[string]*pb.GuardException{}}}
	for i := range 2 + r.IntN(9) {
		h := &pb.Host{Name: fmt.Sprint("h", i), Zone: g.one("a", "b", "c"), Role: []string{g.one("db", "web")}, Environment: g.one("lab", "lab", "prod")}
		if r.IntN(4) > 0 {
			h.Workloads = []*pb.HostWorkload{{Name: "w", Role: h.Role[0]}}
		}
		if r.IntN(8) == 0 {
			h.Presence = pb.Presence_PRESENCE_LOST
		}
		g.w.Hosts = append(g.w.Hosts, h)
	}
	for i := range 1 + r.IntN(2) {
		g.w.Guards = append(g.w.Guards, g.guard(fmt.Sprint("g", i)))
	}
	g.w.Registry = plan.NewRegistry(g.w.Hosts)
	return g
}

func (g *guarded) one(names ...string) string { return names[g.r.IntN(len(names))] }

func (g *guarded) guard(name string) *pb.Guard {
	r, out := g.r, &pb.Guard{Name: name}
	if r.IntN(3) == 0 {
		out.Environments = []string{g.one("lab", "prod")}
	}
	switch r.IntN(7) {
	case 0:
		out.Rule = &pb.Guard_MaxZones{MaxZones: uint32(1 + r.IntN(2))}
	case 1:
		out.Rule = &pb.Guard_MajorityOf{MajorityOf: g.one("db", "web", "*")}
	case 2:
		s := &pb.GuardShare{Of: g.one("fleet", "zone", "role"), Most: &pb.Share{Ppm: uint32(200_000 + r.IntN(700_000))}}
		if s.Of != "fleet" && r.IntN(2) == 0 {
			s.Name = map[string]string{"zone": g.one("a", "b"), "role": g.one("db", "web")}[s.Of]
		}
		out.Rule = &pb.Guard_MaxShare{MaxShare: s}
	case 3:
		out.Rule = &pb.Guard_HostsAMinute{HostsAMinute: uint32(1 + r.IntN(4))}
	case 4:
		out.Rule = &pb.Guard_GapNanos{GapNanos: (1 + r.Int64N(90)) * 1e9}
	case 5:
		out.Rule = &pb.Guard_Protect{Protect: &pb.GuardProtect{Match: []string{g.one("zone=a", "role=db", "host=h1", "environment=prod")}}}
	default:
		offsets, _ := schedule.Offsets("UTC", time.Unix(0, g.w.NowUnixNanos))
		open := g.w.NowUnixNanos / 3600e9 % 24
		hours := fmt.Sprintf("%02d:%02d-%02d:%02d", open, r.IntN(30), open, 30+r.IntN(30))
		out.Rule = &pb.Guard_Closed{Closed: &pb.GuardClosed{Hours: []string{hours}, Timezone: "UTC", Offsets: offsets}}
	}
	return out
}

// planOn is a plan with faults at random on some hosts that are connected.
func (g *guarded) planOn(name string) *pb.Plan {
	p := &pb.Plan{Experiment: "x", Digest: "digest of " + name}
	for i := range 1 + g.r.IntN(2) {
		step := &pb.PlannedStep{Id: fmt.Sprint("s", i), Target: "t", Fault: &pb.Fault{Kind: &pb.Fault_DnsFail{DnsFail: &pb.DNSFail{}}}}
		for _, h := range g.w.Hosts {
			if h.GetPresence() == pb.Presence_PRESENCE_LOST || g.r.IntN(3) > 0 {
				continue
			}
			start := g.r.Int64N(100) * 1e9
			end := start + (1+g.r.Int64N(60))*1e9
			step.Slots = append(step.Slots, &pb.HostSlot{Host: h.GetName(), StartNanos: start, EndNanos: end, DeadlineNanos: end + 10e9})
			p.LengthNanos = max(p.LengthNanos, end)
		}
		p.Steps = append(p.Steps, step)
	}
	p.DeadlineNanos = p.LengthNanos + 10e9
	return p
}

// admit asks for one more run; it says why it is refused.
func (g *guarded) admit() string {
	run := &guardedRun{name: fmt.Sprint("r", len(g.runs)), admitted: g.w.NowUnixNanos}
	run.plan = g.planOn(run.name)
	delete(g.w.Exceptions, run.plan.GetDigest()) // of one that was refused
	if g.r.IntN(6) == 0 {
		run.excepted = true
		g.w.Exceptions[run.plan.GetDigest()] = &pb.GuardException{Digest: run.plan.GetDigest(), UntilUnixNanos: run.admitted + 1}
	}
	g.runs = append(g.runs, run)
	e := &pb.Experiment{Version: 1, Name: "x", Guardrails: &pb.Guardrails{AllowRegionWide: true}, Targets: map[string]*pb.Target{"t": {}}}
	for _, p := range plan.Admissible(run.plan, e, g.world()) {
		return p.GetMessage()
	}
	return ""
}

// world is the fleet and its runs as they are, but for the one that asks.
func (g *guarded) world() plan.World {
	w := g.w
	for _, run := range g.runs[:len(g.runs)-1] {
		a := plan.Active{Run: run.name, Plan: run.plan, T0UnixNanos: run.t0}
		switch {
		case run.ended == 0:
			w.Active = append(w.Active, a)
		case run.t0 != 0 && run.ended > w.NowUnixNanos-plan.GuardHorizon(w.Guards):
			a.Done = true
			w.Past = append(w.Past, plan.Past{Active: a, EndUnixNanos: run.ended})
		}
	}
	return w
}

// check holds an answer against the model, and forgets what was refused.
func (g *guarded) check(why string) string {
	if asked := g.runs[len(g.runs)-1]; why != "" {
		alone := len(g.runs) == 1
		broken := g.broken([]*guardedRun{asked})
		g.runs = g.runs[:len(g.runs)-1]
		if alone && (broken == "" || asked.excepted) {
			return "refused for nothing: " + why
		}
		return ""
	}
	var plain []*guardedRun
	for _, run := range g.runs {
		if !run.excepted {
			plain = append(plain, run)
		}
	}
	if broken := g.broken(plain); broken != "" {
		return "let in: " + broken
	}
	return ""
}

// goOn lets time pass: runs fire and end.
func (g *guarded) goOn() {
	for _, run := range g.runs {
		g.w.NowUnixNanos += g.r.Int64N(20) * 1e9
		switch {
		case run.ended != 0:
		case run.t0 == 0 && g.r.IntN(2) == 0:
			run.t0 = g.w.NowUnixNanos + g.r.Int64N(3)*1e9
		case run.t0 != 0 && g.w.NowUnixNanos >= run.t0+run.plan.GetLengthNanos():
			run.ended = g.w.NowUnixNanos
		}
	}
}

// broken names a guard that is broken at some instant, if runs that have not fired
// do so at instants drawn at random.
func (g *guarded) broken(runs []*guardedRun) string {
	t0 := make([]int64, len(runs))
	for i, run := range runs {
		if t0[i] = run.t0; run.t0 == 0 {
			t0[i] = g.w.NowUnixNanos
			if len(runs) > 1 {
				t0[i] += g.r.Int64N(60) * 1e9
			}
		}
	}
	for _, guard := range g.w.Guards {
		for _, env := range []string{"lab", "prod"} {
			if len(guard.GetEnvironments()) > 0 && guard.GetEnvironments()[0] != env {
				continue
			}
			if why := g.brokenIn(env, guard, runs, t0); why != "" {
				return guard.GetName() + " in " + env + ": " + why
			}
		}
	}
	return ""
}

// hits are the hosts of an environment that are hit at an instant.
func (g *guarded) hits(env string, runs []*guardedRun, t0 []int64, at int64) (hosts []*pb.Host) {
	for _, h := range g.w.Hosts {
		if h.GetEnvironment() == env && slices.ContainsFunc(g.slots(env, runs, t0), func(s modelSlot) bool {
			return s.host == h && s.from <= at && at < s.to
		}) {
			hosts = append(hosts, h)
		}
	}
	return hosts
}

type modelSlot struct {
	run      int
	host     *pb.Host
	from, to int64
}

func (g *guarded) slots(env string, runs []*guardedRun, t0 []int64) (all []modelSlot) {
	for i, run := range runs {
		for _, step := range run.plan.GetSteps() {
			for _, s := range step.GetSlots() {
				for _, h := range g.w.Hosts {
					if h.GetName() == s.GetHost() && h.GetEnvironment() == env {
						all = append(all, modelSlot{i, h, t0[i] + s.GetStartNanos(), t0[i] + s.GetEndNanos()})
					}
				}
			}
		}
	}
	return all
}

func (g *guarded) brokenIn(env string, guard *pb.Guard, runs []*guardedRun, t0 []int64) string {
	slots := g.slots(env, runs, t0)
	switch rule := guard.GetRule().(type) {
	case *pb.Guard_HostsAMinute:
		for _, first := range slots {
			begun := map[string]bool{}
			for _, s := range slots {
				if first.from <= s.from && s.from < first.from+60e9 {
					begun[fmt.Sprint(s.run, s.host.GetName())] = true
				}
			}
			if len(begun) > int(rule.HostsAMinute) {
				return fmt.Sprintf("%d hosts in a minute", len(begun))
			}
		}
		return ""
	case *pb.Guard_GapNanos:
		return g.tooSoon(env, rule.GapNanos, runs)
	case *pb.Guard_Protect:
		for _, s := range slots {
			key, value, _ := strings.Cut(rule.Protect.GetMatch()[0], "=")
			if map[string]string{"zone": s.host.GetZone(), "role": s.host.GetRole()[0], "host": s.host.GetName(), "environment": env}[key] == value {
				return s.host.GetName() + " is protected"
			}
		}
		return ""
	case *pb.Guard_Closed:
		return g.inHours(env, rule.Closed.GetHours()[0], runs)
	}
	for _, s := range slots { // something new is hit only where a fault begins
		if why := g.tooMuch(env, guard, g.hits(env, runs, t0, s.from), slots); why != "" {
			return why
		}
	}
	return ""
}

// tooSoon looks at the times from admission to end, of runs in an environment.
func (g *guarded) tooSoon(env string, gap int64, runs []*guardedRun) string {
	for i, first := range runs {
		for _, second := range runs[i+1:] {
			both := len(g.slots(env, []*guardedRun{first}, []int64{0})) > 0 && len(g.slots(env, []*guardedRun{second}, []int64{0})) > 0
			if both && (first.ended == 0 || second.admitted < first.ended+gap) {
				return second.name + " is too soon after " + first.name
			}
		}
	}
	return ""
}

// inHours looks at every second from a run's admission to its length after it.
func (g *guarded) inHours(env, hours string, runs []*guardedRun) string {
	from, to, _ := strings.Cut(hours, "-")
	for _, run := range runs {
		if len(g.slots(env, []*guardedRun{run}, []int64{0})) == 0 {
			continue
		}
		for at := run.admitted; at < run.admitted+run.plan.GetLengthNanos(); at += 1e9 {
			if clock := time.Unix(0, at).UTC().Format("15:04"); from <= clock && clock < to {
				return run.name + " runs at " + clock
			}
		}
	}
	return ""
}

// tooMuch judges what is hit at one instant.
func (g *guarded) tooMuch(env string, guard *pb.Guard, hit []*pb.Host, touched []modelSlot) string {
	count := func(want func(*pb.Host) bool) (n int) {
		for _, h := range hit {
			if want(h) {
				n++
			}
		}
		return n
	}
	switch rule := guard.GetRule().(type) {
	case *pb.Guard_MaxZones:
		zones := map[string]bool{}
		for _, h := range hit {
			zones[h.GetZone()] = true
		}
		if len(zones) > int(rule.MaxZones) {
			return fmt.Sprintf("%d zones", len(zones))
		}
	case *pb.Guard_MajorityOf:
		for _, role := range []string{"db", "web"} {
			known, lost := 0, 0
			for _, h := range g.w.Hosts {
				if h.GetEnvironment() == env && h.GetRole()[0] == role {
					if known++; h.GetPresence() == pb.Presence_PRESENCE_LOST {
						lost++
					}
				}
			}
			is := func(h *pb.Host) bool { return h.GetRole()[0] == role }
			if n := count(is); (rule.MajorityOf == "*" || rule.MajorityOf == role) && n > 0 && 2*(n+lost) > known {
				return fmt.Sprintf("%d and %d lost of %d of %s", n, lost, known, role)
			}
		}
	case *pb.Guard_MaxShare:
		return g.tooLargeShare(env, rule.MaxShare, count, touched)
	}
	return ""
}

// tooLargeShare counts a group's hosts one by one.
func (g *guarded) tooLargeShare(env string, s *pb.GuardShare, count func(func(*pb.Host) bool) int, touched []modelSlot) string {
	names := map[string][]string{"fleet": {""}, "zone": {"a", "b", "c"}, "role": {"db", "web"}}[s.GetOf()]
	for _, name := range names {
		if s.GetName() != "" && s.GetName() != name {
			continue
		}
		in := func(h *pb.Host) bool {
			return s.GetOf() == "fleet" || s.GetOf() == "zone" && h.GetZone() == name || s.GetOf() == "role" && h.GetRole()[0] == name
		}
		all, serve := 0, slices.ContainsFunc(g.w.Hosts, func(h *pb.Host) bool { return h.GetEnvironment() == env && len(h.GetWorkloads()) > 0 })
		for _, h := range g.w.Hosts {
			if h.GetEnvironment() != env || h.GetPresence() == pb.Presence_PRESENCE_LOST || !in(h) {
				continue
			}
			isHit := slices.ContainsFunc(touched, func(m modelSlot) bool { return m.host == h })
			if s.GetOf() == "role" || !serve || len(h.GetWorkloads()) > 0 || isHit {
				all++
			}
		}
		if n := count(in); n > all*int(s.GetMost().GetPpm())/1_000_000 {
			return fmt.Sprintf("%d of %d of %s %s", n, all, s.GetOf(), name)
		}
	}
	return ""
}
