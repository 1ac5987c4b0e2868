package clock

import (
	"testing"
	"time"
)

const ms = time.Millisecond

func TestLowestRoundTripWins(t *testing.T) {
	var e Estimator
	base := int64(time.Hour)
	e.Add(0, Reading{Unix: base + int64(30*ms)}, 50*ms)        // 50 ms round trip, 5 ms off
	e.Add(100*ms, Reading{Unix: base + int64(101*ms)}, 102*ms) // 2 ms, exact
	e.Add(200*ms, Reading{Unix: base + int64(240*ms)}, 270*ms) // 70 ms
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
	e.Add(0, Reading{Unix: 1000, Doubt: 3 * ms}, 4*ms)
	_, first, _ := e.Estimate(4 * ms)
	if first != 5*ms {
		t.Errorf("uncertainty %s, not the server's 3ms and half of 4ms", first)
	}
	_, later, _ := e.Estimate(4*ms + 10*time.Second)
	if later-first != time.Millisecond {
		t.Errorf("grew by %s in 10s, not by 100 ppm", later-first)
	}
}

// What was known is never dropped: it counts with growing doubt, also when the
// first word after a long silence is worth less.
func TestEstimateIsKeptWithGrowingDoubt(t *testing.T) {
	var e Estimator
	if _, _, ok := e.Estimate(0); ok {
		t.Error("ok before any measurement")
	}
	e.Add(0, Reading{Unix: 1000}, 2*ms)
	const day = 24 * time.Hour
	offset, doubt, ok := e.Estimate(2*ms + day)
	if want := ms + day*driftPPM/1_000_000; !ok || offset != 1000-ms || doubt != want {
		t.Errorf("after a day: offset %s, doubt %s (want %s), %v", offset, doubt, want, ok)
	}
	e.Add(day, Reading{Unix: int64(day + time.Hour)}, day+2*time.Hour) // stopped while it asked
	if kept, _, _ := e.Estimate(day + 2*time.Hour); kept != offset {
		t.Errorf("an answer that took two hours moved the estimate by %s", kept-offset)
	}
}

func TestContradictionMakesOlderMeasurementsVoid(t *testing.T) {
	var e Estimator
	e.Add(0, Reading{Unix: int64(time.Hour)}, ms)
	e.Add(time.Second, Reading{Unix: int64(2 * time.Hour)}, time.Second+20*ms)
	offset, _, ok := e.Estimate(2 * time.Second)
	if want := 2*time.Hour - time.Second - 10*ms; !ok || offset != want {
		t.Errorf("offset %s, not the new leader's %s", offset, want)
	}
}

func TestBrokenRoundTripsAreIgnored(t *testing.T) {
	var e Estimator
	e.Add(2*ms, Reading{Unix: 1000}, ms)
	e.Add(0, Reading{Unix: 1000, Doubt: -1}, ms)
	if _, _, ok := e.Estimate(ms); ok {
		t.Error("took a round trip that ends before it begins, or knows too much")
	}
}

func TestEstimatorIsBounded(t *testing.T) {
	var e Estimator
	for i := range 10 * maxSamples {
		at := time.Duration(i) * ms
		e.Add(at, Reading{Unix: int64(at)}, at)
	}
	if len(e.samples) > maxSamples {
		t.Errorf("%d samples are kept", len(e.samples))
	}
}

func TestFirstLeadersWallClockIsClusterTime(t *testing.T) {
	var c Cluster
	if _, ok := c.Now(0); ok {
		t.Error("knows the time before anybody leads")
	}
	c.Lead(5*time.Second, int64(time.Hour), 1)
	now, ok := c.Now(7 * time.Second)
	if want := (Reading{Unix: int64(time.Hour + 2*time.Second), Term: 1}); !ok || now != want {
		t.Errorf("now is %+v, %v, not %+v", now, ok, want)
	}
}

