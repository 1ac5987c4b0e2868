package report

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"squall/experiments"
	pb "squall/proto/squall/v1"
	"squall/proto/text"
	"squall/server/page"
	"squall/server/state"
)

// mostSchedules is how many schedules of an experiment are named.
const mostSchedules = 20

// ListDue is a page of the experiments that are known, by name: when each last
// passed, and whether that is too long ago at an instant of cluster time.
func ListDue(v *state.View, now time.Time, req *pb.ListDueRequest) (*pb.ListDueResponse, error) {
	list := page.List[*pb.Due]{Name: "due", Entries: Dues(v, now), Key: (*pb.Due).GetExperiment}
	all, next, err := list.Cut(req)
	return &pb.ListDueResponse{Experiments: all, NextPageToken: next}, err
}

// Dues are all experiments that have a kept file, a schedule or a run of more
// than one command, by name.
func Dues(v *state.View, now time.Time) []*pb.Due {
	b := dueBook{known: make(map[string]*known)}
	for _, k := range v.Experiments() {
		b.file(k)
	}
	for _, s := range v.Schedules() {
		b.schedule(s)
	}
	open := openRuns(v)
	for _, s := range lines(v) {
		if !s.GetAdHoc() {
			b.run(s)
		}
	}
	var all []*pb.Due
	for _, k := range b.known {
		d := k.due
		if d.GetLastRun() != nil {
			d.LastRun = told(v, d.GetLastRun(), open)
		}
		d.DueNanos = cmp.Or(k.scheduled, k.kept, k.ran)
		since := cmp.Or(d.GetPassedUnixNanos(), d.GetKnownUnixNanos())
		d.Overdue = since != 0 && now.UnixNano()-since > d.GetDueNanos()
		d.Why = k.why()
		all = append(all, d)
	}
	slices.SortFunc(all, func(x, y *pb.Due) int { return cmp.Compare(x.GetExperiment(), y.GetExperiment()) })
	return all
}

// dueBook gathers what is known of experiments, by name.
type dueBook struct{ known map[string]*known }

// known is an experiment.
type known struct {
	due *pb.Due
	// scheduled, kept and ran are within how long it is due by the strictest of its
	// schedules, its newest kept version and its newest run, nanoseconds; 0 where
	// there is none. The first that there is counts.
	scheduled, kept, ran int64
	schedules            []*pb.Scheduled
	// slot is the newest slot of a schedule that began no run.
	slot *pb.SlotRecord
	of   string
}

// dueOf is within how long an experiment is due by a file that says so; 0 says nothing.
func dueOf(nanos int64) int64 { return cmp.Or(nanos, int64(experiments.UsualDue)) }

func (b dueBook) of(name string, at int64) *known {
	k := b.known[name]
	if k == nil {
		k = &known{due: &pb.Due{Experiment: name, KnownUnixNanos: at}}
		b.known[name] = k
	}
	if at != 0 && (k.due.GetKnownUnixNanos() == 0 || at < k.due.GetKnownUnixNanos()) {
		k.due.KnownUnixNanos = at
	}
	return k
}

func (b dueBook) file(f *pb.KeptExperiment) {
	for _, version := range f.GetVersions() {
		b.of(f.GetName(), version.GetPutUnixNanos()).kept = dueOf(version.GetDueNanos())
	}
}

// schedule takes a schedule up. What passed by its own record counts where the
// run itself is known no longer.
func (b dueBook) schedule(s *pb.Scheduled) {
	k := b.of(s.GetExperiment().GetName(), s.GetPutUnixNanos())
	k.schedules = append(k.schedules, s)
	due := dueOf(s.GetExperiment().GetDue().GetNanos())
	k.scheduled = min(cmp.Or(k.scheduled, due), due)
	if len(k.due.GetSchedules()) < mostSchedules {
		k.due.Schedules = append(k.due.Schedules, s.GetName())
	}
	for _, slot := range s.GetHistory() {
		switch {
		case slot.GetVerdict() == pb.Verdict_VERDICT_PASS && slot.GetAtUnixNanos() >= s.GetPutUnixNanos():
			k.passed(slot.GetRun(), slot.GetAtUnixNanos())
		case slot.GetRun() == "" && slot.GetAtUnixNanos() >= k.slot.GetAtUnixNanos():
			k.slot, k.of = slot, s.GetName()
		}
	}
}

func (b dueBook) run(s *pb.RunSummary) {
	k := b.of(s.GetExperiment(), s.GetAdmittedUnixNanos())
	k.due.LastRun, k.ran = s, dueOf(s.GetDueNanos())
	if s.GetVerdict() == pb.Verdict_VERDICT_PASS {
		k.passed(s.GetId(), s.GetDoneUnixNanos())
	}
}

func (k *known) passed(run string, at int64) {
	if at >= k.due.GetPassedUnixNanos() {
		k.due.PassedUnixNanos, k.due.PassedRun = at, run
	}
}

// why says why no newer run passed: what holds its schedules back, what became of
// their last slot, or of the last run.
func (k *known) why() string {
	last, d := k.due.GetLastRun(), k.due
	switch {
	case k.pausedAll():
		s := k.schedules[0]
		return fmt.Sprintf("schedule %s is paused by %s", s.GetName(), s.GetPausedBy().GetName()) + reason(s.GetPausedBy().GetWhy())
	case k.slot != nil && k.slot.GetAtUnixNanos() > last.GetAdmittedUnixNanos():
		return fmt.Sprintf("slot %s of %s was %s", k.slot.GetSlot(), k.of, text.Word(k.slot.GetOutcome())) + reason(k.slot.GetWhy())
	case last != nil && last.GetState() != pb.RunState_RUN_STATE_DONE:
		return fmt.Sprintf("run %s is under way", last.GetId())
	case last != nil && last.GetVerdict() != pb.Verdict_VERDICT_PASS:
		return fmt.Sprintf("run %s: %s", last.GetId(), text.Word(last.GetVerdict())) + endedBy(last)
	case len(k.schedules) == 0 && (last == nil || d.GetOverdue()):
		return "it is on no schedule"
	case last == nil && d.GetPassedRun() == "":
		return "no slot of it has come yet"
	case d.GetOverdue():
		return "no slot of it has come since"
	}
	return ""
}

func (k *known) pausedAll() bool {
	return len(k.schedules) > 0 && !slices.ContainsFunc(k.schedules, func(s *pb.Scheduled) bool { return s.GetPausedBy() == nil })
}

func reason(why string) string {
	if why == "" {
		return ""
	}
	return ": " + cut(why, 200)
}

// endedBy says what ended a run before its time; empty where nothing did.
func endedBy(s *pb.RunSummary) string {
	if s.GetEndCause() <= pb.EndCause_END_CAUSE_COMPLETE {
		return ""
	}
	return ", ended by " + text.Word(s.GetEndCause())
}
