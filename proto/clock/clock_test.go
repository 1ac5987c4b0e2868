package clock

import (
	"testing"
	"time"
)

const ms = time.Millisecond

func TestLowestRoundTripWins(t *testing.T) {
	var e Estimator
	base := int64(time.Hour)
	e.Add(0, base+int64(30*ms), 0, 50*ms)        // 50 ms round trip, 5 ms off
	e.Add(100*ms, base+int64(101*ms), 0, 102*ms) // 2 ms, exact
	e.Add(200*ms, base+int64(240*ms), 0, 270*ms) // 70 ms
	offset, doubt, ok := e.Estimate(270 * ms)
	if !ok || offset != time.Duration(base) {
		t.Fatalf("offset %s, %v", offset, ok)
	}
	if doubt < ms || doubt > ms+100*time.Microsecond {
		t.Errorf("uncertainty %s: not half the round trip and a little drift", doubt)
	}
}

func TestUncertaintiesAddUpAndGrow(t *testing.T) {
	var e Estimator
	e.Add(0, 1000, 3*ms, 4*ms)
	_, first, _ := e.Estimate(4 * ms)
	if first != 5*ms {
		t.Errorf("uncertainty %s, not the server's 3ms and half of 4ms", first)
	}
	_, later, _ := e.Estimate(4*ms + 10*time.Second)
	if later-first != time.Millisecond {
		t.Errorf("grew by %s in 10s, not by 100 ppm", later-first)
	}
}

func TestEstimateIsNotOKWithoutARecentMeasurement(t *testing.T) {
	var e Estimator
	if _, _, ok := e.Estimate(0); ok {
		t.Error("ok before any measurement")
	}
	e.Add(0, 1000, 0, ms)
	if _, _, ok := e.Estimate(ms + Window + 1); ok {
		t.Error("ok after the window")
	}
}

func TestContradictionMakesOlderMeasurementsVoid(t *testing.T) {
	var e Estimator
	e.Add(0, int64(time.Hour), 0, ms)
	e.Add(time.Second, int64(2*time.Hour), 0, time.Second+20*ms)
	offset, _, ok := e.Estimate(2 * time.Second)
	if want := 2*time.Hour - time.Second - 10*ms; !ok || offset != want {
		t.Errorf("offset %s, not the new leader's %s", offset, want)
	}
}

func TestBrokenRoundTripsAreIgnored(t *testing.T) {
	var e Estimator
	e.Add(2*ms, 1000, 0, ms)
	e.Add(0, 1000, -1, ms)
	if _, _, ok := e.Estimate(ms); ok {
		t.Error("took a round trip that ends before it begins, or knows too much")
	}
}

func TestEstimatorIsBounded(t *testing.T) {
	var e Estimator
	for i := range 10 * maxSamples {
		at := time.Duration(i) * ms
		e.Add(at, int64(at), 0, at)
	}
	if len(e.samples) > maxSamples {
		t.Errorf("%d samples are kept", len(e.samples))
	}
}

func TestFirstLeadersWallClockIsClusterTime(t *testing.T) {
	var c Cluster
	if _, _, ok := c.Now(0); ok {
		t.Error("knows the time before anybody leads")
	}
	c.Lead(5*time.Second, int64(time.Hour))
	unix, doubt, ok := c.Now(7 * time.Second)
	if !ok || unix != int64(time.Hour+2*time.Second) || doubt != 0 {
		t.Errorf("now is %d, %s, %v", unix, doubt, ok)
	}
}

func TestNewLeaderCarriesTheTimeOn(t *testing.T) {
	var c Cluster
	c.Observe(0, int64(time.Hour), 0, 2*ms)
	c.Lead(time.Second, int64(99*time.Hour)) // its own wall clock is far off
	unix, doubt, _ := c.Now(2 * time.Second)
	if want := int64(time.Hour + 2*time.Second - ms); unix != want {
		t.Errorf("now is %d, not %d", unix, want)
	}
	if doubt < ms {
		t.Errorf("uncertainty %s forgot that of the estimate", doubt)
	}
}

func TestClusterTimeNeverStepsBack(t *testing.T) {
	var c Cluster
	c.Applied(int64(2 * time.Hour))
	c.Lead(0, int64(time.Hour)) // as after a restart of everything with a clock set back
	before, _, _ := c.Now(0)
	if before < int64(2*time.Hour) {
		t.Errorf("stepped back to %s", time.Duration(before))
	}
	if after, _, _ := c.Now(time.Second); after != before+int64(time.Second) {
		t.Errorf("stands still: %d after %d", after, before)
	}
}

func TestFormerLeaderKeepsTheTime(t *testing.T) {
	var c Cluster
	c.Lead(0, int64(time.Hour))
	c.Follow(time.Second)
	unix, _, ok := c.Now(2 * time.Second)
	if !ok || unix != int64(time.Hour+2*time.Second) {
		t.Errorf("now is %d, %v", unix, ok)
	}
}

// A server's doubt about its own clock is not the length of the way to it.
func TestRoundTripIsTheWayAlone(t *testing.T) {
	var e Estimator
	if _, ok := e.RoundTrip(0); ok {
		t.Error("a round trip before the first")
	}
	e.Add(0, 1e9, time.Second, 3*time.Millisecond)
	e.Add(time.Second, 2e9, time.Second, time.Second+2*time.Millisecond)
	if trip, ok := e.RoundTrip(2 * time.Second); !ok || trip != 2*time.Millisecond {
		t.Errorf("round trip %s, %t", trip, ok)
	}
	if _, ok := e.RoundTrip(2*time.Second + 2*Window); ok {
		t.Error("an old round trip still counts")
	}
}