func TestNewLeaderCarriesTheTimeOn(t *testing.T) {
	var c Cluster
	c.Observe(0, Reading{Unix: int64(time.Hour)}, 2*ms)
	c.Lead(time.Second, int64(99*time.Hour), 1) // its own wall clock is far off
	now, _ := c.Now(2 * time.Second)
	if want := int64(time.Hour + 2*time.Second - ms); now.Unix != want {
		t.Errorf("now is %d, not %d", now.Unix, want)
	}
	if now.Doubt < ms {
		t.Errorf("uncertainty %s forgot that of the estimate", now.Doubt)
	}
}

// A minute without a leader, or a day, and clocks that step meanwhile: cluster
// time goes on as if nothing had been.
func TestNewLeaderTrustsNoWallClockOnceTheTimeIsKnown(t *testing.T) {
	for _, silence := range []time.Duration{Window, time.Hour, 24 * time.Hour} {
		for _, step := range []time.Duration{-time.Hour, time.Hour} {
			var c Cluster
			c.Observe(0, Reading{Unix: int64(9 * time.Hour), Term: 4}, 2*ms)
			c.Lead(silence, int64(9*time.Hour+silence+step), 5)
			now, _ := c.Now(silence)
			if off := (time.Duration(now.Unix) - 9*time.Hour - silence).Abs(); off > now.Doubt || now.Doubt > ms+silence/1000 {
				t.Errorf("%s of silence, clocks stepped by %s: off by %s with a doubt of %s", silence, step, off, now.Doubt)
			}
		}
	}
}

// Cluster time goes to the median wall clock at 500 ppm, while nothing is held.
func TestTimeIsSlewedWhileNothingIsHeld(t *testing.T) {
	const at = int64(100 * time.Hour)
	var c, follower Cluster
	c.Lead(0, at, 1)
	now := time.Duration(0)
	walls := func(off time.Duration) []time.Duration {
		return []time.Duration{time.Duration(at) + off, time.Duration(at) + off, 0} // one is decades off
	}
	pass := func(d time.Duration, off time.Duration, hold bool) (from, to Reading, told time.Duration) {
		from, _ = c.Now(now)
		for end := now + d; now < end; now += time.Second {
			told, _ = c.Steer(now, walls(off), hold)
			r, _ := c.Now(now)
			follower.Observe(now, r, now)
		}
		to, _ = c.Now(now)
		return from, to, told
	}
	from, to, told := pass(time.Minute, 2*time.Second, true)
	if time.Duration(to.Unix-from.Unix) != time.Minute || told != -2*time.Second {
		t.Errorf("slewed while a fault is held: %s in a minute, told %s", time.Duration(to.Unix-from.Unix), told)
	}
	from, to, _ = pass(time.Minute, 2*time.Second, false)
	if gained := time.Duration(to.Unix-from.Unix) - time.Minute; gained != 30*ms {
		t.Errorf("gained %s in a minute, not 500 ppm", gained)
	}
	if f, ok := follower.Now(now); !ok || time.Duration(f.Unix-to.Unix).Abs() > f.Doubt || f.Doubt > 10*ms {
		t.Errorf("a follower is off by %s with a doubt of %s", time.Duration(f.Unix-to.Unix), f.Doubt)
	}
	from, to, _ = pass(time.Minute, -2*time.Second, false)
	if lost := time.Minute - time.Duration(to.Unix-from.Unix); lost != 30*ms {
		t.Errorf("lost %s in a minute, not 500 ppm", lost)
	}
	_, _, told = pass(3*time.Hour, -2*time.Second, false)
	if told.Abs() > slewTo {
		t.Errorf("still off by %s", told)
	}
}

func TestClusterTimeNeverStepsBack(t *testing.T) {
	var c Cluster
	c.Applied(int64(2 * time.Hour))
	c.Lead(0, int64(time.Hour), 1) // as after a restart of everything with a clock set back
	before, _ := c.Now(0)
	if before.Unix < int64(2*time.Hour) {
		t.Errorf("stepped back to %s", time.Duration(before.Unix))
	}
	if after, _ := c.Now(time.Second); after.Unix != before.Unix+int64(time.Second) {
		t.Errorf("stands still: %d after %d", after.Unix, before.Unix)
	}
}

