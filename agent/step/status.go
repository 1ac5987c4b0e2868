package step

import (
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"squall/agent/undo"
	pb "squall/proto/squall/v1"
)

// Statuses is every step as it is now, sorted by run and step.
func (e *Engine) Statuses() []*pb.StepStatus {
	known := e.runner.Steps()
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, k := range known {
		if s, ok := e.steps[key{k.Run, k.Step}]; ok {
			s.tellMarks(k)
		}
	}
	var all []*pb.StepStatus
	for _, s := range e.steps {
		if s.status.GetState() != pb.StepState_STEP_STATE_UNSPECIFIED {
			all = append(all, proto.CloneOf(s.status))
		}
	}
	slices.SortFunc(all, func(a, b *pb.StepStatus) int {
		return strings.Compare(a.GetRun()+"\x00"+a.GetStep(), b.GetRun()+"\x00"+b.GetStep())
	})
	return all
}

// tellMarks adds the journal's newest marks to the status, in cluster time. An
// instant is converted once: told again with each better measurement it would
// be news every time. The caller holds e.mu.
func (s *step) tellMarks(known *undo.Step) {
	offset, uncertainty, ok := s.e.clock.Offset()
	told := len(s.status.GetJournal())
	if !ok || told >= len(known.Marks) {
		return
	}
	for _, r := range known.Marks[told:] {
		m := r.GetMark()
		s.status.Journal = append(s.status.Journal, &pb.JournalMark{
			Seq: r.GetSeq(), State: m.GetState(), Cause: m.GetCause(),
			PlannedUnixNanos: clusterNanos(m.GetPlannedBootNanos(), offset),
			ActualUnixNanos:  clusterNanos(m.GetActualBootNanos(), offset),
		})
	}
	s.status.UncertaintyNanos = int64(uncertainty)
}

// clusterNanos leaves an instant that was never set alone.
func clusterNanos(boot int64, offset time.Duration) int64 {
	if boot == 0 {
		return 0
	}
	return boot + int64(offset)
}
