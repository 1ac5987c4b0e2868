package step

import (
	"context"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"squall/agent/fault"
	"squall/agent/host"
	pb "squall/proto/squall/v1"
)

// armLimit is how long an injection may take, beside the wait for its start.
const armLimit = 15 * time.Second

// injection is one that is under way: a kill waits inside it for its instant,
// and the step must be able to end meanwhile.
type injection struct {
	// armed is closed when nothing is left to do but wait.
	armed chan struct{}
	// done is closed when err is set.
	done chan struct{}
	err  error
}

// armedKey is the context key of a func() that says that a step is armed.
type armedKey struct{}

// armingHost is a host that tells when all that is left is a kill at its instant.
type armingHost struct{ host.Host }

// Do implements host.Host.
func (h armingHost) Do(ctx context.Context, op *pb.Op) error {
	if tell, ok := ctx.Value(armedKey{}).(func()); ok && op.GetKillWorkloads() != nil {
		tell()
	}
	return h.Host.Do(ctx, op)
}

// arm injects. The intent is on disk before the first change.
func (s *step) arm(ctx context.Context) bool {
	began := s.e.host.Boot()
	at, arming := s.beginArming(ctx)
	changes, err := s.plan(arming, at)
	if err != nil {
		s.endArming()
		return s.failed(ctx, err)
	}
	in := &injection{armed: make(chan struct{}), done: make(chan struct{})}
	s.injection = in
	arming = context.WithValue(arming, armedKey{}, sync.OnceFunc(func() { close(in.armed) }))
	s.e.group.Go(func() {
		defer s.poke()
		defer close(in.done)
		in.err = s.e.runner.Inject(arming, intentOf(at, changes))
	})
	select {
	case <-in.armed:
	case <-in.done:
		if in.err != nil {
			return true // landed tells
		}
	}
	armed := s.e.host.Boot()
	s.e.learnArming(armed - began)
	return s.record(&pb.Mark{
		State: pb.StepState_STEP_STATE_ARMED, PlannedBootNanos: int64(at.Start), ActualBootNanos: int64(armed),
	})
}

// landed looks whether an injection has come to its end, and says whether the
// step goes on.
func (s *step) landed(ctx context.Context) bool {
	if s.injection == nil {
		return true
	}
	select {
	case <-s.injection.done:
	default:
		return true
	}
	err := s.injection.err
	s.injection = nil
	s.endArming()
	return err == nil || s.failed(ctx, err)
}

// beginArming gives the injection a context that news, or its limit, ends.
func (s *step) beginArming(ctx context.Context) (*fault.Step, context.Context) {
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	s.e.renewHost()
	arming, cancel := context.WithTimeout(ctx, lead+armLimit)
	if s.stopArming = cancel; s.dropped != 0 {
		cancel()
	}
	return &fault.Step{Task: proto.CloneOf(s.task), Start: s.start, End: s.end, Deadline: s.deadline}, arming
}

// endArming frees that context. It may be called again.
func (s *step) endArming() {
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	if s.stopArming != nil {
		s.stopArming()
		s.stopArming = nil
	}
}

func intentOf(at *fault.Step, changes []*pb.Change) *pb.Intent {
	return &pb.Intent{
		Run: at.Task.GetRun(), Step: at.Task.GetStep(), Changes: changes, Task: at.Task,
		StartBootNanos: int64(at.Start), EndBootNanos: int64(at.End), DeadlineBootNanos: int64(at.Deadline),
	}
}

// failed ends a step that could not be armed. A change that failed has been
// reverted by the runner; one that was cut off is reverted here, unless the
// engine itself is ending: then the journal's next owner does it.
func (s *step) failed(ctx context.Context, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	if known, ok := s.e.runner.Step(s.key.run, s.key.step); ok && known.Open() && known.Intent != nil {
		s.revert(ctx, s.cutOff())
		return false
	}
	s.closeSchedule(pb.RevertCause_REVERT_CAUSE_UNSPECIFIED)
	s.refuse(problemOf(err))
	return false
}

// cutOff is why an injection was cut off: it was dropped, or it hung.
func (s *step) cutOff() pb.RevertCause {
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	if s.dropped != 0 {
		return s.dropped
	}
	return pb.RevertCause_REVERT_CAUSE_CRASH
}

// learnArming learns what arming takes here: the estimate follows a slower arming at
// once and a faster one slowly.
func (e *Engine) learnArming(took time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.armCost = max(took, e.armCost*7/8, minPace/8)
}
