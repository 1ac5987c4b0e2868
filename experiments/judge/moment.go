package judge

import (
	"fmt"
	"math"
	"slices"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	pb "squall/proto/squall/v1"
)

// moment is a view's readings as they are at its end. It is what expressions
// are evaluated on.
type moment struct {
	view *view
	// begin is the first second that counts: a phase's first. 0 is no bound.
	begin int64
	// over is the trailing stretch in seconds; 0 is each probe's default.
	over int64
	// any says that one host's value is enough, as for what ends a run. Otherwise
	// a statement about a value speaks of all hosts that give one.
	any bool
	// highest are the probes of whose hosts' values the highest is taken, and not
	// the lowest.
	highest []string
}

// extremes are the moment with the lowest and with the highest value that hosts
// gave to each of these probes, in every combination, since nobody knows of which
// host a value is. The first has the lowest of all, the last the highest.
func (m *moment) extremes(valued []string) []*moment {
	all := []*moment{m}
	for _, name := range valued {
		for _, low := range all {
			high := *low
			high.highest = append(slices.Clone(low.highest), name)
			all = append(all, &high)
		}
	}
	return all
}

// at is the instant of the moment.
func (m *moment) at() int64 { return m.view.end * nanos }

// ResolveName gives CEL the value of a declared name.
func (m *moment) ResolveName(name string) (any, bool) {
	if name == "residue" {
		return &record{residueType, func(string) (any, error) { return float64(m.view.readings.Residue()), nil }}, true
	}
	if s, ok := m.view.sources[name]; ok {
		return &record{probeType, func(field string) (any, error) { return m.probe(s, field) }}, true
	}
	if s, ok := m.view.sources["target/"+name]; ok {
		return &record{targetType, func(field string) (any, error) { return m.count(s, 0, len(s.zones), field) }}, true
	}
	if len(name) > len("zones.") && name[:len("zones.")] == "zones." {
		return m.zones(name[len("zones."):])
	}
	return nil, false
}

// Parent is none.
func (m *moment) Parent() cel.Activation { return nil }

func (m *moment) zones(role string) (any, bool) {
	s, ok := m.view.sources["zone/"+role]
	if !ok {
		return nil, false
	}
	list := make([]ref.Val, len(s.zones))
	for i, z := range s.zones {
		list[i] = &record{zoneType, func(field string) (any, error) {
			if field == "name" {
				return z.name, nil
			}
			return m.count(s, i, i+1, field)
		}}
	}
	return types.NewRefValList(types.DefaultTypeAdapter, list), true
}

// value is a field of a probe or target, for findings.
func (m *moment) value(of value) (float64, error) {
	named, ok := m.ResolveName(of.name)
	if !ok {
		return 0, fmt.Errorf("read %s: %w", of.name, errMissing)
	}
	v, err := named.(*record).get(of.field)
	if err != nil {
		return 0, err
	}
	return v.(float64), nil
}

// probe is one field of a probe over the trailing stretch.
func (m *moment) probe(s *source, field string) (any, error) {
	h := m.view.hearings[s]
	if field == "age" {
		age, o := h.age(m.at(), m.view.since, m.view.dark)
		return float64(age) / float64(nanos), lack(o)
	}
	if err := lack(m.view.freshness(s, m.begin).state); err != nil {
		return nil, err
	}
	l := m.view.rollingSum(s, m.stretch(s), m.begin)
	switch field {
	case "success":
		return share(l.total(h))
	case "ok":
		return newest(l, h)
	case "value":
		return extreme(l, h, slices.Contains(m.highest, s.name))
	}
	nanos, ok := l.quantile(h, quantiles[field])
	if !ok {
		return nil, errMissing
	}
	return float64(nanos) / 1e6, nil
}

// lack is the error that stands for a value that is not there.
func lack(o outcome) error {
	switch o {
	case early:
		return errEarly
	case missing:
		return errMissing
	}
	return nil
}

func (m *moment) stretch(s *source) int64 {
	if m.over == 0 {
		return s.stretch()
	}
	return m.over
}

