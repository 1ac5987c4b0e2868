package judge

import (
	"time"

	pb "squall/proto/squall/v1"
)

// stretch is a part of a run in cluster time; start <= instant < end.
type stretch struct {
	name       string
	start, end int64
}

// slack is how far hosts may be off in starting and ending a fault: a second
// that begins within it after a phase does not count yet.
const slack = int64(20 * time.Millisecond)

// firstSecond is the first second that lies wholly inside.
func (s stretch) firstSecond() int64 { return (s.start + slack + nanos - 1) / nanos }

// holds tells whether a second lies wholly inside, by the second after it.
func (s stretch) holds(end int64) bool { return end > s.firstSecond() && end <= s.end/nanos }

// phases are a run's phases in cluster time, as far as it came.
func phases(run *pb.Run) []stretch {
	t0, cut := run.GetT0UnixNanos(), cutOf(run)
	var list []stretch
	for _, p := range run.GetPlan().GetPhases() {
		s := stretch{name: p.GetName(), start: t0 + p.GetStartNanos(), end: t0 + p.GetEndNanos()}
		if cut != 0 {
			s.end = min(s.end, cut)
		}
		list = append(list, s)
	}
	return list
}

// cutOf is when a run's faults ended before their time; 0 where they did not.
func cutOf(run *pb.Run) int64 {
	if c := run.GetEndCause(); c == pb.EndCause_END_CAUSE_COMPLETE || c == pb.EndCause_END_CAUSE_UNSPECIFIED {
		return 0
	}
	return run.GetEnteredUnixNanos()[uint32(pb.RunState_RUN_STATE_REVERTING)]
}

// gone is the first second that lies wholly after a run's faults; 0 where they
// are not known to be gone.
func gone(run *pb.Run) int64 {
	at := run.GetEnteredUnixNanos()[uint32(pb.RunState_RUN_STATE_RECOVERING)]
	if at == 0 {
		return 0
	}
	return stretch{start: at}.firstSecond()
}

// began is when the run was admitted, and its probes began.
func began(run *pb.Run) int64 {
	at := run.GetT0UnixNanos()
	for _, entered := range run.GetEnteredUnixNanos() {
		if at == 0 || entered > 0 && entered < at {
			at = entered
		}
	}
	return at
}
