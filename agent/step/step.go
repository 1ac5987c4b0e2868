package step

import (
	"time"

	"google.golang.org/protobuf/proto"

	"squall/agent/fault"
	"squall/agent/undo"
	pb "squall/proto/squall/v1"
)

// freshFacts is how old facts may be when a plan is made from them.
const freshFacts = 2 * time.Second

// work is what is under way for a step, of which news will come.
type work int

const (
	nothing work = iota
	planningWork
	schedulingWork
	revertingWork
)

// step is one step on its way. Its owner is the core.
type step struct {
	key key
	// local steps come from the host's own socket, not from orders.
	local bool
	task  *pb.Task
	state pb.StepState
	// dropped is why it must end; 0 while it need not.
	dropped pb.RevertCause
	work    work
	// injecting says that changes are being made, or that a kill waits in them;
	// from is when that, or the plan before it, was begun.
	injecting bool
	from      time.Duration
	// touched says that the host may be changed by it, until it is over.
	touched bool
	// early is the answer of a revert that came before its injection.
	early *revertedNews
	// swept says that a sweep which doesn't know the step is under way.
	swept bool

	prefixes []string
	// changes are those of the newest plan, of plannedAt, made from facts as of
	// factsAt. It is exact when it knows the instants.
	changes   []*pb.Change
	exact     bool
	plannedAt time.Duration
	facts     *pb.Facts
	factsAt   time.Duration

	born, scheduled      time.Duration
	start, end, deadline time.Duration
	armedAt              time.Duration
	// missed is until when the latest firing that came too late was to be obeyed,
	// in Unix nanoseconds; 0 when none did. Only a later one is another.
	missed int64

	sight sight

	// open says that the journal still takes an ended step for open.
	open bool
	// tries is how often what is owed was tried, again when that is due next.
	tries int
	again time.Duration
	// endedAt is when it was over; 0 in an earlier life.
	endedAt time.Duration
	// recovering says that workloads are watched until they are ready.
	recovering bool
	// watchedUntil is when that was over; 0 once it is told in cluster time.
	watchedUntil time.Duration
	forgetting   bool

	// marks are those of the journal.
	marks []*pb.Record
	// status is what others see, as it is being made; told is what they see.
	status *pb.StepStatus
	told   *pb.StepStatus
}

func (c *core) newStep(t *pb.Task) *step {
	return &step{
		key: keyOf(t), task: t, born: c.now.boot, swept: c.sweeps > 0,
		status: &pb.StepStatus{Run: t.GetRun(), Step: t.GetStep(), Host: c.name},
	}
}

// adopt makes a step from the journal. One that is still open ends as a crash:
// the journal's owner before this one did not get to it.
func (c *core) adopt(known *undo.Step) *step {
	task := known.Intent.GetTask()
	if task == nil {
		task = known.Schedule.GetTask()
	}
	if task == nil {
		task = &pb.Task{Run: known.Run, Step: known.Step}
	}
	s := c.newStep(task)
	s.state, s.swept, s.changes = known.State, false, known.Intent.GetChanges()
	s.local = known.Local
	s.status.State, s.status.Cause, s.status.Refused = known.State, known.Cause, known.Refused
	s.start = time.Duration(known.Intent.GetStartBootNanos())
	s.end = time.Duration(known.Intent.GetEndBootNanos())
	s.deadline = known.Deadline()
	s.again = c.now.boot + retryAfter(0)
	if known.Open() {
		s.dropped = pb.RevertCause_REVERT_CAUSE_CRASH
	}
	c.learnJournal(s, known)
	c.tell(s)
	return s
}

// over says that the step is reverted or refused.
func (s *step) over() bool {
	return s.state == pb.StepState_STEP_STATE_REVERTED || s.state == pb.StepState_STEP_STATE_REFUSED
}

// injected says that what it did acts, or will.
func (s *step) injected() bool {
	return holding(s.state) || s.state == pb.StepState_STEP_STATE_RETURNING
}

// touching says that the host may be changed by it.
func (s *step) touching() bool { return !s.over() && (s.injected() || s.touched) }

// due says that the start of a scheduled step has come, and it has not begun.
func (s *step) due(now time.Duration) bool {
	return s.state == pb.StepState_STEP_STATE_SCHEDULED && !s.touched && now >= s.start
}

// settled says that the step is over, and nothing is under way for it.
func (s *step) settled() bool {
	return s.over() && s.work == nothing && !s.injecting && !s.recovering
}

// owed says that something of an ended step is left to undo or to record.
func (s *step) owed() bool { return s.over() && (s.open || len(s.status.GetResidue()) > 0) }

func (s *step) lease() time.Duration {
	if lease := time.Duration(s.task.GetLeaseNanos()); lease > 0 {
		return lease
	}
	return DefaultLease
}

// leaseEnd is when the step's lease runs out. A step that is only prepared
// counts from when it was heard of, too.
func (c *core) leaseEnd(s *step) time.Duration {
	from := c.granted
	if s.state == pb.StepState_STEP_STATE_READY {
		from = max(from, s.born)
	}
	if from < 0 {
		return from
	}
	return from + s.lease()
}

// obeys says that the step has fired, in time.
func (s *step) obeys() bool {
	until := s.task.GetObeyUntilUnixNanos()
	return s.task.GetFire() && (until == 0 || until > s.missed)
}

// learn takes a newer version of the task. Instants never move once a firing
// was obeyed: they were converted once.
func (s *step) learn(t *pb.Task) {
	if s.obeys() {
		fired := proto.CloneOf(s.task)
		fired.Token = fired.GetToken() || t.GetToken()
		t = fired
	}
	s.task = t
}

// drop ends the step for a reason; the first one counts. What an ended one
// still owes is tried at once.
func (c *core) drop(s *step, cause pb.RevertCause) {
	switch {
	case s.over():
		s.again, s.tries = c.now.boot, 0
	case s.dropped == 0:
		s.dropped = cause
	}
}

// view is what the next move depends on, as of now.
func (c *core) view(s *step) view {
	_, here := c.sets[s.task.GetAddressSet()]
	return view{
		now: c.now.boot, state: s.state, born: s.born, start: s.start, end: s.end, deadline: s.deadline,
		fired: s.obeys(), needsToken: s.task.GetNeedsToken(), token: s.task.GetToken(),
		hold: s.task.GetHoldWithoutLease(), lease: c.leaseEnd(s), of: s.lease(),
		renewed:  s.start-s.scheduled <= s.lease() || c.granted >= s.scheduled,
		waiting:  s.task.GetAddressSet() != "" && s.prefixes == nil && !here,
		prepared: s.changes != nil, timeless: !c.now.known, blocked: s.swept,
		working: s.work != nothing, injecting: s.injecting, touched: s.touched, owed: s.owed(), again: s.again, dropped: s.dropped,
	}
}

// nominal is the step as it would be if it began now: the plan must not wait
// for the instants to be refused.
func (c *core) nominal(s *step) *fault.Step {
	now, t := c.now.boot, s.task
	return &fault.Step{
		Task: t, Start: now, End: now + time.Duration(t.GetEndUnixNanos()-t.GetStartUnixNanos()),
		Deadline: now + time.Duration(t.GetDeadlineUnixNanos()-t.GetStartUnixNanos()),
	}
}
