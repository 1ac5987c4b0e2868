package sim

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestClusterTimeOutlivesAllServers kills all of them at one time, in mid-run, and
// steps every wall clock by an hour before they come back. In the same boot of
// their machines cluster time goes on as if nothing had been; after another it is
// never before what was known, and no more than two minutes ahead.
func TestClusterTimeOutlivesAllServers(t *testing.T) {
	for name, c := range map[string]struct {
		step   time.Duration
		reboot bool
	}{
		"processes die, clocks are set back":         {-time.Hour, false},
		"processes die, clocks are set ahead":        {time.Hour, false},
		"machines boot with clocks that are behind":  {-time.Hour, true},
		"machines boot with clocks that are far off": {time.Hour, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRegion(t, settings{})
				time.Sleep(15 * time.Second)
				run := r.run(long)
				r.holding(run)
				before, _ := r.clusterTime("s1")
				began := time.Now()
				dead := r.kill(0, 1, 2)
				time.Sleep(3 * time.Second) // the last of them is over
				for _, s := range dead {
					s.skew.Store(int64(c.step))
					if c.reboot {
						s.boots.Add(1)
					}
				}
				r.revive(dead)
				r.until("a leader", time.Minute, func() bool { return r.leader() != nil })
				now, doubt := r.clusterTime(r.leader().id)
				off := now.Sub(before) - time.Since(began)
				switch {
				case !c.reboot && (off.Abs() > doubt || doubt > 100*time.Millisecond):
					t.Errorf("cluster time moved by %v with a doubt of %v", off, doubt)
				case c.reboot && (now.Before(before) || off > 2*time.Minute):
					t.Errorf("cluster time moved by %v", off)
				}
				r.until("the run's end", 10*time.Minute, func() bool { return r.done(run) })
				r.calmWithin(45*time.Second, r.struck()) // hosts hold to their own deadlines, whatever servers think
				r.waitReady()
				r.passes(r.run(short))
			})
		})
	}
}

// TestNewClusterWaitsForNoPast is led before anybody has asked what time it was.
func TestNewClusterWaitsForNoPast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		r := newRegion(t, settings{})
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("a leader and all hosts after %s", took)
		}
		r.kill(0)
		began = time.Now()
		r.until("another leader", time.Minute, func() bool { return r.leader() != nil })
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("another leader after %s", took)
		}
	})
}
