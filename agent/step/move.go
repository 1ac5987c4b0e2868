package step

import (
	"time"

	"google.golang.org/protobuf/proto"

	"squall/agent/fault"
	"squall/agent/host"
	pb "squall/proto/squall/v1"
)

// move does one thing, and says whether to decide again at once.
func (c *core) move(s *step, m move) bool {
	switch m.verb {
	case prepare:
		c.plan(s, c.nominal(s))
	case getReady:
		c.getReady(s)
		return true
	case schedule:
		return c.schedule(s)
	case arm:
		c.arm(s)
	case hold:
		c.mark(s, pb.StepState_STEP_STATE_HELD, s.start, max(s.start, s.armedAt))
		return true
	case giveBack:
		c.mark(s, pb.StepState_STEP_STATE_RETURNING, s.end, c.now.boot)
		return true
	case revert:
		c.revert(s, m.cause)
	case letGo:
		c.letGo(s, m)
	}
	return false
}

// plan asks for the changes of a step. What falls silent is read as late as
// this, so that a kill can't hide it.
func (c *core) plan(s *step, at *fault.Step) {
	if s.prefixes == nil {
		s.prefixes = c.sets[s.task.GetAddressSet()]
	}
	at.Prefixes = s.prefixes
	s.work, s.from = planningWork, c.now.boot
	e := planning{key: s.key, at: at}
	if s.facts != nil && c.now.boot-s.factsAt <= freshFacts {
		e.facts, e.factsAt = s.facts, s.factsAt
	}
	c.do(e)
}

func (c *core) getReady(s *step) {
	s.state = pb.StepState_STEP_STATE_READY
	s.status.State = s.state
	s.status.Order = &pb.OrderMark{Epoch: c.order.GetEpoch(), Index: c.order.GetIndex()}
	s.status.Touches = host.Describe(s.changes)
	s.status.Engine = fault.Engine(s.facts, s.task.GetFault())
	s.status.ArmNanos = int64(c.armCost)
	c.tell(s)
}

// schedule converts the instants to boot time, once, and keeps them on disk. A
// step that arms at once needs no record of its own: its intent has the same.
func (c *core) schedule(s *step) bool {
	if tooLate(s.task, c.now.boot+c.now.offset) {
		c.miss(s)
		return true
	}
	offset := c.now.offset
	s.scheduled, s.exact = c.now.boot, false
	s.start = time.Duration(s.task.GetStartUnixNanos()) - offset
	s.end = time.Duration(s.task.GetEndUnixNanos()) - offset
	s.deadline = time.Duration(s.task.GetDeadlineUnixNanos()) - offset
	if c.now.boot >= s.start-lead {
		s.state = pb.StepState_STEP_STATE_SCHEDULED
		s.status.State = s.state
		return true
	}
	s.work = schedulingWork
	c.do(scheduling{&pb.ScheduleRecord{Task: proto.CloneOf(s.task), UnixMinusBootNanos: int64(offset)}})
	return false
}

// tooLate says that a firing is not obeyed any more at a cluster time: others
// may have heard of it before its instant, and nobody is to begin alone.
func tooLate(t *pb.Task, unix time.Duration) bool {
	until := time.Duration(t.GetObeyUntilUnixNanos())
	return until != 0 && unix > until
}

// miss lets a firing go by, and learns of one that came meanwhile.
func (c *core) miss(s *step) {
	s.missed = s.task.GetObeyUntilUnixNanos()
	for _, newer := range c.order.GetTasks() {
		if keyOf(newer) == s.key {
			s.learn(newer)
		}
	}
}

// arm injects what was planned just now, or plans first.
func (c *core) arm(s *step) {
	at := &fault.Step{Task: proto.CloneOf(s.task), Start: s.start, End: s.end, Deadline: s.deadline}
	if !s.exact || c.now.boot-s.plannedAt > freshFacts {
		s.exact = true
		c.plan(s, at)
		return
	}
	s.injecting, s.touched = true, true
	c.do(injecting{lease: max(c.granted, 0) + s.lease(), intent: &pb.Intent{
		Run: s.key.run, Step: s.key.step, Changes: s.changes, Task: at.Task, StartBootNanos: int64(s.start), Local: s.local,
		EndBootNanos: int64(s.end), DeadlineBootNanos: int64(s.deadline),
	}})
}

// mark notes that the step has moved on, and when it should have. Others see it
// when it stands in the journal.
func (c *core) mark(s *step, state pb.StepState, planned, actual time.Duration) {
	s.state = state
	c.do(marking{&pb.Mark{
		Run: s.key.run, Step: s.key.step, Local: s.local, State: state,
		PlannedBootNanos: int64(planned), ActualBootNanos: int64(actual),
	}})
}

// revert undoes the step. An injection that is under way is cut off, and what
// the mechanism showed is there no more.
func (c *core) revert(s *step, cause pb.RevertCause) {
	if s.injecting || s.sight.looking {
		c.do(cutting{s.key})
	}
	if s.over() {
		cause = s.status.GetCause() // it ended once
	}
	c.lookNoMore(s)
	s.work = revertingWork
	c.do(reverting{s.key, cause})
}

// letGo ends a step of which nothing was injected.
func (c *core) letGo(s *step, m move) {
	p := &pb.Problem{Refusal: pb.Refusal_REFUSAL_HOST, Message: "not injected: " + m.why}
	if h := c.lever.halted(); h != nil && m.cause == pb.RevertCause_REVERT_CAUSE_HALT {
		p = HaltedProblem(h)
	}
	if s.work == planningWork {
		c.do(cutting{s.key})
	}
	c.refuse(s, p, m.cause)
}

// refuse ends a step of which nothing is left. What others are told stands in
// the journal first: a step that was refused is not taken up after a restart.
func (c *core) refuse(s *step, p *pb.Problem, cause pb.RevertCause) {
	s.work = nothing
	s.status.Cause, s.status.Refused = cause, p
	s.state, s.endedAt = pb.StepState_STEP_STATE_REFUSED, c.now.boot
	c.do(marking{&pb.Mark{
		Run: s.key.run, Step: s.key.step, Local: s.local, State: s.state, Cause: cause, Refused: p,
		ActualBootNanos: int64(c.now.boot),
	}})
}
