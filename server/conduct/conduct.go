// Package conduct leads runs: Decide says what comes next, purely from the
// state and the time, and the Conductor is the leader's loop that proposes it.
//
// What a decision depends on is in the state, so a new leader goes on where
// the old one stopped. A decision that is made twice is proposed under the
// same id and takes effect once.
package conduct

import (
	"time"

	"squall/experiments/judge"
	pb "squall/proto/squall/v1"
	"squall/server/state"
)

// Decision is what to do now, and when to look again if nothing changes before.
type Decision struct {
	// Record are commands to propose, in order.
	Record []*pb.Command
	// Wake is the cluster time at which the next decision is due; the zero
	// time when only a change of the state can bring one.
	Wake time.Time
}

// Decide says what comes next for a run, at an instant of cluster time. It is
// pure. A run that is not known or done needs nothing.
func Decide(now time.Time, v *state.View, run string) Decision {
	return new(Decider).Decide(now, v, run)
}

// Decider decides faster than Decide about one run: it keeps what was judged,
// and judges each second once. Forgetting both
// changes no decision that matters. Its zero value is ready; it is for one
// goroutine.
type Decider struct {
	// Commit is how long a commit takes here; 0 stands for 5 ms.
	Commit time.Duration
	// UsualCommit is what one takes most of the time; 0 stands for Commit.
	UsualCommit time.Duration
	// Slop is how much later than asked this leader has looked of late; less
	// than 20 ms stands for that.
	Slop time.Duration
	// Since is the cluster time at which this leader's term began: what hosts
	// said before may be still on its way. The zero time is long ago.
	Since time.Time

	judge  *judge.Track
	judged int64 // cluster second for which abort rules were judged
	// guarded is the cluster second for which guardrails were judged; breach is
	// the one that the run breaks, and has broken since an instant.
	guarded int64
	breach  *pb.Problem
	since   time.Time
}

// Decide says what comes next for a run, the same one at each call.
func (d *Decider) Decide(now time.Time, v *state.View, run string) Decision {
	r := v.Run(run)
	if r == nil || r.GetState() == pb.RunState_RUN_STATE_DONE {
		return Decision{}
	}
	l := &look{d: d, now: now, v: v, run: r, judge: d.judgeOf(r)}
	if l.judge == nil {
		l.broken()
	} else {
		l.decide()
	}
	return l.out
}

func (d *Decider) judgeOf(r *pb.Run) *judge.Track {
	if d.judge == nil {
		if j, problems := judge.Compile(r.GetExperiment(), unplaced{}); len(problems) == 0 {
			d.judge = j.Track()
		}
	}
	return d.judge
}

// unplaced makes problems of expressions that were placed in their file long ago.
type unplaced struct{}

func (unplaced) Problem(path, message, fix string) *pb.Problem {
	return &pb.Problem{Path: path, Message: message, Fix: fix}
}
