package judge_test

// This file is a second judge, written from docs/experiment-file.md alone:
// slow, and plain enough to be read beside it.

import (
	"math"
	"sort"

	"squall/proto/hist"
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

// look is the moment at the end of a second: what is before `end` counts, and in
// a phase what is not before `begin`.
type look struct {
	m          *plainModel
	from       plainStore
	end, begin int64
	over       int64
}

// statement is a check; it is asked for each look.
type statement interface{ ask(look) answer }

type compare struct {
	probe, field, op string
	limit            float64
	other            string // another field of the same target
}
type (
	both   struct{ a, b statement }
	either struct{ a, b statement }
	not    struct{ a statement }
)

func (s not) ask(l look) answer {
	switch a := s.a.ask(l); a {
	case yes:
		return no
	case no:
		return yes
	default:
		return a
	}
}

func (s both) ask(l look) answer {
	a, b := s.a.ask(l), s.b.ask(l)
	switch {
	case a == no || b == no:
		return no
	case a != yes:
		return a
	}
	return b
}

func (s either) ask(l look) answer {
	a, b := s.a.ask(l), s.b.ask(l)
	switch {
	case a == yes || b == yes:
		return yes
	case a != no:
		return a
	}
	return b
}

func (s compare) ask(l look) answer {
	v, a := l.value(s.probe, s.field)
	limit := s.limit
	if a == yes && s.other != "" {
		limit, a = l.value(s.probe, s.other)
	}
	if a != yes {
		return a
	}
	held := map[string]bool{"<": v < limit, "<=": v <= limit, ">": v > limit, ">=": v >= limit, "==": v == limit, "!=": v != limit}[s.op]
	if held {
		return yes
	}
	return no
}

func (l look) lowest() int64 { return max(l.begin, l.m.since) }

// window is one that counts: one that its hosts could have made.
func (l look) window(p *plainProbe, zone string, sec int64) *pb.Window {
	w := l.from.at(p.name, zone, sec)
	if w == nil {
		return nil
	}
	hosts := uint64(0)
	for bit := range p.hosts {
		if w.Hosts[bit/8]&(1<<(bit%8)) != 0 {
			hosts++
		}
	}
	most := hosts * 2 * uint64((second+p.timeout)/p.every+1)
	if w.Count == 0 || w.Success > w.Count || w.Count > most || hist.Count(w.Latency) > w.Count {
		return nil
	}
	return w
}

// last is the newest attempt of a host since a second.
func (l look) last(p *plainProbe, bit int, since int64) (at int64, ok bool) {
	for sec := l.end - 1; sec >= since; sec-- {
		if w := l.window(p, p.zone[bit], sec); w != nil && w.Hosts[bit/8]&(1<<(bit%8)) != 0 {
			return w.NewestUnixNanos, true
		}
	}
	return 0, false
}

func (l look) isDark(p *plainProbe, host string) bool {
	for _, d := range l.m.dark[host] {
		if d[0] <= l.end*second && l.end*second < p.firstAttempt(d[1])+p.limit() {
			return true
		}
	}
	return false
}

// host tells whether a host has spoken lately in the phase.
func (l look) host(p *plainProbe, bit int) answer {
	at, spoke := l.last(p, bit, l.lowest())
	switch {
	case spoke && l.end*second-at <= p.limit():
		return yes
	case !spoke && l.end*second < p.firstAttempt(l.lowest()*second)+p.limit():
		return tooEarly
	}
	return unknown
}

// who sorts a probe's hosts.
func (l look) who(p *plainProbe) (heard, gone, dark map[int]bool, soon bool) {
	heard, gone, dark = map[int]bool{}, map[int]bool{}, map[int]bool{}
	for bit, host := range p.hosts {
		switch a := l.host(p, bit); {
		case a == yes:
			heard[bit] = true
		case !p.counts && l.isDark(p, host):
			dark[bit] = true
		case a == unknown:
			gone[bit] = true
		default:
			soon = true
		}
	}
	return heard, gone, dark, soon
}

func (l look) value(probe, field string) (float64, answer) {
	p := l.m.probes[probe]
	switch {
	case p.counts && field == "total":
		return float64(len(p.hosts)), yes
	case p.counts:
		return l.alive(p)
	case field == "age":
		return l.age(p)
	}
	heard, gone, _, soon := l.who(p)
	switch {
	case len(gone) > 0 || !soon && len(heard) == 0:
		return 0, unknown
	case soon:
		return 0, tooEarly
	}
	return figure(field, l.windows(p))
}

// windows are those of the trailing stretch, and of a zone without one its newest.
func (l look) windows(p *plainProbe) []*pb.Window {
	over := l.over
	if over == 0 {
		over = max(int64(math.Ceil(float64(2*p.every)/1e9)), 1)
	}
	oldest := l.end - int64(math.Ceil(float64(p.limit())/1e9))
	var all []*pb.Window
	for _, z := range p.zones() {
		var mine []*pb.Window
		for sec := max(l.lowest(), l.end-over); sec < l.end; sec++ {
			if w := l.window(p, z, sec); w != nil {
				mine = append(mine, w)
			}
		}
		for sec := l.end - 1; len(mine) == 0 && sec >= max(l.lowest(), oldest); sec-- {
			if w := l.window(p, z, sec); w != nil {
				mine = append(mine, w)
			}
		}
		all = append(all, mine...)
	}
	return all
}

func figure(field string, windows []*pb.Window) (float64, answer) {
	sort.SliceStable(windows, func(i, j int) bool { return windows[i].Second < windows[j].Second })
	switch field {
	case "ok":
		newest := windows[len(windows)-1].Second
		for windows[0].Second != newest {
			windows = windows[1:]
		}
	case "value":
		return newestValue(windows)
	case "p50":
		return median(windows)
	}
	var good, all uint64
	for _, w := range windows {
		good, all = good+w.Success, all+w.Count
	}
	return float64(good) / float64(all), yes
}

func newestValue(windows []*pb.Window) (float64, answer) {
	var newest *pb.Window
	for _, w := range windows {
		if !w.HasValue {
			continue
		}
		if newest == nil || w.NewestUnixNanos > newest.NewestUnixNanos || w.NewestUnixNanos == newest.NewestUnixNanos && w.Zone < newest.Zone {
			newest = w
		}
	}
	if newest == nil || math.IsNaN(newest.Value) || math.IsInf(newest.Value, 0) {
		return 0, unknown
	}
	return newest.Value, yes
}

func median(windows []*pb.Window) (float64, answer) {
	all := &pb.Histogram{}
	for _, w := range windows {
		_ = hist.Merge(all, w.Latency)
	}
	n, ok := hist.Quantile(all, 0.5)
	if !ok {
		return 0, unknown
	}
	return float64(n) / 1e6, yes
}

func (l look) age(p *plainProbe) (float64, answer) {
	oldest, speakers, soon := int64(0), 0, false
	l.begin = 0
	for bit, host := range p.hosts {
		at, spoke := l.last(p, bit, l.m.since)
		fresh := spoke && l.end*second-at <= p.limit()
		switch {
		case !fresh && l.isDark(p, host):
		case spoke:
			oldest, speakers = max(oldest, l.end*second-at), speakers+1
		case l.end*second < p.firstAttempt(l.m.since*second)+p.limit():
			soon = true
		default:
			oldest, speakers = max(oldest, (l.end-l.m.since)*second), speakers+1
		}
	}
	switch {
	case soon:
		return 0, tooEarly
	case speakers == 0:
		return 0, unknown
	}
	return float64(oldest) / 1e9, yes
}

// alive is by the newest second with all hosts of each zone in it.
func (l look) alive(p *plainProbe) (float64, answer) {
	total := 0.0
	for _, z := range p.zones() {
		n, a := l.aliveIn(p, z)
		if a != yes {
			return 0, a
		}
		total += n
	}
	return total, yes
}

func (l look) aliveIn(p *plainProbe, zone string) (float64, answer) {
	for sec := l.end - 1; sec >= max(l.lowest(), l.end-5); sec-- {
		w, hosts, all := l.window(p, zone, sec), 0.0, true
		for bit := range p.hosts {
			if p.zone[bit] == zone {
				hosts++
				all = all && w != nil && w.Hosts[bit/8]&(1<<(bit%8)) != 0
			}
		}
		if all {
			return hosts * float64(w.Success) / float64(w.Count), yes
		}
	}
	if l.end*second < p.firstAttempt(l.lowest()*second)+p.limit() {
		return 0, tooEarly
	}
	return 0, unknown
}

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
		c.before = c.is.ask(look{m: m, from: m.frozen, end: m.next, over: c.over})
	}
	for _, p := range c.phases {
		if c.within {
			p.end = max(p.end, c.due*second)
		}
		if m.next <= p.begin() || m.next*second > p.end {
			continue
		}
		l := look{m: m, from: m.frozen, end: m.next, begin: p.begin(), over: c.over}
		a := c.is.ask(l)
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

func namesIn(s statement) map[string]bool {
	names := map[string]bool{}
	switch s := s.(type) {
	case compare:
		names[s.probe] = true
	case not:
		return namesIn(s.a)
	case both:
		for _, x := range []statement{s.a, s.b} {
			for n := range namesIn(x) {
				names[n] = true
			}
		}
	case either:
		return namesIn(both(s))
	}
	return names
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
