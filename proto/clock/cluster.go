package clock

import (
	"sync"
	"time"
)

// wallDoubt is how far off a wall clock is taken to be where a leader has
// nothing else to go by: what a machine with working NTP stays within.
const wallDoubt = 500 * time.Millisecond

// Cluster is cluster time on one server. It never steps back: it is the later
// of the estimate and of the last instant that was applied. It is safe for
// concurrent use; its zero value follows.
type Cluster struct {
	mu       sync.Mutex
	estimate Estimator
	leading  bool
	term     uint64
	offset   time.Duration
	doubt    time.Duration
	floor    int64
}

// Observe takes a follower's round trip to the leader.
func (c *Cluster) Observe(sent time.Duration, r Reading, received time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.estimate.Add(sent, r, received)
}

// Lead carries cluster time on, for a term, from this server's own estimate at
// local time now. Without one, as when a cluster is new, wall (Unix nanoseconds)
// begins it.
func (c *Cluster) Lead(now time.Duration, wall int64, term uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	offset, doubt, ok := c.estimate.Estimate(now)
	if !ok {
		offset, doubt = time.Duration(wall)-now, wallDoubt
	}
	if c.floor == 0 && !ok {
		doubt = 0 // the first leader's clock is cluster time
	}
	if behind := time.Duration(c.floor) - (now + offset); behind > 0 {
		offset += behind
	}
	c.leading, c.term, c.offset, c.doubt = true, term, offset, doubt
}

// Follow gives the lead up. The next estimate comes from the new leader; until
// then the server's own goes on, so that it can be asked at any moment.
func (c *Cluster) Follow(now time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leading {
		c.estimate.Add(now, Reading{Unix: int64(now + c.offset), Doubt: c.doubt, Term: c.term}, now)
	}
	c.leading = false
}

// Applied tells of the time of an applied command: cluster time is not before it.
func (c *Cluster) Applied(unix int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.floor = max(c.floor, unix)
}

// Now is cluster time at local time now. It is not ok on a server that never
// heard from a leader.
func (c *Cluster) Now(now time.Duration) (r Reading, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	offset, doubt, term := c.offset, c.doubt, c.term
	if ok = c.leading; !ok {
		var s sample
		s, doubt, ok = c.estimate.best(now)
		offset, term = s.offset, s.term
	}
	return Reading{Unix: max(c.floor, int64(now+offset)), Doubt: doubt, Term: term}, ok
}
