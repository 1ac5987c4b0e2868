package step

import (
	"context"

	"squall/agent/undo"
	pb "squall/proto/squall/v1"
)

// takeUpDisk waits for a disk that could not be read at the start, and takes up
// what only the disk knew. Until then every fault is refused.
func (e *Engine) takeUpDisk(ctx context.Context) {
	late, err := e.runner.TakeUp(ctx, pb.RevertCause_REVERT_CAUSE_CRASH)
	if !late {
		return
	}
	if err != nil {
		e.log.Error("recover what only the disk knew", "err", err)
	}
	e.log.Info("the journal's disk has been read at last: faults may begin")
	e.post(&tookUp{e.runner.Steps(), e.runner.Order(), e.runner.Latches(), e.runner.Damage()})
}

// tookUp is what the journal knows once a disk that came late has been read.
// Everything that was open there is reverted.
type tookUp struct {
	known   []*undo.Step
	order   *pb.OrderMark
	latches []*pb.HaltLatch
	damage  *pb.Damage
}

func (n *tookUp) into(c *core) {
	for _, k := range n.known {
		if s := c.steps[key{k.Run, k.Step}]; s != nil {
			c.learnJournal(s, k)
			c.tell(s)
		} else {
			c.remember(k)
		}
	}
	if older(c.highest, n.order) {
		c.highest = n.order
	}
	if len(n.latches) > 0 && c.lever.halted() == nil {
		c.lever.adopt(n.latches)
		for _, s := range c.steps {
			c.drop(s, pb.RevertCause_REVERT_CAUSE_HALT)
		}
	}
	c.damage, c.told = n.damage, true
}
