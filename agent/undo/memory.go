package undo

import (
	"cmp"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
)

const (
	// keptLocal is how many local steps that ended are remembered: no order
	// brings one back, so that only people look at them.
	keptLocal = 64
	// keptMarks bounds the marks of one step: residue that changes for ever
	// replaces the last.
	keptMarks = 16
)

// Step is what the journal knows of one step. It is a copy.
type Step struct {
	Run, Step string
	State     pb.StepState
	Cause     pb.RevertCause
	// Intent is nil for a step that was scheduled and never armed. A step that
	// ended clean has no changes in it any more.
	Intent *pb.Intent
	// Schedule is nil for a step that was armed without one.
	Schedule *pb.ScheduleRecord
	Marks    []*pb.Record
	Residue  []string
	Drift    []string
	// Refused is why the step was refused; nil where that is not known.
	Refused *pb.Problem
	// BootID is that of the boot in which the step was armed.
	BootID string
	// Local steps were asked for on the host itself.
	Local bool
}

// Deadline is the boot time by which the step is reverted whatever happens; 0
// for a step that was never armed.
func (s *Step) Deadline() time.Duration { return time.Duration(s.Intent.GetDeadlineBootNanos()) }

// Open says that the step may have changed the host, or is due to.
func (s *Step) Open() bool { return !ended(s.State) }

func ended(state pb.StepState) bool {
	return state == pb.StepState_STEP_STATE_REVERTED || state == pb.StepState_STEP_STATE_REFUSED
}

type key struct{ run, step string }

// memory is the fold of the journal's records.
type memory struct {
	steps   map[key]*entry
	order   *pb.Record
	latches [2]*pb.Record // as committed, and local
	damage  *pb.Record
	// forgotten are tombstones that were dropped here and may still be on disk.
	forgotten map[key]*pb.Record
}

// entry holds the records that describe a step, so that compaction writes back
// exactly what was there.
type entry struct {
	schedule, intent *pb.Record
	marks            []*pb.Record
	// forget is the wish to drop a step that is not clean yet.
	forget *pb.Record
}

func newMemory() *memory { return &memory{steps: map[key]*entry{}, forgotten: map[key]*pb.Record{}} }

// fold makes a memory of records in any order.
func fold(records []*pb.Record) *memory {
	slices.SortStableFunc(records, func(a, b *pb.Record) int { return cmp.Compare(a.GetSeq(), b.GetSeq()) })
	m := newMemory()
	for _, r := range records {
		m.apply(r)
	}
	return m
}

// apply is idempotent, so that records read twice do no harm.
func (m *memory) apply(r *pb.Record) {
	switch k := r.GetKind().(type) {
	case *pb.Record_Schedule:
		m.entry(k.Schedule.GetTask().GetRun(), k.Schedule.GetTask().GetStep()).schedule = r
	case *pb.Record_Intent:
		m.entry(k.Intent.GetRun(), k.Intent.GetStep()).intent = r
	case *pb.Record_Mark:
		m.mark(key{k.Mark.GetRun(), k.Mark.GetStep()}, r)
	case *pb.Record_Forget:
		m.forget(key{k.Forget.GetRun(), k.Forget.GetStep()}, r)
	case *pb.Record_Order:
		if newer(k.Order, m.order.GetOrder()) {
			m.order = r
		}
	case *pb.Record_Halt:
		m.latches[latchIndex(k.Halt.GetLocal())] = r
	case *pb.Record_Damage:
		m.damage = r
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

// mark moves a step on. Once it has ended clean its changes are of no use, and
// what was to be forgotten is.
func (m *memory) mark(k key, r *pb.Record) {
	e := m.entry(k.run, k.step)
	if slices.ContainsFunc(e.marks, func(known *pb.Record) bool {
		return known.GetSeq() == r.GetSeq() && proto.Equal(known, r)
	}) {
		return
	}
	if len(e.marks) >= keptMarks {
		e.marks = e.marks[:keptMarks-1]
	}
	e.marks = append(e.marks, r)
	if !e.clean() {
		return
	}
	if e.forget != nil {
		m.drop(k, e.forget)
		return
	}
	e.slim()
	if e.local() {
		m.expire()
	}
}

// forget drops a tombstone. Residue stays open work until it is gone.
func (m *memory) forget(k key, r *pb.Record) {
	if e, ok := m.steps[k]; ok && ended(e.state()) && !e.clean() {
		e.forget = r
		return
	}
	m.drop(k, r)
}

func (m *memory) drop(k key, r *pb.Record) {
	delete(m.steps, k)
	m.forgotten[k] = r
}

// expire drops the oldest local steps that ended clean.
func (m *memory) expire() {
	var old []key
	for k, e := range m.steps {
		if e.local() && e.clean() {
			old = append(old, k)
		}
	}
	if len(old) <= keptLocal {
		return
	}
	slices.SortFunc(old, func(a, b key) int { return cmp.Compare(m.steps[a].last(), m.steps[b].last()) })
	for _, k := range old[:len(old)-keptLocal] {
		delete(m.steps, k)
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
		all = append(append(all, e.schedule, e.intent, e.forget), e.marks...)
	}
	all = append(append(all, m.order, m.damage), m.latches[:]...)
	all = slices.DeleteFunc(all, func(r *pb.Record) bool { return r == nil })
	slices.SortFunc(all, func(a, b *pb.Record) int { return cmp.Compare(a.GetSeq(), b.GetSeq()) })
	return all
}

// everything is records, and what is known to be dropped.
func (m *memory) everything() []*pb.Record {
	all := m.records()
	for _, r := range m.forgotten {
		all = append(all, r)
	}
	return all
}

// recorded says that the disk has everything up to a record.
func (m *memory) recorded(seq uint64) {
	for k, r := range m.forgotten {
		if r.GetSeq() <= seq {
			delete(m.forgotten, k)
		}
	}
}

// open counts the steps that have yet to end, and so need room for that.
func (m *memory) open() int {
	n := 0
	for _, e := range m.steps {
		if !e.clean() {
			n++
		}
	}
	return n
}

// step copies one entry out.
func (m *memory) step(k key) (*Step, bool) {
	e, ok := m.steps[k]
	if !ok {
		return nil, false
	}
	s := &Step{
		Run: k.run, Step: k.step, State: e.state(), Local: e.local(),
		Schedule: e.schedule.GetSchedule(), Intent: e.intent.GetIntent(), BootID: e.intent.GetBootId(),
	}
	for _, r := range e.marks {
		m := r.GetMark()
		s.Marks = append(s.Marks, proto.CloneOf(r))
		s.Cause, s.Residue, s.Drift = m.GetCause(), m.GetResidue(), m.GetDrift()
		if m.GetRefused() != nil {
			s.Refused = m.GetRefused()
		}
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

// clean says that the step has ended and was shown to have left nothing.
func (e *entry) clean() bool {
	return ended(e.state()) && len(e.marks[len(e.marks)-1].GetMark().GetResidue()) == 0
}

func (e *entry) local() bool {
	return e.intent.GetIntent().GetLocal() ||
		slices.ContainsFunc(e.marks, func(r *pb.Record) bool { return r.GetMark().GetLocal() })
}

// slim drops the changes of a step that will never be undone again.
func (e *entry) slim() {
	if len(e.intent.GetIntent().GetChanges()) == 0 {
		return
	}
	r := proto.CloneOf(e.intent)
	r.GetIntent().Changes = nil
	e.intent = r
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

// last is the newest mark's.
func (e *entry) last() uint64 { return e.marks[len(e.marks)-1].GetSeq() }
