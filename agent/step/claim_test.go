package step

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	kind "squall/experiments/fault"
	pb "squall/proto/squall/v1"
)

// localTask is a task of one kind of fault from the host's own socket.
func localTask(t *testing.T, run, name string, workload ...string) *pb.Task {
	t.Helper()
	f, ok := kind.New(name)
	if !ok {
		t.Fatalf("no fault %s", name)
	}
	if f.GetNetDelay() != nil {
		f.GetNetDelay().Delay = &pb.Span{Nanos: 4e7}
	}
	return &pb.Task{Run: run, Step: name, Fault: f, Workload: workload, LeaseNanos: int64(10 * time.Second)}
}

// TestLocalFaultIsRefusedWhatAnotherHolds: of every kind, a second one at one time
// would act on the same thing. It is refused, and says who holds what until when,
// also when it is only asked for; after the end of the first it is not.
func TestLocalFaultIsRefusedWhatAnotherHolds(t *testing.T) {
	for _, name := range kind.Names() {
		bubble(t, func(r *rig) {
			inject := func(run string) *pb.StepStatus {
				s, err := r.engine.Inject(r.t.Context(), localTask(t, run, name), nil, time.Minute, 10*time.Second)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				return s
			}
			r.pass(time.Second)
			if s := inject("first"); s.GetRefused() != nil {
				t.Fatalf("%s: refused with %v", name, s.GetRefused())
			}
			second := inject("second")
			for _, p := range []*pb.Problem{second.GetRefused(), r.engine.Preview(r.t.Context(), localTask(t, "third", name), nil).GetRefused()} {
				if p.GetRefusal() != pb.Refusal_REFUSAL_CLAIM || !strings.Contains(p.GetMessage(), name+" takes host/web-a1") ||
					!strings.Contains(p.GetMessage(), "which run first holds until ") || !strings.Contains(p.GetFix(), "squall undo --local first") {
					t.Errorf("%s: refused with %v", name, p)
				}
			}
			if second.GetState() != refusedS {
				t.Errorf("%s: the second one is %v", name, second.GetState())
			}
			r.engine.Undo(r.t.Context(), "first", pb.RevertCause_REVERT_CAUSE_LOCAL)
			synctest.Wait()
			if s := inject("fourth"); s.GetRefused() != nil {
				t.Errorf("%s: after the first has ended, refused with %v", name, s.GetRefused())
			}
		})
	}
}

// TestLocalFaultsShareAHost: what takes another thing is let in.
func TestLocalFaultsShareAHost(t *testing.T) {
	bubble(t, func(r *rig) {
		r.pass(time.Second)
		for _, task := range []*pb.Task{
			localTask(t, "first", "dns.fail"), localTask(t, "second", "net.delay"), localTask(t, "third", "process.freeze", "web"),
		} {
			if s, err := r.engine.Inject(r.t.Context(), task, nil, time.Minute, 10*time.Second); err != nil || s.GetRefused() != nil {
				t.Errorf("%s: %v, refused with %v", task.GetStep(), err, s.GetRefused())
			}
		}
		if s, _ := r.engine.Inject(r.t.Context(), localTask(t, "fourth", "process.freeze"), nil, time.Minute, 0); s.GetRefused().GetRefusal() != pb.Refusal_REFUSAL_CLAIM {
			t.Errorf("the whole host, of which a workload is frozen: %v", s.GetRefused())
		}
	})
}
