package consensus

import (
	"context"
	"time"

	"github.com/hashicorp/raft"
)

// Term is one stretch of leadership, numbered. Leading is false when this
// server has none; the number is then 0.
type Term struct {
	Number  uint64
	Leading bool
}

// Leadership tells of this server's own terms. It keeps the newest only, so a
// reader that is late sees a higher number and knows that it missed some. A
// term is told once everything committed before it is applied here.
func (c *Consensus) Leadership() <-chan Term { return c.terms }

func (c *Consensus) followLeadership() {
	defer close(c.done)
	var leader raft.ServerID
	for {
		select {
		case <-c.quit:
			return
		case leading := <-c.notify:
			c.turn(leading)
		case o := <-c.heard:
			leader = c.heardOf(o, leader)
		}
	}
}

func (c *Consensus) replaceLeaderNews() {
	next := make(chan struct{})
	if old := c.leader.Swap(&next); old != nil {
		close(*old)
	}
}

// tellFollowers is called where entries are applied. Only a leader whose term
// has begun here tells: in that term nobody else does.
func (c *Consensus) tellFollowers(index, logTerm uint64) {
	if term := c.ready.Load(); term != 0 {
		c.teller.tell(commit{index: index, logTerm: logTerm, term: term})
	}
}

func (c *Consensus) turn(leading bool) {
	if !leading {
		c.ready.Store(0)
		c.publish(Term{})
		return
	}
	term := c.raft.CurrentTerm()
	if !c.passBarrier() {
		return // leadership is lost already: a notice of it follows
	}
	c.ready.Store(term)
	c.publish(Term{Number: term, Leading: true})
}

// passBarrier waits as long as this server leads.
func (c *Consensus) passBarrier() bool {
	for c.raft.State() == raft.Leader {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		err := c.Barrier(ctx)
		cancel()
		if err == nil {
			return true
		}
		c.log.Warn("term does not begin yet", "cause", err)
	}
	return false
}

func (c *Consensus) publish(t Term) {
	select {
	case <-c.terms:
	default:
	}
	c.terms <- t // one writer, one place
}
