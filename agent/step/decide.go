package step

import (
	"time"

	pb "squall/proto/squall/v1"
)

// lead is how long before its start a step arms. It leaves room for a slow
// journal, and keeps what an armed step holds short.
const lead = 1500 * time.Millisecond

// forever is a wake-up that never comes.
const forever = time.Duration(1<<63 - 1)

// verb is what a step does next.
type verb int

const (
	wait verb = iota
	// schedule puts the fired task on disk.
	schedule
	// arm injects: the start is inside the programs.
	arm
	// hold notes that the start has passed.
	hold
	// giveBack notes that the end has come and a boot token has not.
	giveBack
	// revert undoes.
	revert
	// letGo forgets a step of which nothing was injected.
	letGo
)

// view is all that a step's next move depends on. Instants are boot times.
type view struct {
	now                  time.Duration
	state                pb.StepState
	start, end, deadline time.Duration
	fired                bool
	needsToken, token    bool
	// hold says that the step outlives its lease.
	hold bool
	// lease is when the lease runs out.
	lease time.Duration
	// renewed says that the lease was renewed since the schedule was made, or
	// that the start is so near that the firing order itself is word enough.
	renewed bool
	// injecting says that a kill still waits for its instant, or is under way.
	injecting bool
	// dropped is why the step must end, if it must.
	dropped pb.RevertCause
}

// move is a decision: what to do, why, and when to look again.
type move struct {
	verb  verb
	cause pb.RevertCause
	// why is for people, with letGo.
	why   string
	until time.Duration
}

// decide is the life of a step on a host. It is pure.
func decide(v view) move {
	switch v.state {
	case pb.StepState_STEP_STATE_READY:
		return decideReady(v)
	case pb.StepState_STEP_STATE_SCHEDULED:
		return decideScheduled(v)
	case pb.StepState_STEP_STATE_ARMED, pb.StepState_STEP_STATE_HELD, pb.StepState_STEP_STATE_RETURNING:
		return decideHolding(v)
	default:
		return move{verb: wait, until: forever}
	}
}

func decideReady(v view) move {
	switch {
	case v.dropped != 0:
		return move{verb: letGo, cause: v.dropped, why: "it was called off before it fired"}
	case v.fired:
		return move{verb: schedule}
	case v.now >= v.lease:
		return move{verb: letGo, cause: pb.RevertCause_REVERT_CAUSE_LEASE, why: "the lease ran out before it fired"}
	}
	return move{verb: wait, until: v.lease}
}

func decideScheduled(v view) move {
	alive := v.now < v.lease && v.renewed
	switch {
	case v.dropped != 0:
		return move{verb: letGo, cause: v.dropped, why: "it was called off before it started"}
	case v.now >= v.end || v.now >= v.deadline:
		return move{verb: letGo, cause: pb.RevertCause_REVERT_CAUSE_END, why: "its end had passed before it could start"}
	case v.now < v.start-lead:
		return move{verb: wait, until: v.start - lead}
	case alive:
		return move{verb: arm}
	case v.now >= v.start:
		return move{verb: letGo, cause: pb.RevertCause_REVERT_CAUSE_LEASE, why: "no lease was alive at its start"}
	}
	return move{verb: wait, until: v.start}
}

func decideHolding(v view) move {
	switch {
	case v.dropped != 0:
		return move{verb: revert, cause: v.dropped}
	case v.now >= v.deadline:
		return move{verb: revert, cause: pb.RevertCause_REVERT_CAUSE_DEADLINE}
	case v.now >= v.lease && !v.hold:
		return move{verb: revert, cause: pb.RevertCause_REVERT_CAUSE_LEASE}
	case v.now >= v.end && (!v.needsToken || v.token):
		return move{verb: revert, cause: pb.RevertCause_REVERT_CAUSE_END}
	case v.now >= v.end && v.state != pb.StepState_STEP_STATE_RETURNING:
		return move{verb: giveBack}
	case v.now >= v.start && v.state == pb.StepState_STEP_STATE_ARMED && !v.injecting:
		return move{verb: hold}
	}
	return move{verb: wait, until: nextLook(v)}
}

// nextLook is the earliest instant at which a holding step may have to move.
func nextLook(v view) time.Duration {
	next := v.deadline
	if !v.hold {
		next = min(next, v.lease)
	}
	if v.now < v.end {
		next = min(next, v.end)
	}
	if v.now < v.start {
		next = min(next, v.start)
	}
	return next
}
