package observe

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"squall/experiments"
	"squall/experiments/schedule"
	pb "squall/proto/squall/v1"
	"squall/server/report"
	"squall/server/state"
)

// tally counts what is new in the state from one look to the next. The first look
// counts nothing: what was there before this process is not for its counters.
type tally struct {
	runs, injections *prometheus.CounterVec
	expiries         prometheus.Counter
	slots            *prometheus.CounterVec
	skew, late       *prometheus.HistogramVec

	// done are the runs that were done at the last look, nil before the first, and
	// dealt the last slot of each schedule.
	done  map[string]bool
	dealt map[string]*pb.SlotRecord
	// begun are the experiments that have counters, and fresh those that have them
	// since this look. Verdicts of these wait for the next one.
	begun, fresh       map[string]bool
	waiting            []prometheus.Labels
	experiments, zones known
}

func newTally() *tally {
	t := &tally{
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "squall_runs_total", Help: "Runs that were done, since this server began.",
		}, []string{"experiment", "verdict"}),
		injections: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "squall_fault_injections_total", Help: "What became of faults, one for each step on each host, counted when their run is done.",
		}, []string{"fault", "zone", "result"}),
		expiries: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "squall_lease_expiries_total", Help: "Faults that hosts have reverted since their lease ran out, counted when their run is done.",
		}),
		slots: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "squall_schedule_slots_total", Help: "Slots of schedules by what became of them: begun on time; late, more than 10 s after their instant; skipped, missed, refused; or unknown, of before a restore.",
		}, []string{"outcome"}),
		skew:        newOff("squall_fault_start_skew_seconds", "How long after its planned instant a fault held on a host, counted when its run is done; of hosts that were armed in time."),
		late:        newOff("squall_fault_revert_late_seconds", "How long after its planned instant a fault was reverted on a host, counted when its run is done."),
		experiments: make(known), zones: make(known), begun: make(map[string]bool),
	}
	t.slots.WithLabelValues(onTime)
	t.slots.WithLabelValues(late)
	for o := range pb.SlotOutcome_name {
		if o := pb.SlotOutcome(o); o > pb.SlotOutcome_SLOT_OUTCOME_BEGUN {
			t.slots.WithLabelValues(word(o))
		}
	}
	return t
}

// newOff is a histogram of how far from their plan faults began or ended.
func newOff(name, help string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: name, Help: help, Buckets: []float64{.0005, .001, .002, .005, .01, .02, .05, .1, .5, 1, 5, 30},
	}, []string{"fault"})
}

// take counts what a view has that the one before had not. Runs are told apart as
// long as they are kept: of more than the hundred that are, done between two
// looks, the oldest are not counted.
func (t *tally) take(v *state.View) {
	first := t.done == nil
	t.countWaiting()
	t.begin(v)
	done := make(map[string]bool)
	for _, r := range v.Runs() {
		if !runDone(r) {
			continue
		}
		done[r.GetId()] = true
		if !first && !t.done[r.GetId()] {
			t.countRun(v, r)
		}
	}
	dealt := make(map[string]*pb.SlotRecord)
	for _, s := range v.Schedules() {
		dealt[s.GetName()] = lastDealt(s)
		if !first {
			t.countSlots(s, t.dealt[s.GetName()])
		}
	}
	t.done, t.dealt = done, dealt
}

// begin tells the counters of experiments before there is anything to count: what
// first comes as 1 is no increase.
func (t *tally) begin(v *state.View) {
	t.fresh = make(map[string]bool)
	for _, s := range v.Schedules() {
		t.beginRuns(s.GetExperiment().GetName())
	}
	for _, r := range v.Runs() {
		t.beginRuns(r.GetExperiment().GetName())
	}
}

func (t *tally) beginRuns(experiment string) {
	experiment = t.experiments.told(experiment, mostExperiments)
	if t.begun[experiment] {
		return
	}
	t.begun[experiment], t.fresh[experiment] = true, true
	for v := pb.Verdict_VERDICT_PASS; v <= pb.Verdict_VERDICT_DONE; v++ {
		t.runs.WithLabelValues(experiment, word(v))
	}
}

