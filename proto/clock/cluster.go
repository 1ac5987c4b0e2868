package clock

import (
	"slices"
	"sync"
	"time"
)

const (
	// wallDoubt is how far off a wall clock is taken to be where a leader has
	// nothing else to go by: what a machine with working NTP stays within.
	wallDoubt = 500 * time.Millisecond
	// slewPPM is the fastest that cluster time is slewed, as NTP's daemons do.
	slewPPM = 500
	// slewFrom is how far cluster time must be off the wall clocks to be slewed,
	// and slewTo how near is near enough.
	slewFrom = 100 * time.Millisecond
	slewTo   = 10 * time.Millisecond
	// Astray is how far cluster time may be off the median wall clock before
	// somebody should look.
	Astray = time.Second
)

// Agrees tells whether cluster time that is so far off the median wall clock may
// be gone by, where somebody has accepted it at another offset; 0 is none. On the
// way from there to none, as it is slewed, nobody need look again.
func Agrees(off, accepted time.Duration) bool {
	return min(accepted, 0)-Astray <= off && off <= max(accepted, 0)+Astray
}

// Cluster is cluster time on one server. What is known of it is never dropped
// for a wall clock: a wall clock begins it, where nobody ever knew it, and
// slews it. It is never before the last instant that was applied. It is safe
// for concurrent use; its zero value follows.
type Cluster struct {
	mu       sync.Mutex // guards all below
	estimate Estimator
	floor    int64

	// Of a leader.
	leading bool
	term    uint64
	offset  time.Duration
	doubt   time.Duration
	slewed  time.Duration // up to turned
	ppm     int32
	turned  time.Duration // local time at which the rate was set
}

// Observe takes a follower's round trip to the leader.
func (c *Cluster) Observe(sent time.Duration, r Reading, received time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.estimate.Add(sent, r, received)
}

// Known tells whether this server has ever heard from a leader, or was one, since
// it came up. What it was restored to is less than that.
func (c *Cluster) Known() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.estimate.Term() > 0 || c.leading
}

// Lead carries cluster time on, for a term, from this server's own estimate at
// local time now, however old. Where there never was one, as when a cluster is
// new, wall (Unix nanoseconds) begins it.
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
		doubt = max(doubt, behind)
	}
	c.leading, c.term, c.offset, c.doubt = true, term, offset, doubt
	c.slewed, c.ppm, c.turned = 0, 0, now
}

// Follow gives the lead up. The next estimate comes from the new leader; until
// then the server's own goes on, so that it can be asked at any moment.
func (c *Cluster) Follow(now time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leading {
		c.turn(now, 0)
		c.estimate.Add(now, c.reading(now), now)
	}
	c.leading = false
}

// Steer slews a leader's time towards the wall clocks of servers, at most 500
// ppm, unless hold is set, as while a fault is held. walls are what to add to
// local time to get each one's wall clock in Unix nanoseconds. off is cluster
// time minus their median; it is not ok without any, or on a follower.
func (c *Cluster) Steer(now time.Duration, walls []time.Duration, hold bool) (off time.Duration, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if off, ok = c.off(now, walls); ok {
		c.turn(now, c.rate(off, hold))
	}
	return off, ok
}

// Off is a leader's cluster time minus the median of the servers' wall clocks, as
// Steer has it, and moves nothing.
func (c *Cluster) Off(now time.Duration, walls []time.Duration) (off time.Duration, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.off(now, walls)
}

// off is Off. The caller holds mu.
func (c *Cluster) off(now time.Duration, walls []time.Duration) (off time.Duration, ok bool) {
	if !c.leading || len(walls) == 0 {
		return 0, false
	}
	return time.Duration(c.reading(now).Unix) - now - median(walls), true
}

// rate is how fast to slew a time that is off: it begins where that is far and
// goes on until it is near. The caller holds mu.
func (c *Cluster) rate(off time.Duration, hold bool) int32 {
	back := int32(slewPPM)
	if off > 0 {
		back = -slewPPM
	}
	if far := off.Abs() > slewFrom || c.ppm == back && off.Abs() > slewTo; hold || !far {
		return 0
	}
	return back
}

// turn sets the rate from now on. The caller holds mu.
func (c *Cluster) turn(now time.Duration, ppm int32) {
	c.slewed, c.turned, c.ppm = c.slewedBy(now), now, ppm
}

func (c *Cluster) slewedBy(now time.Duration) time.Duration {
	return c.slewed + max(now-c.turned, 0)*time.Duration(c.ppm)/1_000_000
}

// reading is a leader's. The caller holds mu.
func (c *Cluster) reading(now time.Duration) Reading {
	slewed := c.slewedBy(now)
	return Reading{
		Unix: max(c.floor, int64(now+c.offset+slewed)), Doubt: c.doubt, Term: c.term,
		Slewed: slewed, SlewPPM: c.ppm,
	}
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
	if c.leading {
		return c.reading(now), true
	}
	offset, doubt, ok := c.estimate.Estimate(now)
	if !ok {
		return Reading{Unix: c.floor}, false
	}
	r = Reading{Unix: max(c.floor, int64(now+offset)), Doubt: doubt, Term: c.estimate.Term()}
	r.Slewed, _ = c.estimate.slewSince(now)
	r.SlewPPM = c.estimate.samples[len(c.estimate.samples)-1].ppm
	return r, true
}

// median is the lower one of two in the middle.
func median(all []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[(len(sorted)-1)/2]
}
