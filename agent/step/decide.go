package step

import (
	"time"

	pb "squall/proto/squall/v1"
)

const (
	// lead is how long before its start a step arms. It leaves room for a slow
	// journal, and keeps what an armed step holds short.
	lead = 1500 * time.Millisecond
	// setPatience is how long a step waits for the addresses of its peers.
	setPatience = 5 * time.Second
	// forever is a wake-up that never comes.
	forever = time.Duration(1<<63 - 1)
)

// verb is what a step does next.
type verb int

const (
	wait verb = iota
	// prepare plans without touching anything.
	prepare
	// getReady says that the step could begin.
	getReady
	// schedule puts the fired task on disk.
	schedule
	// arm plans again and injects: the start is inside the programs.
	arm
	// hold notes that the start has passed.
	hold
	// giveBack notes that the end has come and a boot token has not.
	giveBack
	// revert undoes, or tries again to undo what is left.
	revert
	// letGo ends a step of which nothing was injected.
	letGo
)

// view is all that a step's next move depends on. Instants are boot times.
type view struct {
	now                  time.Duration
	state                pb.StepState
	born                 time.Duration
	start, end, deadline time.Duration
	fired                bool
	needsToken, token    bool
	// hold says that the step outlives its lease.
	hold bool
	// lease is when the lease runs out, of is its length.
	lease, of time.Duration
	// renewed says that the lease was renewed since the schedule was made, or
	// that the start is so near that the firing order itself is word enough.
	renewed bool
	// waiting says that the addresses of its peers are not here, prepared that
	// it was planned once, timeless that cluster time is not known, blocked that
	// a sweep is under way that does not know the step.
	waiting, prepared, timeless, blocked bool
	// working says that a plan, a record or a revert is under way, injecting
	// that a kill still waits for its instant, or that changes are being made.
	working, injecting bool
	// touched says that the host may be changed, or that its undo is under way.
	touched bool
	// owed says that an ended step left something to undo or to record, again
	// when that is tried next.
	owed  bool
	again time.Duration
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
	case pb.StepState_STEP_STATE_UNSPECIFIED:
		return decideNew(v)
	case pb.StepState_STEP_STATE_READY:
		return decideReady(v)
	case pb.StepState_STEP_STATE_SCHEDULED:
		if v.touched {
			return decideHolding(v)
		}
		return decideScheduled(v)
	case pb.StepState_STEP_STATE_ARMED, pb.StepState_STEP_STATE_HELD, pb.StepState_STEP_STATE_RETURNING:
		return decideHolding(v)
	default:
		return decideEnded(v)
	}
}

// decideNew plans, and waits for a lease: a host that has only just found its
// servers has none yet, and ready is who could begin at once.
func decideNew(v view) move {
	switch {
	case v.dropped != 0:
		return move{verb: letGo, cause: v.dropped, why: "it was called off before it was ready"}
	case v.waiting && v.now >= v.born+setPatience:
		return move{verb: letGo, why: "the addresses of its peers did not come"}
	case v.waiting:
		return move{verb: wait, until: v.born + setPatience}
	case v.working:
		return move{verb: wait, until: forever}
	case !v.prepared:
		return move{verb: prepare}
	case v.now < v.lease || v.now >= v.born+v.of:
		return move{verb: getReady}
	}
	return move{verb: wait, until: v.born + v.of}
}

func decideReady(v view) move {
	switch {
	case v.dropped != 0:
		return move{verb: letGo, cause: v.dropped, why: "it was called off before it fired"}
	case v.working:
		return move{verb: wait, until: forever}
	case v.fired && v.timeless:
		return move{verb: wait, until: v.now + minPace}
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
	case v.working || v.blocked:
		return move{verb: wait, until: min(v.end, v.deadline)}
	case alive:
		return move{verb: arm}
	case v.now >= v.start:
		return move{verb: letGo, cause: pb.RevertCause_REVERT_CAUSE_LEASE, why: "no lease was alive at its start"}
	}
	return move{verb: wait, until: v.start}
}

func decideHolding(v view) move {
	switch {
	case v.working: // it is being reverted
		return move{verb: wait, until: forever}
	case v.dropped != 0:
		return move{verb: revert, cause: v.dropped}
	case v.now >= v.deadline:
		return move{verb: revert, cause: pb.RevertCause_REVERT_CAUSE_DEADLINE}
	case v.now >= v.lease && !v.hold:
		return move{verb: revert, cause: pb.RevertCause_REVERT_CAUSE_LEASE}
	case v.now >= v.end && (!v.needsToken || v.token):
		return move{verb: revert, cause: pb.RevertCause_REVERT_CAUSE_END}
	case v.now >= v.end && holding(v.state):
		return move{verb: giveBack}
	case v.now >= v.start && v.state == pb.StepState_STEP_STATE_ARMED && !v.injecting:
		return move{verb: hold}
	}
	return move{verb: wait, until: nextLook(v)}
}

// holding says that a step is armed or held, and not returning yet.
func holding(s pb.StepState) bool {
	return s == pb.StepState_STEP_STATE_ARMED || s == pb.StepState_STEP_STATE_HELD
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

// decideEnded tries again for ever what is still owed: residue is open work.
func decideEnded(v view) move {
	switch {
	case !v.owed || v.working:
		return move{verb: wait, until: forever}
	case v.now >= v.again:
		return move{verb: revert}
	}
	return move{verb: wait, until: v.again}
}