func TestFormerLeaderKeepsTheTime(t *testing.T) {
	var c Cluster
	c.Lead(0, int64(time.Hour), 1)
	c.Follow(time.Second)
	now, ok := c.Now(2 * time.Second)
	if !ok || now.Unix != int64(time.Hour+2*time.Second) {
		t.Errorf("now is %d, %v", now.Unix, ok)
	}
}

// What two servers tell must differ by no more than their ways to the leader,
// also where one of them knew the leader before better than its successor did.
func TestEverybodyAgreesWithTheNewLeader(t *testing.T) {
	const hour, way = int64(time.Hour), 100 * time.Microsecond
	var old, next, other Cluster
	old.Lead(0, hour, 1)
	next.Observe(0, Reading{Unix: hour, Term: 1}, 12*ms) // all of it on the way back: 6 ms off
	other.Observe(0, Reading{Unix: hour + int64(way), Term: 1}, 2*way)
	next.Lead(time.Second, 0, 2)
	now, _ := next.Now(2 * time.Second)
	old.Follow(2 * time.Second)
	for what, server := range map[string]*Cluster{"a follower": &other, "the former leader": &old} {
		server.Observe(2*time.Second-way, now, 2*time.Second+way)
		told, ok := server.Now(2 * time.Second)
		if apart := time.Duration(told.Unix - now.Unix).Abs(); !ok || apart > way {
			t.Errorf("%s is %s off the leader, %v", what, apart, ok)
		}
		if told.Term != now.Term {
			t.Errorf("%s tells of term %d", what, told.Term)
		}
	}
}

// A server that is behind does not bring the time of an earlier leader back,
// unless nobody else has been heard of for long: terms begin anew where
// everything was restored.
func TestEarlierTermsAreNotHeard(t *testing.T) {
	var e Estimator
	e.Add(0, Reading{Unix: 1000, Term: 7}, 20*ms)
	e.Add(time.Second, Reading{Unix: int64(time.Second) + 2000, Term: 6}, time.Second+2)
	if offset, _, ok := e.Estimate(time.Second + 2); !ok || offset != 1000-10*ms {
		t.Errorf("offset %s, %v: not that of term 7", offset, ok)
	}
	late := Window + time.Second
	e.Add(late, Reading{Unix: int64(late) + 3000, Term: 1}, late)
	if offset, _, ok := e.Estimate(late); !ok || offset != 3000 {
		t.Errorf("offset %s, %v: term 1 is not heard", offset, ok)
	}
}

// A server's doubt about its own clock is not the length of the way to it.
func TestRoundTripIsTheWayAlone(t *testing.T) {
	var e Estimator
	if _, ok := e.RoundTrip(0); ok {
		t.Error("a round trip before the first")
	}
	e.Add(0, Reading{Unix: 1e9, Doubt: time.Second}, 3*time.Millisecond)
	e.Add(time.Second, Reading{Unix: 2e9, Doubt: time.Second}, time.Second+2*time.Millisecond)
	if trip, ok := e.RoundTrip(2 * time.Second); !ok || trip != 2*time.Millisecond {
		t.Errorf("round trip %s, %t", trip, ok)
	}
	if _, ok := e.RoundTrip(2*time.Second + 2*Window); ok {
		t.Error("an old round trip still counts")
	}
}

// TestWhatIsAcceptedIsNoMoreThanThat: cluster time may come nearer to the wall
// clocks, as it does by itself, but not go further off or to their other side.
func TestWhatIsAcceptedIsNoMoreThanThat(t *testing.T) {
	for _, c := range []struct {
		off, accepted time.Duration
		agrees        bool
	}{
		{0, 0, true},
		{Astray, 0, true},
		{-Astray, 0, true},
		{Astray + 1, 0, false},
		{-Astray - 1, 0, false},
		{time.Minute, time.Minute, true},
		{30 * time.Second, time.Minute, true},
		{time.Minute + Astray + 1, time.Minute, false},
		{-Astray - 1, time.Minute, false},
		{-time.Hour, -time.Hour, true},
		{Astray + 1, -time.Hour, false},
	} {
		if got := Agrees(c.off, c.accepted); got != c.agrees {
			t.Errorf("%s off where %s is accepted: %v", c.off, c.accepted, got)
		}
	}
}
