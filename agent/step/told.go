package step

import (
	"time"

	"google.golang.org/protobuf/proto"

	"squall/agent/undo"
	pb "squall/proto/squall/v1"
)

// learnJournal takes in what the journal knows of a step.
func (c *core) learnJournal(s *step, known *undo.Step) {
	if known == nil {
		return
	}
	s.open = s.over() && known.Open()
	s.status.Residue, s.status.Drift = known.Residue, known.Drift
	s.tellMarks(c.now, known.Marks)
}

// tellMarks adds the journal's newest marks to the status, in cluster time. An
// instant is converted once: told again with each better measurement it would
// be news every time.
func (s *step) tellMarks(now instant, marks []*pb.Record) {
	s.marks = marks
	told := len(s.status.GetJournal())
	if !now.known || told >= len(marks) {
		return
	}
	for _, r := range marks[told:] {
		m := r.GetMark()
		s.status.Journal = append(s.status.Journal, &pb.JournalMark{
			Seq: r.GetSeq(), State: m.GetState(), Cause: m.GetCause(),
			PlannedUnixNanos: clusterNanos(m.GetPlannedBootNanos(), now.offset),
			ActualUnixNanos:  clusterNanos(m.GetActualBootNanos(), now.offset),
		})
	}
	s.status.UncertaintyNanos = int64(now.doubt)
}

// clusterNanos leaves an instant that was never set alone.
func clusterNanos(boot int64, offset time.Duration) int64 {
	if boot == 0 {
		return 0
	}
	return boot + int64(offset)
}

// tell shows the status as it is now. What was shown before is never changed.
func (c *core) tell(s *step) {
	if s.told != nil && proto.Equal(s.told, s.status) {
		return
	}
	s.told = proto.CloneOf(s.status)
	c.told = true
}

// statuses is every step of which something is to be told, sorted.
func (c *core) statuses() []*pb.StepStatus {
	var all []*pb.StepStatus
	for _, s := range c.sorted() {
		if s.told.GetState() != pb.StepState_STEP_STATE_UNSPECIFIED {
			all = append(all, s.told)
		}
	}
	return all
}

// picture is the state of an engine as others see it. It is never changed.
type picture struct {
	statuses []*pb.StepStatus
	// settled says of every step whether it is over and nothing is under way.
	settled  map[key]bool
	states   map[key]pb.StepState
	highest  *pb.OrderMark
	probes   []*pb.ProbeTask
	halted   *pb.HaltLatch
	damage   *pb.Damage
	missing  []string
	lease    time.Duration
	idle     bool
	deadline time.Duration
	granted  time.Duration
	armCost  time.Duration
	// next is closed when there is a newer one.
	next chan struct{}
}

func (c *core) picture() *picture {
	lease, any := c.lease()
	p := &picture{
		statuses: c.statuses(), settled: map[key]bool{}, states: map[key]pb.StepState{}, highest: c.highest,
		probes: c.order.GetProbes(), halted: c.lever.halted(), damage: c.damage, missing: c.missing(), lease: lease, idle: !any,
		deadline: c.nextDeadline(), granted: c.granted, armCost: c.armCost, next: make(chan struct{}),
	}
	for k, s := range c.steps {
		p.settled[k] = s.over() && s.work == nothing && !s.injecting
		p.states[k] = s.status.GetState()
	}
	return p
}

// status is one step of a picture; nil when nothing is told of it.
func (p *picture) status(k key) *pb.StepStatus {
	for _, s := range p.statuses {
		if keyOf(s) == k {
			return s
		}
	}
	return nil
}
