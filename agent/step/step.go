package step

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"squall/agent/fault"
	"squall/agent/host"
	"squall/agent/undo"
	pb "squall/proto/squall/v1"
)

const (
	// firstArmCost is the estimate before the first arming.
	firstArmCost = 10 * time.Millisecond
	// freshFacts is how old facts may be when a plan is made from them.
	freshFacts = 2 * time.Second
	// longestNap bounds a wait, because a suspended machine's timers are late.
	longestNap = time.Second
	// evidenceEvery is how often a held step reads its mechanism.
	evidenceEvery = time.Second
	// retryRevert is how long to wait before a residue is tried again.
	retryRevert = time.Second
	// revertTries bounds that.
	revertTries = 5
)

// step is one step on its way. Its goroutine alone changes its state; others
// tell it news under the engine's lock and poke it.
type step struct {
	e   *Engine
	key key
	// local steps come from the host's own socket, not from orders.
	local bool
	wake  chan struct{}

	// Guarded by e.mu.
	task    *pb.Task
	status  *pb.StepStatus
	dropped pb.RevertCause
	started bool
	// done says that the goroutine has ended, or never will begin.
	done                 bool
	start, end, deadline time.Duration
	born, scheduled      time.Duration
	// missed is until when the firing that came too late was to be obeyed, in
	// Unix nanoseconds; 0 when none did.
	missed int64
	// stopArming ends an injection that is under way; nil when there is none.
	stopArming context.CancelFunc

	// Owned by the goroutine.
	prefixes  []string
	facts     *pb.Facts
	factsAt   time.Duration
	evidenced time.Duration
	// injection is under way, or nil.
	injection *injection
	// reading is under way, or nil.
	reading *reading
	// seen is the newest reading of the mechanism, told the one that others see.
	seen, told []*pb.Evidence
}

// newStep takes a task up. The caller holds e.mu.
func (e *Engine) newStep(t *pb.Task) *step {
	return &step{
		e: e, key: key{t.GetRun(), t.GetStep()}, wake: make(chan struct{}, 1), task: t, born: e.host.Boot(),
		status: &pb.StepStatus{Run: t.GetRun(), Step: t.GetStep(), Host: e.name},
	}
}

// adopt makes a step from the journal. One that is still open ends as a crash:
// the journal's owner before this one did not get to it.
func (e *Engine) adopt(known *undo.Step) *step {
	task := known.Intent.GetTask()
	if task == nil {
		task = known.Schedule.GetTask()
	}
	if task == nil {
		task = &pb.Task{Run: known.Run, Step: known.Step}
	}
	s := e.newStep(task)
	s.status.State, s.status.Cause = known.State, known.Cause
	s.status.Residue, s.status.Drift = known.Residue, known.Drift
	s.start = time.Duration(known.Intent.GetStartBootNanos())
	s.end = time.Duration(known.Intent.GetEndBootNanos())
	s.deadline = known.Deadline()
	if known.Open() {
		s.dropped = pb.RevertCause_REVERT_CAUSE_CRASH
	} else {
		s.done, s.started = true, true
	}
	return s
}

// learn takes a newer version of the task. The caller holds e.mu. Instants
// never move once a firing was obeyed: they were converted once.
func (s *step) learn(t *pb.Task) {
	if s.obeys() {
		fired := proto.CloneOf(s.task)
		fired.Token = fired.GetToken() || t.GetToken()
		t = fired
	}
	s.task = t
	s.poke()
}

// drop ends the step for a reason; the first one counts. The caller holds e.mu.
func (s *step) drop(cause pb.RevertCause) {
	if s.dropped == 0 && !s.over() {
		s.dropped = cause
	}
	if s.stopArming != nil {
		s.stopArming()
	}
	s.poke()
}

func (s *step) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// over says that the step is reverted or refused. The caller holds e.mu.
func (s *step) over() bool {
	state := s.status.GetState()
	return state == pb.StepState_STEP_STATE_REVERTED || state == pb.StepState_STEP_STATE_REFUSED
}

// injected says that the host may be changed. The caller holds e.mu.
func (s *step) injected() bool {
	switch s.status.GetState() {
	case pb.StepState_STEP_STATE_ARMED, pb.StepState_STEP_STATE_HELD, pb.StepState_STEP_STATE_RETURNING:
		return true
	}
	return false
}

// lease is the step's. The caller holds e.mu.
func (s *step) lease() time.Duration {
	if lease := time.Duration(s.task.GetLeaseNanos()); lease > 0 {
		return lease
	}
	return DefaultLease
}

// run moves the step to its end. When ctx ends first, what is held stays held.
func (s *step) run(ctx context.Context) {
	defer s.finish()
	defer s.endArming()
	if s.state() == pb.StepState_STEP_STATE_UNSPECIFIED && !s.prepare(ctx) {
		return
	}
	for ctx.Err() == nil && s.landed(ctx) && s.move(ctx, decide(s.view())) {
	}
}

