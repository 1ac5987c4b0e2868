package judge_test

// This file is a second judge, written from docs/experiment-file.md alone:
// slow, and plain enough to be read beside it.

import (
	"math"

	pb "squall/proto/squall/v1"
)

const second = int64(1e9)

// answer is what a statement is at a moment.
type answer int

const (
	yes answer = iota
	no
	unknown
	tooEarly
)

// plainProbe is a probe as the documentation speaks of it.
type plainProbe struct {
	name           string
	every, timeout int64
	counts         bool
	hosts, zone    []string // by bit
}

func (p *plainProbe) limit() int64 { return 2*p.every + p.timeout }

// firstAttempt is the first whole multiple of `every` from an instant on.
func (p *plainProbe) firstAttempt(from int64) int64 {
	at := from / p.every * p.every
	for at < from {
		at += p.every
	}
	return at
}

func (p *plainProbe) zones() []string {
	seen, out := map[string]bool{}, []string(nil)
	for _, z := range p.zone {
		if !seen[z] {
			seen[z] = true
			out = append(out, z)
		}
	}
	return out
}

// plainStore holds windows by probe, zone and second.
type plainStore map[string]map[string]map[int64]*pb.Window

func (s plainStore) at(probe, zone string, sec int64) *pb.Window { return s[probe][zone][sec] }

func (s plainStore) put(probe, zone string, sec int64, w *pb.Window) {
	if s[probe] == nil {
		s[probe] = map[string]map[int64]*pb.Window{}
	}
	if s[probe][zone] == nil {
		s[probe][zone] = map[int64]*pb.Window{}
	}
	s[probe][zone][sec] = w
}

// plainModel judges one run.
type plainModel struct {
	since  int64 // the first second with readings
	probes map[string]*plainProbe
	dark   map[string][][2]int64 // host -> from, to
	known  plainStore            // what has arrived
	frozen plainStore            // what had when its second was judged
	next   int64                 // the second to be judged next
	checks []*plainCheck
}

// plainCheck is a proof or expectation with what came of it.
type plainCheck struct {
	is               statement
	over             int64
	phases           []plainPhase
	within           bool
	due              int64
	beforeAt         int64 // 0: not a proof
	before           answer
	broken, missing  int
	firstBroken      int64
	firstMissing     int64
	judged           map[string]int
	phase            string
	since            int64
	heard, gone, out map[string]map[int]bool
}

type plainPhase struct {
	name       string
	start, end int64
}

// begin is the first second that lies wholly in the phase.
func (p plainPhase) begin() int64 { return int64(math.Ceil(float64(p.start+20e6) / 1e9)) }

// follow judges every second that will not change any more.
func (m *plainModel) follow(now int64) {
	for m.over(m.next, now) {
		m.judge()
	}
}

// finish judges what is left: what is not there is missing.
func (m *plainModel) finish(now int64) {
	for m.next < now/second {
		m.judge()
	}
}

func (m *plainModel) over(sec, now int64) bool {
	if now < (sec+1)*second {
		return false
	}
	for _, p := range m.spokenOf() {
		if now < (sec+1)*second+p.limit()+3*second && !m.told(p, sec, now) {
			return false
		}
	}
	return true
}

// spokenOf are the probes that proofs and expectations name.
func (m *plainModel) spokenOf() []*plainProbe {
	var all []*plainProbe
	for name, p := range m.probes {
		for _, c := range m.checks {
			if namesIn(c.is)[name] {
				all = append(all, p)
				break
			}
		}
	}
	return all
}

// told tells whether everyone has spoken of a second, or later, or since the
// last attempt before its end.
func (m *plainModel) told(p *plainProbe, sec, now int64) bool {
	attempt := p.firstAttempt((sec + 1) * second)
	for attempt >= (sec+1)*second {
		attempt -= p.every
	}
	l := look{m: m, from: m.known, end: now / second}
	for bit, host := range p.hosts {
		at := look{m: m, from: m.known, end: sec + 1}
		if !p.counts && at.isDark(p, host) {
			continue
		}
		if _, spoke := l.last(p, bit, min(sec, attempt/second)); !spoke {
			return false
		}
	}
	return true
}

func (m *plainModel) judge() {
	for _, p := range m.probes {
		for _, z := range p.zones() {
			m.frozen.put(p.name, z, m.next, m.known.at(p.name, z, m.next))
		}
	}
	m.next++
	for _, c := range m.checks {
		c.judge(m)
	}
}

func (c *plainCheck) judge(m *plainModel) {
	if m.next == c.beforeAt {
		c.before = ofEach(c.is, look{m: m, from: m.frozen, end: m.next, over: c.over})
	}
	for _, p := range c.phases {
		if c.within {
			p.end = max(p.end, c.due*second)
		}
		if m.next <= p.begin() || m.next*second > p.end {
			continue
		}
		l := look{m: m, from: m.frozen, end: m.next, begin: p.begin(), over: c.over}
		a := ofEach(c.is, l)
		if c.within && a != yes {
			c.since = 0
		} else if c.within && c.since == 0 {
			c.since = m.next
		}
		if !c.within || m.next >= c.due {
			c.count(l, a, p.name)
		}
	}
}

func (c *plainCheck) count(l look, a answer, phase string) {
	if a != tooEarly {
		c.judged[phase]++
		c.note(l)
	}
	switch a {
	case no:
		c.broken++
		if c.firstBroken == 0 {
			c.firstBroken = l.end * second
		}
	case unknown:
		c.missing++
		if c.firstMissing == 0 {
			c.firstMissing = l.end * second
		}
	default:
		return
	}
	if c.phase == "" {
		c.phase = phase
	}
}

// note remembers whose readings it rests on.
func (c *plainCheck) note(l look) {
	for name := range namesIn(c.is) {
		heard, gone, dark, _ := l.who(l.m.probes[name])
		for to, bits := range map[*map[string]map[int]bool]map[int]bool{&c.heard: heard, &c.gone: gone, &c.out: dark} {
			for bit := range bits {
				if (*to)[name] == nil {
					(*to)[name] = map[int]bool{}
				}
				(*to)[name][bit] = true
			}
		}
	}
}

// state is what the check comes to, and in which phase and when it broke.
func (c *plainCheck) state() (state pb.FindingState, phase string, at int64) {
	missing, phase := c.missing, c.phase
	judged := 0
	for _, p := range c.phases {
		judged += c.judged[p.name]
		if c.judged[p.name] == 0 && !c.within {
			missing++
			if phase == "" {
				phase = p.name
			}
		}
	}
	switch {
	case c.broken > 0:
		state, at = pb.FindingState_FINDING_STATE_BROKEN, c.firstBroken
	case missing > 0 || judged == 0:
		state, at = pb.FindingState_FINDING_STATE_UNKNOWN, c.firstMissing
	default:
		state = pb.FindingState_FINDING_STATE_HOLDS
	}
	if c.within {
		phase, at = c.phases[0].name, c.since*second
	}
	if c.beforeAt != 0 && state == pb.FindingState_FINDING_STATE_HOLDS && c.before != no {
		state, at = pb.FindingState_FINDING_STATE_UNKNOWN, c.beforeAt*second
	}
	return state, phase, at
}
