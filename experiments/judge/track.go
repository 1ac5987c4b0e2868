package judge

import (
	"slices"
	"time"

	pb "squall/proto/squall/v1"
)

// patience is how long after a window is due a second is kept open for it.
const patience = int64(3 * time.Second)

// stride bounds the seconds that are closed at one time, so that catching up
// on a long run holds up nothing.
const stride = 200

// Track judges one run as its readings come in: each second once, when all
// that is expected of it is there or won't come any more. Forgetting a Track
// costs time, not truth: a new one judges the run from its beginning.
//
// A Track is for one goroutine. Instants are cluster time.
type Track struct {
	judge *Judge
	// run is what was last seen of it; runs that are seen are not changed.
	run *pb.Run
	t0  int64
	// newest is for what must be known now, closed for what is judged once.
	newest, closed *view
	phases         []stretch
	checks         []*check
	// judged are the sources that they speak of.
	judged []*source
	// cut is when the run's faults ended before their time; 0 where they did not.
	cut     int64
	gaps    map[*source]*gaps
	streaks []streak
	// verified are, for what must hold after the revert, the second since which it
	// has held without a break; 0 is none.
	verified []int64
}

// Track begins to judge a run.
func (j *Judge) Track() *Track { return &Track{judge: j} }

// see takes what is known of the run and its readings by now.
func (t *Track) see(run *pb.Run, r Readings) {
	if since := began(run) / nanos; t.closed == nil || t.t0 != run.GetT0UnixNanos() || t.closed.since != since {
		t.begin(run, since)
	}
	if t.run != run {
		t.run, t.phases, t.cut = run, phases(run), cutOf(run)
		t.newest.dark = darkOf(run)
		t.closed.dark = t.newest.dark
	}
	t.newest.readings, t.closed.readings = r, r
}

func (t *Track) begin(run *pb.Run, since int64) {
	sources, zone := map[string]*source{}, map[string]string{}
	for _, h := range run.GetPlan().GetHosts() {
		zone[h.GetName()] = h.GetZone()
	}
	t.gaps = map[*source]*gaps{}
	for _, p := range run.GetPlan().GetProbes() {
		s := newSource(p, zone)
		sources[p.GetName()] = s
		t.gaps[s] = &gaps{source: s}
	}
	t.t0 = run.GetT0UnixNanos()
	t.newest, t.closed = newView(sources, since), newView(sources, since)
	t.checks, t.run = t.judge.checks(run), nil
	t.judged = nil
	over := int64(0)
	for _, c := range t.checks {
		over = max(over, c.over)
		for _, name := range c.x.sources() {
			if s := sources[name]; s != nil && !slices.Contains(t.judged, s) {
				t.judged = append(t.judged, s)
			}
		}
	}
	t.closed.settle(over)
	t.streaks, t.verified = make([]streak, len(t.judge.abort)), make([]int64, len(t.judge.verify))
}

// Follow judges the seconds that have come to be known. It reports false where
// there are more than it takes at one time: then it should be asked again soon.
func (t *Track) Follow(run *pb.Run, r Readings, now time.Time) bool {
	t.see(run, r)
	for range stride {
		if !t.closes(t.closed.end, now.UnixNano()) {
			return true
		}
		t.closeNext()
	}
	return false
}

// Closed is the instant up to which seconds have been judged.
func (t *Track) Closed() time.Time {
	if t.closed == nil {
		return time.Time{}
	}
	return time.Unix(t.closed.end, 0).UTC()
}

// finish judges all that is left up to now: what is not there is missing.
func (t *Track) finish(now int64) {
	for t.closed.end < now/nanos {
		t.closeNext()
	}
}

// closes tells whether a second will not change any more.
func (t *Track) closes(second, now int64) bool {
	end := (second + 1) * nanos
	if now < end {
		return false
	}
	for _, s := range t.judged {
		if now < end+s.limit()+patience && !t.arrived(s, second, now/nanos) {
			return false
		}
	}
	return true
}

// arrived tells whether every host that is to speak has done so in a second,
// after it, or since the last attempt before its end was planned: windows of one
// host come in their order.
func (t *Track) arrived(s *source, second, now int64) bool {
	from := min(second, s.first((second+1)*nanos-s.every)/nanos)
	silent := map[[2]int]bool{}
	for i, z := range s.zones {
		for _, bit := range z.bits {
			if s.counts || !t.closed.dark.host(s.hosts[bit], s, (second+1)*nanos) {
				silent[[2]int{i, bit}] = true
			}
		}
		if z.control {
			t.expectServers(s, i, second, silent)
		}
	}
	for at := from; at < now && len(silent) > 0; at++ {
		for i, z := range s.zones {
			w := t.closed.live(s, z, at)
			for key := range silent {
				if key[0] == i && has(w.GetHosts(), key[1]) {
					delete(silent, key)
				}
			}
		}
	}
	return len(silent) == 0
}

// expectServers adds the servers that have spoken by now, as many as are not
// taken down by the run itself.
func (t *Track) expectServers(s *source, zone int, second int64, silent map[[2]int]bool) {
	if t.closed.dark.serversDown(s, (second+1)*nanos) > 0 {
		silent[[2]int{zone, maxServers}] = true // which of them is not known: time tells
		return
	}
	for bit, server := range t.closed.hearings[s].servers {
		if server.any {
			silent[[2]int{zone, bit}] = true
		}
	}
}

// closeNext judges the next second.
func (t *Track) closeNext() {
	second := t.closed.end
	t.closed.move(second + 1)
	for _, s := range t.closed.sources {
		if s.counts {
			continue
		}
		for _, z := range s.zones {
			if w := t.closed.window(s, z, second); w != nil {
				t.gaps[s].note(w)
			}
		}
	}
	if t.t0 == 0 {
		return
	}
	for _, c := range t.checks {
		c.judge(t)
	}
	if begin := gone(t.run); begin != 0 && second >= begin {
		for i, x := range t.judge.verify {
			t.verified[i] = held(t.verified[i], t.closed.end, x.eval(&moment{view: t.closed, begin: begin}))
		}
	}
}

// phase is a phase by its name, as far as the run came.
func (t *Track) phase(name string) stretch {
	if i := slices.IndexFunc(t.phases, func(p stretch) bool { return p.name == name }); i >= 0 {
		return t.phases[i]
	}
	return stretch{name: name}
}

// goodSince is since when no probe of an expression has failed in a phase; 0
// where one did to its end, or none did at all.
func (t *Track) goodSince(x *expression, p stretch) int64 {
	var since int64
	for _, name := range x.probes {
		s := t.closed.sources[name]
		if s == nil {
			continue
		}
		gap := t.gaps[s].in(p)
		if gap != nil && gap.GetGoodSinceUnixNanos() == 0 {
			return 0
		}
		since = max(since, gap.GetGoodSinceUnixNanos())
	}
	return since
}

// gapFindings tell the gaps of all probes in all phases.
func (t *Track) gapFindings(run *pb.Run) []*pb.Finding {
	var findings []*pb.Finding
	for _, p := range run.GetPlan().GetProbes() {
		for _, phase := range t.phases {
			if f := t.gaps[t.closed.sources[p.GetName()]].finding(phase, t.t0); f != nil && len(findings) < maxGaps {
				findings = append(findings, f)
			}
		}
	}
	return findings
}

// maxGaps bounds what a run tells of gaps.
const maxGaps = 256
