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
	s.marks = known.Marks
	c.date(s)
}

// date adds to the status what happened before cluster time was known. An
// instant is converted once: told again with each better measurement it would
// be news every time. It says whether there was any.
func (c *core) date(s *step) bool {
	if !c.now.known {
		return false
	}
	marks, back := c.dateMarks(s), c.dateRecovery(s)
	return marks || back
}

// dateMarks adds the journal's newest marks, in cluster time.
func (c *core) dateMarks(s *step) bool {
	told := len(s.status.GetJournal())
	if told >= len(s.marks) {
		return false
	}
	for _, r := range s.marks[told:] {
		m, offset := r.GetMark(), c.now.offset
		if c.bootID != "" && r.GetBootId() != c.bootID {
			// Of an earlier boot, the host's wall clock alone knows.
			offset = time.Duration(r.GetUnixNanos() - r.GetBootNanos())
		}
		s.status.Journal = append(s.status.Journal, &pb.JournalMark{
			Seq: r.GetSeq(), State: m.GetState(), Cause: m.GetCause(),
			PlannedUnixNanos: clusterNanos(m.GetPlannedBootNanos(), offset),
			ActualUnixNanos:  clusterNanos(m.GetActualBootNanos(), offset),
		})
	}
	s.status.UncertaintyNanos = int64(c.now.doubt)
	return true
}

// dateRecovery says when the workloads were ready again, or given up.
func (c *core) dateRecovery(s *step) bool {
	at := clusterNanos(int64(s.watchedUntil), c.now.offset)
	if at == 0 {
		return false
	}
	s.watchedUntil = 0
	if s.status.GetReadyAgain() {
		s.status.ReadyUnixNanos = at
	}
	for i, f := range s.status.GetRecoveryFailures() {
		f = proto.CloneOf(f) // what was told is never changed
		f.AtUnixNanos, s.status.RecoveryFailures[i] = at, f
	}
	return true
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
