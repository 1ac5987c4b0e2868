package step

import (
	"testing"
	"time"

	"squall/agent/undo"
	pb "squall/proto/squall/v1"
)

// TestInstantsAreToldOnceTheTimeIsKnown holds that what happened while no server
// had said what time it is gets its instant later, and only once: when workloads
// were ready again, when one was given up, and what the journal noted.
func TestInstantsAreToldOnceTheTimeIsKnown(t *testing.T) {
	const offset = 1000 * time.Hour
	mark := &pb.Record{Seq: 3, BootId: "now", Kind: &pb.Record_Mark{Mark: &pb.Mark{
		Run: "r", Step: "power.off", State: pb.StepState_STEP_STATE_REVERTED, ActualBootNanos: int64(time.Second),
	}}}
	old := &pb.Record{Seq: 1, BootId: "before", BootNanos: int64(90 * time.Minute), UnixNanos: int64(999 * time.Hour), Kind: &pb.Record_Mark{Mark: &pb.Mark{
		Run: "r", Step: "power.off", State: pb.StepState_STEP_STATE_HELD, ActualBootNanos: int64(89 * time.Minute),
	}}}
	for name, failures := range map[string][]*pb.RecoveryFailure{"ready": nil, "given up": {{Workload: "web", Why: "it has ended"}}} {
		c := newCore("web-a1", "now", instant{boot: time.Second}, []*undo.Step{{
			Run: "r", Step: "power.off", State: pb.StepState_STEP_STATE_REVERTED, Marks: []*pb.Record{old, mark},
		}}, nil, nil)
		k := key{"r", "power.off"}
		c.take(instant{boot: 3 * time.Second}, &recovered{key: k, at: 2 * time.Second, failures: failures})
		early := c.picture().status(k)
		if early.GetReadyUnixNanos() != 0 || len(early.GetJournal()) != 0 || len(failures) > 0 && early.GetRecoveryFailures()[0].GetAtUnixNanos() != 0 {
			t.Fatalf("%s: before anybody has said what time it is: %v", name, early)
		}
		c.take(instant{boot: 4 * time.Second, offset: offset, known: true}, nil)
		c.take(instant{boot: 5 * time.Second, offset: offset + time.Second, known: true}, nil)
		s, at := c.picture().status(k), int64(offset+2*time.Second)
		got := s.GetReadyUnixNanos()
		if len(failures) > 0 {
			got = s.GetRecoveryFailures()[0].GetAtUnixNanos()
		}
		if got != at {
			t.Errorf("%s: told at %s, want %s", name, time.Duration(got), time.Duration(at))
		}
		if marks := s.GetJournal(); len(marks) != 2 || marks[1].GetActualUnixNanos() != int64(offset+time.Second) ||
			marks[0].GetActualUnixNanos() != int64(999*time.Hour-time.Minute) {
			t.Errorf("%s: the journal says %v", name, marks)
		}
	}
}
