package step

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"squall/agent/fault"
	"squall/agent/undo"
	pb "squall/proto/squall/v1"
)

// errUnknownTime says that cluster time is not known yet.
var errUnknownTime = errors.New("the time is not known yet")

// Preview plans a task without touching anything, and says what it would touch.
func (e *Engine) Preview(ctx context.Context, t *pb.Task, prefixes []string) *pb.StepStatus {
	e.mu.Lock()
	s := e.newStep(t)
	e.mu.Unlock()
	s.prefixes = prefixes
	s.prepare(ctx)
	return s.status
}

// Inject takes up a task from the host's own socket and waits until it is held
// or over. The task starts as soon as arming allows and lasts for length; its
// deadline comes that much later than its end.
func (e *Engine) Inject(ctx context.Context, t *pb.Task, prefixes []string, length, grace time.Duration) (*pb.StepStatus, error) {
	t = proto.CloneOf(t)
	if err := e.stamp(t, length, grace); err != nil {
		return nil, fmt.Errorf("inject %s: %w", t.GetStep(), err)
	}
	s, err := e.adopted(t, prefixes)
	if err != nil {
		return nil, err
	}
	e.await(ctx, []*step{s}, func(s *step) bool { return s.over() || s.status.GetState() >= pb.StepState_STEP_STATE_HELD })
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("inject %s: %w", t.GetStep(), err)
	}
	return e.status(s), nil
}

// stamp gives a task its instants: it fires now.
func (e *Engine) stamp(t *pb.Task, length, grace time.Duration) error {
	offset, _, ok := e.clock.Offset()
	if !ok {
		return errUnknownTime
	}
	e.mu.Lock()
	start := e.host.Boot() + offset + e.armCost
	e.mu.Unlock()
	t.StartUnixNanos = int64(start)
	t.EndUnixNanos = int64(start + length)
	t.DeadlineUnixNanos = int64(start + length + grace)
	t.Fire = true
	return nil
}

// adopted makes a local step of a task, once.
func (e *Engine) adopted(t *pb.Task, prefixes []string) (*step, error) {
	e.orders.Lock()
	defer e.orders.Unlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	k := key{t.GetRun(), t.GetStep()}
	if _, known := e.steps[k]; known {
		return nil, fmt.Errorf("inject %s of %s: %w", k.step, k.run, undo.ErrOnce)
	}
	s := e.newStep(t)
	s.local, s.prefixes = true, prefixes
	e.steps[k] = s
	e.start(s)
	return s, nil
}

func (e *Engine) status(s *step) *pb.StepStatus {
	for _, status := range e.Statuses() {
		if status.GetRun() == s.key.run && status.GetStep() == s.key.step {
			return status
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return proto.CloneOf(s.status)
}

// Leftovers sweeps for what is ours and belongs to no step, and names what
// could not be removed. No step begins meanwhile.
func (e *Engine) Leftovers(ctx context.Context) ([]string, error) {
	e.orders.Lock()
	defer e.orders.Unlock()
	var held []string
	e.mu.Lock()
	for k, s := range e.steps {
		if !s.over() {
			held = append(held, fault.Tag(k.run, k.step))
		}
	}
	e.mu.Unlock()
	left, err := e.host.Leftovers(ctx, held)
	if err != nil {
		return nil, fmt.Errorf("sweep: %w", err)
	}
	return left, nil
}

// LeaseLeft is how long the shortest lease still lasts, never negative.
func (e *Engine) LeaseLeft() time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	lease, any := e.lease()
	if e.granted < 0 {
		return 0
	}
	if !any {
		lease = DefaultLease
	}
	return max(e.granted+lease-e.host.Boot(), 0)
}
