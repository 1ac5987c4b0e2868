package judge_test

// What statements and values are at a moment, as docs/experiment-file.md has it.

import (
	"math"
	"slices"
	"sort"

	"squall/proto/hist"
	pb "squall/proto/squall/v1"
)

// look is the moment at the end of a second: what is before `end` counts, and in
// a phase what is not before `begin`.
type look struct {
	m          *plainModel
	from       plainStore
	end, begin int64
	over       int64
	highest    map[string]bool // the probes of whose hosts' values the highest counts, not the lowest
}

// ofEach is what a statement is for the lowest and for the highest values that
// hosts give, where it has to hold for all of them. Where it holds for both, and
// not for one probe's lowest beside another's highest, nobody knows.
func ofEach(s statement, l look) answer {
	all := whichever(s, l)
	return mixed(all, both{all[0], all[len(all)-1]}.ask(l), yes)
}

// ofAny is the same where one of them is enough.
func ofAny(s statement, l look) answer {
	all := whichever(s, l)
	return mixed(all, either{all[0], all[len(all)-1]}.ask(l), no)
}

func mixed(all []given, is, unless answer) answer {
	if is == unless && slices.ContainsFunc(all, func(g given) bool { return answer(g) != unless }) {
		return unknown
	}
	return is
}

// whichever is what the statement is for each choice of lowest and highest.
func whichever(s statement, l look) (all []given) {
	names := valued(s)
	for choice := range 1 << len(names) {
		l.highest = map[string]bool{}
		for i, name := range names {
			l.highest[name] = choice>>i&1 == 1
		}
		all = append(all, given(s.ask(l)))
	}
	return all
}

// valued are the probes whose values a statement compares.
func valued(s statement) []string {
	var all []string
	switch s := s.(type) {
	case compare:
		if s.field == "value" {
			all = []string{s.probe}
		}
	case both:
		all = slices.Concat(valued(s.a), valued(s.b))
	case either:
		all = slices.Concat(valued(s.a), valued(s.b))
	case not:
		all = valued(s.a)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// given is a statement that has been answered.
type given answer

func (g given) ask(look) answer { return answer(g) }

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
	if field == "value" {
		return l.extreme(p, l.highest[probe])
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
	case "p50":
		return median(windows)
	}
	var good, all uint64
	for _, w := range windows {
		good, all = good+w.Success, all+w.Count
	}
	return float64(good) / float64(all), yes
}

// extreme is over what each zone's hosts gave in their last round of attempts.
func (l look) extreme(p *plainProbe, highest bool) (float64, answer) {
	var given []float64
	for _, z := range p.zones() {
		hosts := 0
		for bit := range p.hosts {
			if p.zone[bit] == z {
				hosts++
			}
		}
		round := max(int64(math.Ceil(float64(p.every)/1e9)), 1)
		if hosts == 1 {
			round = 1
		}
		var mine []*pb.Window
		for _, w := range l.windows(p) {
			if w.Zone == z && w.HasValue {
				mine = append(mine, w)
			}
		}
		sort.SliceStable(mine, func(i, j int) bool { return mine[i].Second > mine[j].Second })
		for _, w := range mine {
			if w.Second > mine[0].Second-round {
				given = append(given, w.Lowest, w.Highest)
			}
		}
	}
	for _, v := range given {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return 0, unknown
		}
	}
	switch {
	case len(given) == 0:
		return 0, unknown
	case highest:
		return slices.Max(given), yes
	}
	return slices.Min(given), yes
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
