package step

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"squall/agent/fault"
	"squall/agent/undo"
	pb "squall/proto/squall/v1"
	"squall/proto/text"
)

// effect is something that the core asks for. It is data: the driver carries it
// out beside the owner, and answers with news where there is any.
type effect interface{ String() string }

type (
	// planning asks for the changes of a step, from facts no older than
	// freshFacts. Answer: *planned.
	planning struct {
		key     key
		at      *fault.Step
		facts   *pb.Facts // nil: read them
		factsAt time.Duration
	}
	// scheduling puts a fired task on disk. Answer: *noted.
	scheduling struct{ record *pb.ScheduleRecord }
	// injecting makes changes, the intent on disk first. Answers: *armedNews when
	// nothing is left but to wait, *injected when it is over.
	injecting struct {
		intent *pb.Intent
		// lease is when its lease runs out, unless that is renewed.
		lease time.Duration
	}
	// cutting ends an injection, a plan or a look that is under way.
	cutting struct{ key key }
	// reverting undoes a step. Answer: *revertedNews.
	reverting struct {
		key   key
		cause pb.RevertCause
	}
	// marking records that a step has moved on. Answer: *marked.
	marking struct{ mark *pb.Mark }
	// latching records a halt, or that it was let go of. Answer: *latched.
	latching struct{ latch *pb.HaltLatch }
	// accepting records the highest order. Answer: *accepted.
	accepting struct{ mark *pb.OrderMark }
	// confirming records that somebody has taken note of damage. Answer: *damaged.
	confirming struct{ id string }
	// forgetting drops a tombstone. Answer: *forgotten.
	forgetting struct{ key key }
	// looking reads the mechanism of a held step. Answer: *seen.
	looking struct{ key key }
	// recovering watches workloads until they are ready. Answer: *recovered.
	recovering struct {
		key       key
		workloads []string
		limit     time.Duration
	}
	// renewing moves the gates of steps. No answer.
	renewing struct{ until leases }
	// sweeping removes what belongs to no step. Answer: *swept.
	sweeping struct {
		held  []string
		reply *sweep
	}
)

func (e planning) String() string { return "plan " + e.key.String() }
func (e scheduling) String() string {
	return "schedule " + keyOf(e.record.GetTask()).String()
}

func (e injecting) String() string {
	return fmt.Sprintf("inject %s from %s to %s, at the latest %s, under a lease until %s", keyOf(e.intent),
		time.Duration(e.intent.GetStartBootNanos()), time.Duration(e.intent.GetEndBootNanos()),
		time.Duration(e.intent.GetDeadlineBootNanos()), e.lease)
}
func (e cutting) String() string   { return "cut " + e.key.String() }
func (e reverting) String() string { return fmt.Sprintf("revert %s: %s", e.key, text.Word(e.cause)) }

func (e marking) String() string {
	line := fmt.Sprintf("mark %s %s", keyOf(e.mark), text.Word(e.mark.GetState()))
	if c := e.mark.GetCause(); c != 0 {
		line += ": " + text.Word(c)
	}
	return line
}

func (e latching) String() string {
	return fmt.Sprintf("latch %s engaged=%t local=%t", e.latch.GetId(), e.latch.GetEngaged(), e.latch.GetLocal())
}

func (e accepting) String() string {
	return fmt.Sprintf("accept order %d/%d", e.mark.GetEpoch(), e.mark.GetIndex())
}
func (e confirming) String() string { return "confirm damage " + e.id }
func (e forgetting) String() string { return "forget " + e.key.String() }
func (e looking) String() string    { return "look " + e.key.String() }
func (e recovering) String() string {
	return fmt.Sprintf("watch %v of %s get ready within %s", e.workloads, e.key, e.limit)
}

// leases are when the leases of steps run out, in boot time.
type leases map[key]time.Duration

func (e renewing) String() string {
	var said []string
	for k, until := range e.until {
		said = append(said, fmt.Sprintf("%s until %s", k, until))
	}
	slices.Sort(said)
	return "renew " + strings.Join(said, ", ")
}

func (e sweeping) String() string { return fmt.Sprintf("sweep all but %v", e.held) }

// key names a step.
type key struct{ run, step string }

// String is run/step.
func (k key) String() string { return k.run + "/" + k.step }

// named is any message about one step.
type named interface {
	GetRun() string
	GetStep() string
}

func keyOf(m named) key { return key{m.GetRun(), m.GetStep()} }

// journaled is what the journal knows of a step after something was done; nil
// when it knows nothing.
type journaled = *undo.Step