// finish lets the tombstone go where the machine has recorded it meanwhile.
func (s *step) finish() {
	s.change(func() { s.done = s.over() })
	if err := s.e.tidy(); err != nil {
		s.e.log.Error("forget", "run", s.key.run, "step", s.key.step, "err", err)
	}
}

// current is the task as it is known now.
func (s *step) current() *pb.Task {
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	return s.task
}

// move does one thing and says whether there is more to come.
func (s *step) move(ctx context.Context, m move) bool {
	switch m.verb {
	case wait:
		s.watch(ctx)
		s.nap(ctx, m.until)
	case schedule:
		return s.schedule(ctx)
	case arm:
		return s.arm(ctx)
	case hold:
		return s.mark(pb.StepState_STEP_STATE_HELD, s.startedAt())
	case giveBack:
		return s.mark(pb.StepState_STEP_STATE_RETURNING, s.e.host.Boot())
	case revert:
		s.revert(ctx, m.cause)
		return false
	case letGo:
		s.letGo(m)
		return false
	}
	return true
}

func (s *step) state() pb.StepState {
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	return s.status.GetState()
}

// view is what the next move depends on, as of now.
func (s *step) view() view {
	now := s.e.host.Boot()
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	v := view{
		now: now, state: s.status.GetState(), start: s.start, end: s.end, deadline: s.deadline,
		fired: s.obeys(), needsToken: s.task.GetNeedsToken(), token: s.task.GetToken(),
		hold: s.task.GetHoldWithoutLease(), dropped: s.dropped, lease: s.leaseEnd(), injecting: s.injection != nil,
	}
	near := s.start-s.scheduled <= s.lease()
	v.renewed = near || s.e.granted >= s.scheduled
	return v
}

// obeys says that the step has fired, in time. The caller holds e.mu.
func (s *step) obeys() bool {
	until := s.task.GetObeyUntilUnixNanos()
	return s.task.GetFire() && (until == 0 || until != s.missed)
}

// tooLate says that a firing is not obeyed any more at a cluster time: others
// may have heard of it before its instant, and nobody is to begin alone.
func tooLate(t *pb.Task, unix time.Duration) bool {
	until := time.Duration(t.GetObeyUntilUnixNanos())
	return until != 0 && unix > until
}

// miss lets a firing go by, and learns of one that came meanwhile. The caller
// holds e.mu.
func (s *step) miss(t *pb.Task) {
	s.missed = t.GetObeyUntilUnixNanos()
	for _, newer := range s.e.order.GetTasks() {
		if newer.GetRun() == s.key.run && newer.GetStep() == s.key.step {
			s.learn(newer)
		}
	}
}

// leaseEnd is when the step's lease runs out. A step that is only prepared
// counts from when it was heard of, too. The caller holds e.mu.
func (s *step) leaseEnd() time.Duration {
	from := s.e.granted
	if s.status.GetState() == pb.StepState_STEP_STATE_READY {
		from = max(from, s.born)
	}
	if from < 0 {
		return from
	}
	return from + s.lease()
}

// nap waits until a boot time, for news, or for ctx.
func (s *step) nap(ctx context.Context, until time.Duration) {
	left := min(until-s.e.host.Boot(), longestNap)
	if until == forever {
		left = longestNap
	}
	timer := time.NewTimer(max(left, 0))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.wake:
	case <-ctx.Done():
	}
}

// prepare plans the step without touching anything. Ready is who could begin at
// once: a host that has only just found its servers has no lease yet.
func (s *step) prepare(ctx context.Context) bool {
	if h := s.e.Halted(); h != nil {
		s.refuse(HaltedProblem(h))
		return false
	}
	changes, err := s.plan(ctx, s.nominal())
	if err != nil {
		s.refuse(problemOf(err))
		return false
	}
	s.awaitLease(ctx)
	s.change(func() {
		s.status.State = pb.StepState_STEP_STATE_READY
		s.status.Order = &pb.OrderMark{Epoch: s.e.order.GetEpoch(), Index: s.e.order.GetIndex()}
		s.status.Touches = fault.Describe(changes)
		s.status.Engine = fault.Engine(s.facts, s.task.GetFault())
		s.status.ArmNanos = int64(s.e.armCost)
	})
	return true
}

// awaitLease returns when a lease is alive or the step is called off, at last
// after as long as a lease: then the step is to end as one without.
func (s *step) awaitLease(ctx context.Context) {
	s.e.mu.Lock()
	until := s.born + s.lease()
	s.e.mu.Unlock()
	for v := s.view(); ctx.Err() == nil && v.dropped == 0 && v.now >= v.lease && v.now < until; v = s.view() {
		s.nap(ctx, until)
	}
}