var quantiles = map[string]float64{"p50": 0.50, "p95": 0.95, "p99": 0.99}

func share(count, success uint64) (any, error) {
	if count == 0 {
		return nil, errMissing
	}
	return float64(success) / float64(count), nil
}

// newest is the share of the newest second.
func newest(l *rollingSum, h *hearing) (any, error) {
	var second int64
	var count, success uint64
	l.each(h, func(w *pb.Window) {
		if w.GetSecond() > second {
			second, count, success = w.GetSecond(), 0, 0
		}
		if w.GetSecond() == second {
			count, success = count+w.GetCount(), success+w.GetSuccess()
		}
	})
	return share(count, success)
}

// extreme is the lowest or the highest of what hosts gave of late; what is no
// number is missing.
func extreme(l *rollingSum, h *hearing, highest bool) (any, error) {
	low, high := math.Inf(1), math.Inf(-1)
	for _, zone := range l.values(h) {
		for _, w := range zone {
			low, high = math.Min(low, w.GetLowest()), math.Max(high, w.GetHighest())
		}
	}
	if math.IsNaN(low) || math.IsInf(low, 0) || math.IsInf(high, 0) {
		return nil, errMissing
	}
	if highest {
		return high, nil
	}
	return low, nil
}

// count is one field of the hosts alive in some of a source's zones.
func (m *moment) count(s *source, from, to int, field string) (any, error) {
	var alive, total float64
	for i := from; i < to; i++ {
		n, err := m.alive(s, i)
		if err != nil && field != "total" {
			return nil, err
		}
		alive, total = alive+n, total+float64(len(s.zones[i].bits))
	}
	switch {
	case field == "alive":
		return alive, nil
	case field == "total":
		return total, nil
	case total == 0:
		return nil, errMissing
	}
	return alive / total, nil
}

// alive is how many of a zone's hosts were alive when all of them were last
// heard of: some who were not heard of are not dead, but unknown.
func (m *moment) alive(s *source, zone int) (float64, error) {
	begin := max(m.begin, m.view.since)
	w := m.view.hearings[s].zones[zone].whole
	if w != nil && w.GetSecond() >= max(begin, m.view.end-seconds(s.limit())) {
		return float64(len(s.zones[zone].bits)) * float64(w.GetSuccess()) / float64(w.GetCount()), nil
	}
	if m.at() < s.earlyUntil(begin*nanos) {
		return 0, errEarly
	}
	return 0, errMissing
}

// basis is whose readings an expression rests on at this moment.
func (m *moment) basis(x *expression) []*pb.Basis {
	var list []*pb.Basis
	for _, name := range x.sources() {
		s := m.view.sources[name]
		if s == nil {
			continue
		}
		at := m.view.freshness(s, m.begin)
		if len(s.hosts) > 0 {
			list = append(list, &pb.Basis{Probe: name, Heard: at.heard, Missing: at.missing, Dark: at.dark})
		}
		if s.control() {
			list = append(list, &pb.Basis{Probe: name, Control: true, Heard: at.serversHeard, Missing: at.serversMissing})
		}
	}
	return list
}

// joinBasis adds what one more moment rests on.
func joinBasis(known, more []*pb.Basis) []*pb.Basis {
	if known == nil {
		known = make([]*pb.Basis, len(more))
		for i, b := range more {
			known[i] = &pb.Basis{Probe: b.GetProbe(), Control: b.GetControl()}
		}
	}
	for i, b := range more {
		known[i].Heard = union(known[i].Heard, b.GetHeard())
		known[i].Missing = union(known[i].Missing, b.GetMissing())
		known[i].Dark = union(known[i].Dark, b.GetDark())
	}
	return known
}

// union adds the bits of b to a.
func union(a, b []byte) []byte {
	if len(a) < len(b) {
		a = append(slices.Clone(a), make([]byte, len(b)-len(a))...)
	}
	for i := range b {
		a[i] |= b[i]
	}
	return a
}