// countWaiting counts the runs whose counters were told at the last look first.
func (t *tally) countWaiting() {
	for _, labels := range t.waiting {
		t.runs.With(labels).Inc()
	}
	t.waiting = nil
}

func (t *tally) countRun(v *state.View, r *pb.Run) {
	experiment := t.experiments.told(r.GetExperiment().GetName(), mostExperiments)
	labels := prometheus.Labels{"experiment": experiment, "verdict": word(r.GetVerdict())}
	if t.fresh[experiment] {
		t.waiting = append(t.waiting, labels)
	} else {
		t.runs.With(labels).Inc()
	}
	for h := range report.Steps(v, r) {
		t.countStep(v, h)
	}
}

func (t *tally) countStep(v *state.View, h report.HostStep) {
	fault := experiments.FaultName(h.Step.GetFault())
	t.injections.WithLabelValues(fault, t.zones.told(zoneOf(v, h.Slot.GetHost()), mostZones), result(h)).Inc()
	if h.Status.GetCause() == pb.RevertCause_REVERT_CAUSE_LEASE {
		t.expiries.Inc()
	}
	for _, skew := range h.Skew {
		t.skew.WithLabelValues(fault).Observe(time.Duration(skew).Seconds())
	}
	for _, late := range h.Late {
		t.late.WithLabelValues(fault).Observe(time.Duration(late).Seconds())
	}
}

// result is what became of a step on a host, of a run that is done.
func result(h report.HostStep) string {
	if h.Status.GetState() == pb.StepState_STEP_STATE_REFUSED {
		return word(pb.StepState_STEP_STATE_REFUSED)
	}
	return word(h.Standing)
}

// lastDealt is the last slot that a schedule has dealt with, and what became of it
// as far as that is kept.
func lastDealt(s *pb.Scheduled) *pb.SlotRecord {
	if n := len(s.GetHistory()); n > 0 {
		return s.GetHistory()[n-1]
	}
	return &pb.SlotRecord{Slot: s.GetWatermark()}
}

// countSlots counts the slots after the last one that was there before, and that
// one again where it had begun and came to something else: its run was skipped, or
// another try was refused. Those of a schedule that is new (last is nil) were all
// dealt with since.
func (t *tally) countSlots(s *pb.Scheduled, last *pb.SlotRecord) {
	const begun = pb.SlotOutcome_SLOT_OUTCOME_BEGUN
	for _, became := range s.GetHistory() {
		changed := became.GetSlot() == last.GetSlot() && last.GetOutcome() == begun && became.GetOutcome() != begun
		if last == nil || became.GetSlot() > last.GetSlot() || changed {
			t.slots.WithLabelValues(outcome(s, became)).Add(float64(max(became.GetCount(), 1)))
		}
	}
}

const (
	onTime = "on_time"
	late   = "late"
	// punctual is how long after its slot a run may begin and be on time: more than a
	// change of leaders takes.
	punctual = 10 * time.Second
)

// outcome is what became of a slot, as a label.
func outcome(s *pb.Scheduled, became *pb.SlotRecord) string {
	if became.GetOutcome() != pb.SlotOutcome_SLOT_OUTCOME_BEGUN {
		return word(became.GetOutcome())
	}
	if start, ok := slotStart(s, became.GetSlot()); ok && time.Unix(0, became.GetAtUnixNanos()).Sub(start) > punctual {
		return late
	}
	return onTime
}

// slotStart is a slot's instant.
func slotStart(s *pb.Scheduled, civil string) (time.Time, bool) {
	at, err := time.Parse(schedule.CivilLayout, civil)
	if err != nil {
		return time.Time{}, false
	}
	calendar, err := schedule.Of(s)
	if err != nil {
		return time.Time{}, false
	}
	slots, err := calendar.After(at.Add(-time.Minute).Format(schedule.CivilLayout))
	if err != nil {
		return time.Time{}, false
	}
	for slot := range slots {
		return slot.Start, slot.Civil == civil
	}
	return time.Time{}, false
}