// nominal is the step as it would be if it began now: the plan must not wait
// for the instants to be refused.
func (s *step) nominal() *fault.Step {
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	now := s.e.host.Boot()
	t := s.task
	return &fault.Step{
		Task: t, Start: now, End: now + time.Duration(t.GetEndUnixNanos()-t.GetStartUnixNanos()),
		Deadline: now + time.Duration(t.GetDeadlineUnixNanos()-t.GetStartUnixNanos()), Prefixes: s.prefixes,
	}
}

// plan reads the host and asks the planner. What falls silent is read as late
// as this, so that a kill can't hide it.
func (s *step) plan(ctx context.Context, at *fault.Step) ([]*pb.Change, error) {
	if s.prefixes == nil && at.Task.GetAddressSet() != "" {
		prefixes, err := s.e.awaitSet(ctx, at.Task.GetAddressSet())
		if err != nil {
			return nil, err
		}
		s.prefixes = prefixes
	}
	at.Prefixes = s.prefixes
	if now := s.e.host.Boot(); s.facts == nil || now-s.factsAt > freshFacts {
		facts, err := s.e.host.Facts(ctx)
		if err != nil {
			return nil, fmt.Errorf("read facts: %w", err)
		}
		s.facts, s.factsAt = facts, now
	}
	return fault.Plan(s.facts, at)
}

// schedule converts the instants to boot time, once, and keeps them on disk. A
// step that arms at once needs no record of its own: its intent has the same.
func (s *step) schedule(ctx context.Context) bool {
	offset, _, ok := s.e.clock.Offset()
	if !ok {
		s.nap(ctx, s.e.host.Boot()+minPace)
		return true
	}
	task := proto.CloneOf(s.current())
	start := time.Duration(task.GetStartUnixNanos()) - offset
	now := s.e.host.Boot()
	if tooLate(task, now+offset) {
		s.change(func() { s.miss(task) })
		return true
	}
	later := now < start-lead
	if later {
		record := &pb.ScheduleRecord{Task: task, UnixMinusBootNanos: int64(offset)}
		if err := s.e.runner.Schedule(ctx, record); err != nil {
			s.refuse(problemOf(err))
			return false
		}
	}
	s.e.mu.Lock()
	s.start, s.scheduled = start, now
	s.end = time.Duration(task.GetEndUnixNanos()) - offset
	s.deadline = time.Duration(task.GetDeadlineUnixNanos()) - offset
	s.status.State = pb.StepState_STEP_STATE_SCHEDULED
	s.e.mu.Unlock()
	if later {
		s.e.notify()
	}
	return true
}

// letGo ends a step of which nothing was injected.
func (s *step) letGo(m move) {
	s.closeSchedule(m.cause)
	p := &pb.Problem{Refusal: pb.Refusal_REFUSAL_HOST, Message: "not injected: " + m.why}
	if h := s.e.Halted(); h != nil && m.cause == pb.RevertCause_REVERT_CAUSE_HALT {
		p = HaltedProblem(h)
	}
	s.change(func() { s.status.Cause = m.cause })
	s.refuse(p)
}

// closeSchedule says on disk that a scheduled step will not be armed.
func (s *step) closeSchedule(cause pb.RevertCause) {
	known, ok := s.e.runner.Step(s.key.run, s.key.step)
	if !ok || !known.Open() {
		return
	}
	err := s.e.runner.Mark(&pb.Mark{
		Run: s.key.run, Step: s.key.step, State: pb.StepState_STEP_STATE_REFUSED, Cause: cause,
		ActualBootNanos: int64(s.e.host.Boot()),
	})
	if err != nil {
		s.e.log.Error("close schedule", "run", s.key.run, "step", s.key.step, "err", err)
	}
}

func (s *step) refuse(p *pb.Problem) {
	s.e.log.Info("step refused", "run", s.key.run, "step", s.key.step, "why", p.GetMessage())
	s.change(func() {
		s.status.State, s.status.Refused = pb.StepState_STEP_STATE_REFUSED, p
	})
}

// change edits what others read, and tells them.
func (s *step) change(edit func()) {
	s.e.mu.Lock()
	edit()
	s.e.mu.Unlock()
	s.e.notify()
}

// problemOf tells an error to people, with what sort of refusal it is.
func problemOf(err error) *pb.Problem {
	var refused *fault.Refused
	switch {
	case errors.As(err, &refused):
		return refused.Problem
	case errors.Is(err, undo.ErrFull):
		return &pb.Problem{
			Refusal: pb.Refusal_REFUSAL_DISK, Message: err.Error(),
			Fix: "free disk space; what is under way can still be undone",
		}
	case errors.Is(err, host.ErrUnsupported):
		return &pb.Problem{
			Refusal: pb.Refusal_REFUSAL_HOST, Message: err.Error(), Fix: "see `squall doctor` on that host",
		}
	}
	return &pb.Problem{Refusal: pb.Refusal_REFUSAL_HOST, Message: err.Error()}
}
