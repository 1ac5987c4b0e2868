package undo

import (
	"cmp"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
)

// Step is what the journal knows of one step. It is a copy.
type Step struct {
	Run, Step string
	State     pb.StepState
	Cause     pb.RevertCause
	// Intent is nil for a step that was scheduled and never armed.
	Intent *pb.Intent
	// Schedule is nil for a step that was armed without one.
	Schedule *pb.ScheduleRecord
	Marks    []*pb.Record
	Residue  []string
	Drift    []string
	// BootID is that of the boot in which the step was armed.
	BootID string
}

// Deadline is the boot time by which the step is reverted whatever happens; 0
// for a step that was never armed.
func (s *Step) Deadline() time.Duration { return time.Duration(s.Intent.GetDeadlineBootNanos()) }

// Open says that the step may have changed the host, or is due to.
func (s *Step) Open() bool {
	return s.State != pb.StepState_STEP_STATE_REVERTED && s.State != pb.StepState_STEP_STATE_REFUSED
}

type key struct{ run, step string }

// memory is the fold of the journal's records.
type memory struct {
	steps   map[key]*entry
	order   *pb.Record
	latches [2]*pb.Record // as committed, and local
}

// entry holds the records that describe a step, so that compaction writes back
// exactly what was there.
type entry struct {
	schedule, intent *pb.Record
	marks            []*pb.Record
}

func newMemory() *memory { return &memory{steps: map[key]*entry{}} }

// apply is idempotent, so that records read twice do no harm.
func (m *memory) apply(r *pb.Record) {
	switch k := r.GetKind().(type) {
	case *pb.Record_Schedule:
		m.entry(k.Schedule.GetTask().GetRun(), k.Schedule.GetTask().GetStep()).schedule = r
	case *pb.Record_Intent:
		m.entry(k.Intent.GetRun(), k.Intent.GetStep()).intent = r
	case *pb.Record_Mark:
		m.entry(k.Mark.GetRun(), k.Mark.GetStep()).mark(r)
	case *pb.Record_Forget:
		delete(m.steps, key{k.Forget.GetRun(), k.Forget.GetStep()})
	case *pb.Record_Order:
		if newer(k.Order, m.order.GetOrder()) {
			m.order = r
		}
	case *pb.Record_Halt:
		m.latches[latchIndex(k.Halt.GetLocal())] = r
	}
}

func (m *memory) entry(run, step string) *entry {
	e, ok := m.steps[key{run, step}]
	if !ok {
		e = &entry{}
		m.steps[key{run, step}] = e
	}
	return e
}

func (e *entry) mark(r *pb.Record) {
	if len(e.marks) == 0 || e.marks[len(e.marks)-1].GetSeq() < r.GetSeq() {
		e.marks = append(e.marks, r)
	}
}

func latchIndex(local bool) int {
	if local {
		return 1
	}
	return 0
}

// newer says that a comes after b in (epoch, index).
func newer(a, b *pb.OrderMark) bool {
	return cmp.Or(cmp.Compare(a.GetEpoch(), b.GetEpoch()), cmp.Compare(a.GetIndex(), b.GetIndex())) > 0
}

// records is everything that still matters, oldest first.
func (m *memory) records() []*pb.Record {
	var all []*pb.Record
	for _, e := range m.steps {
		all = append(append(all, e.schedule, e.intent), e.marks...)
	}
	all = append(append(all, m.order), m.latches[:]...)
	all = slices.DeleteFunc(all, func(r *pb.Record) bool { return r == nil })
	slices.SortFunc(all, func(a, b *pb.Record) int { return cmp.Compare(a.GetSeq(), b.GetSeq()) })
	return all
}

// step copies one entry out.
func (m *memory) step(k key) (*Step, bool) {
	e, ok := m.steps[k]
	if !ok {
		return nil, false
	}
	s := &Step{
		Run: k.run, Step: k.step, State: e.state(),
		Schedule: e.schedule.GetSchedule(), Intent: e.intent.GetIntent(), BootID: e.intent.GetBootId(),
	}
	for _, r := range e.marks {
		s.Marks = append(s.Marks, proto.CloneOf(r))
		s.Cause = r.GetMark().GetCause()
		s.Residue, s.Drift = r.GetMark().GetResidue(), r.GetMark().GetDrift()
	}
	return s, true
}

func (e *entry) state() pb.StepState {
	state := pb.StepState_STEP_STATE_SCHEDULED
	if e.intent != nil {
		state = pb.StepState_STEP_STATE_ARMED
	}
	for _, r := range e.marks {
		state = max(state, r.GetMark().GetState())
	}
	return state
}

// all copies every step out, oldest first.
func (m *memory) all() []*Step {
	keys := make([]key, 0, len(m.steps))
	for k := range m.steps {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b key) int { return cmp.Compare(m.steps[a].first(), m.steps[b].first()) })
	var steps []*Step
	for _, k := range keys {
		s, _ := m.step(k)
		steps = append(steps, s)
	}
	return steps
}

func (e *entry) first() uint64 {
	for _, r := range append([]*pb.Record{e.schedule, e.intent}, e.marks...) {
		if r != nil {
			return r.GetSeq()
		}
	}
	return 0
}
