package observe

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	"squall/experiments"
	pb "squall/proto/squall/v1"
	"squall/proto/text"
	"squall/server/report"
	"squall/server/state"
)

// picture is a sight with what its figures ask of the state more than once.
type picture struct {
	Sight
	active []*pb.Run
	zones  names
	due    []*pb.Due // as dues has them, once they are asked for
}

func newPicture(s Sight) *picture {
	zones := make(map[string]bool)
	for _, h := range s.View.Hosts() {
		zones[h.GetHost().GetZone()] = true
	}
	return &picture{Sight: s, active: s.View.Active(), zones: namesOf(zones, mostZones)}
}

// zone is the label of a host's zone.
func (p *picture) zone(host string) string {
	return p.zones.told(p.View.Host(host).GetHost().GetZone())
}

// everyZone adds nothing to each zone, so that it is told though there is nothing there.
func (p *picture) everyZone(to sums, labels ...string) {
	for zone := range p.zones {
		to.add(0, append([]string{zone}, labels...)...)
	}
}

// ofState are the figures that every server tells alike.
var ofState = []figure{
	{"squall_agents", "Hosts of the registry by what they are: connected; lost; or barred, connected or not, since two machines say that they are the host or its journal is damaged.", []string{"zone", "state"}, agents},
	{"squall_run_active", "Runs that are not done, by their state.", []string{"state"}, func(p *picture, to sums) {
		for n := pb.RunState_RUN_STATE_GATING; n < pb.RunState_RUN_STATE_DONE; n++ {
			to.add(0, word(n))
		}
		for _, r := range p.active {
			to.add(1, word(r.GetState()))
		}
	}},
	{"squall_fault_active", "Faults that hosts hold, one for each step on each host.", []string{"fault", "zone"}, steps(func(_ *picture, _ *pb.Run, h report.HostStep) bool {
		return h.Standing == pb.Standing_STANDING_HELD
	})},
	{"squall_fault_unknown", "Faults of runs under way on hosts that are not heard from: they may be held or over.", []string{"fault", "zone"}, steps(func(_ *picture, _ *pb.Run, h report.HostStep) bool {
		return h.Standing == pb.Standing_STANDING_UNKNOWN
	})},
	{"squall_fault_late", "Faults whose deadline has passed and whose end nobody has reported.", []string{"fault", "zone"}, steps(func(p *picture, r *pb.Run, h report.HostStep) bool {
		return h.Overdue(r, p.Now.UnixNano())
	})},
	{"squall_residue_hosts", "Hosts that are not shown clean: with residue, or not heard from.", []string{"zone"}, func(p *picture, to sums) {
		p.everyZone(to)
		for _, c := range report.Residue(p.View) {
			to.add(1, p.zone(c.GetHost()))
		}
	}},
	{"squall_residue_items", "Things that hosts said are left of faults.", []string{"zone"}, func(p *picture, to sums) {
		p.everyZone(to)
		for _, c := range report.Residue(p.View) {
			to.add(float64(len(c.GetResidue())), p.zone(c.GetHost()))
		}
	}},
	{"squall_halt_engaged", "1 while the halt lever is engaged.", nil, func(p *picture, to sums) { to.add(flag(p.View.Halt().GetEngaged())) }},
	{"squall_schedules", "Schedules, by whether they are paused.", []string{"state"}, func(p *picture, to sums) {
		to.add(0, "active")
		to.add(0, "paused")
		for _, s := range p.View.Schedules() {
			if s.GetPausedBy() != nil {
				to.add(1, "paused")
			} else {
				to.add(1, "active")
			}
		}
	}},
	{"squall_experiment_since_pass_seconds", "How long ago the newest run of an experiment that passed was done; infinite where none is known. Of experiments that have a kept file, a schedule or a run that is known.", []string{"experiment"}, ofExperiments(sincePass)},
	{"squall_experiment_due_seconds", "Within how long an experiment should pass again: its file's due, or 30 days. Of the same experiments.", []string{"experiment"}, ofExperiments(dueAfter)},
	{"squall_experiment_overdue", "1 where an experiment has not passed within its due, or never did and has been known for longer, as `squall get experiments` says; else 0. Of the same experiments.", []string{"experiment"}, ofExperiments(overdue)},
}

func agents(p *picture, to sums) {
	for _, state := range []string{"connected", "lost", "barred"} {
		p.everyZone(to, state)
	}
	barred := make(map[string]bool)
	for _, b := range report.Barred(p.View) {
		barred[b.GetHost()] = true
	}
	for _, h := range p.View.Hosts() {
		state := "lost"
		if h.GetServer() != "" {
			state = "connected"
		}
		if barred[h.GetHost().GetName()] {
			state = "barred"
		}
		to.add(1, p.zones.told(h.GetHost().GetZone()), state)
	}
}

// steps counts those of runs under way by fault and zone.
func steps(wanted func(*picture, *pb.Run, report.HostStep) bool) func(*picture, sums) {
	return func(p *picture, to sums) {
		for _, r := range p.active {
			for h := range report.Steps(p.View, r) {
				if wanted(p, r, h) {
					to.add(1, experiments.FaultName(h.Step.GetFault()), p.zone(h.Slot.GetHost()))
				}
			}
		}
	}
}

// ofExperiments tells a figure of the experiments that are known: those on
// schedules first, until there are too many.
func ofExperiments(read func(p *picture, d *pb.Due) float64) func(*picture, sums) {
	return func(p *picture, to sums) {
		for i, d := range p.dues() {
			if i < mostExperiments {
				to.add(read(p, d), d.GetExperiment())
			}
		}
	}
}

// dues are the experiments that figures tell of, in the order in which they do.
func (p *picture) dues() []*pb.Due {
	if p.due == nil {
		p.due = report.Dues(p.View, p.Now)
		slices.SortStableFunc(p.due, func(a, b *pb.Due) int {
			return cmp.Compare(min(1, len(b.GetSchedules())), min(1, len(a.GetSchedules())))
		})
	}
	return p.due
}

func sincePass(p *picture, d *pb.Due) float64 {
	if d.GetPassedUnixNanos() == 0 {
		return math.Inf(1)
	}
	return max(0, p.Now.Sub(time.Unix(0, d.GetPassedUnixNanos())).Seconds())
}

func dueAfter(_ *picture, d *pb.Due) float64 { return time.Duration(d.GetDueNanos()).Seconds() }

func overdue(_ *picture, d *pb.Due) float64 { return flag(d.GetOverdue()) }

// word is an enum's value as a label, such as not_started.
func word(e protoreflect.Enum) string { return strings.ReplaceAll(text.Word(e), " ", "_") }

// runDone tells whether a run is done.
func runDone(r *pb.Run) bool { return r.GetState() == pb.RunState_RUN_STATE_DONE }

// zoneOf is a host's zone in a view, empty where it is not known.
func zoneOf(v *state.View, host string) string { return v.Host(host).GetHost().GetZone() }
