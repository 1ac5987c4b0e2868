package judge

import (
	"fmt"
	"math"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"squall/proto/hist"
	pb "squall/proto/squall/v1"
)

// A count of hosts alive is taken each second; its answer may travel as long
// as it takes to elect a leader.
const (
	countEvery   = time.Second
	countTimeout = 3 * time.Second
)

// moment is the readings as they are at the end of a whole second. It is what
// expressions are evaluated on.
type moment struct {
	view *view
	// end is the first second that is still to come.
	end int64
	// begin is the first second that counts: a phase's first. 0 is no bound.
	begin int64
	// over is the trailing stretch in seconds; 0 is each probe's default.
	over int64
}

// view is a plan with what was measured under it.
type view struct {
	readings Readings
	probes   map[string]*source
	// since is the second before which there were no readings.
	since int64
}

// source is where a probe's windows come from.
type source struct {
	name           string
	every, timeout time.Duration
	zones          []*zoneSource
}

// zoneSource is a zone with the places of its hosts in the windows' bitmaps.
type zoneSource struct {
	name string
	bits []int
}

func newView(p *pb.Plan, r Readings, since int64) *view {
	v := &view{readings: r, probes: map[string]*source{}, since: since}
	zone := map[string]string{}
	for _, h := range p.GetHosts() {
		zone[h.GetName()] = h.GetZone()
	}
	for _, probe := range p.GetProbes() {
		v.probes[probe.GetName()] = newSource(probe, zone)
	}
	return v
}

func newSource(p *pb.PlannedProbe, zone map[string]string) *source {
	s := &source{name: p.GetName(), every: countEvery, timeout: countTimeout}
	if p.GetProbe() != nil {
		s.every, s.timeout = span(p.Probe.GetEvery(), time.Second), span(p.Probe.GetTimeout(), time.Second)
	}
	at := map[string]*zoneSource{}
	for bit, host := range p.GetHosts() {
		name := zone[host]
		if at[name] == nil {
			at[name] = &zoneSource{name: name}
			s.zones = append(s.zones, at[name])
		}
		at[name].bits = append(at[name].bits, bit)
	}
	if p.GetControl() {
		s.zones = append(s.zones, &zoneSource{})
	}
	return s
}

func span(s *pb.Span, otherwise time.Duration) time.Duration {
	if s == nil {
		return otherwise
	}
	return time.Duration(s.GetNanos())
}

// limit is the age from which a value is missing.
func (s *source) limit() time.Duration { return 2*s.every + s.timeout }

// stretch is the default of `over` in seconds.
func (s *source) stretch() int64 { return max(seconds(2*s.every), 1) }

// seconds rounds up to whole seconds.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// ResolveName gives CEL the value of a declared name.
func (m *moment) ResolveName(name string) (any, bool) {
	if name == "residue" {
		return &record{residueType, func(string) (any, error) { return float64(m.view.readings.Residue()), nil }}, true
	}
	if s, ok := m.view.probes[name]; ok {
		return &record{probeType, func(field string) (any, error) { return m.probe(s, field) }}, true
	}
	if s, ok := m.view.probes["target/"+name]; ok {
		return &record{targetType, func(field string) (any, error) { return m.count(s.zones, s, field) }}, true
	}
	if len(name) > len("zones.") && name[:len("zones.")] == "zones." {
		return m.zones(name[len("zones."):])
	}
	return nil, false
}

// Parent is none.
func (m *moment) Parent() cel.Activation { return nil }

func (m *moment) zones(role string) (any, bool) {
	s, ok := m.view.probes["zone/"+role]
	if !ok {
		return nil, false
	}
	list := make([]ref.Val, len(s.zones))
	for i, z := range s.zones {
		list[i] = &record{zoneType, func(field string) (any, error) {
			if field == "name" {
				return z.name, nil
			}
			return m.count([]*zoneSource{z}, s, field)
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
	if field == "age" {
		return m.age(s).Seconds(), nil
	}
	if m.age(s) > s.limit() {
		return nil, errMissing
	}
	windows := m.windows(s)
	if len(windows) == 0 {
		return nil, errEarly
	}
	switch field {
	case "success":
		return success(windows)
	case "ok":
		return success(newest(windows))
	case "value":
		return lastValue(windows)
	}
	return quantile(windows, quantiles[field])
}

var quantiles = map[string]float64{"p50": 0.50, "p95": 0.95, "p99": 0.99}

// age is how old the newest reading is, in the zone where it is oldest: a
// probe that has gone blind in one zone does not speak for all.
func (m *moment) age(s *source) time.Duration {
	var oldest time.Duration
	for _, z := range s.zones {
		oldest = max(oldest, m.zoneAge(s, z))
	}
	if len(s.zones) == 0 {
		return math.MaxInt64
	}
	return oldest
}

func (m *moment) zoneAge(s *source, z *zoneSource) time.Duration {
	for second := m.end - 1; second >= m.view.since; second-- {
		if w := m.view.readings.Window(s.name, z.name, second); w.GetCount() > 0 {
			return max(time.Duration(m.end*1e9-newestAttempt(w)), 0)
		}
	}
	return time.Duration(max(m.end-m.view.since, 0)) * time.Second
}

func newestAttempt(w *pb.Window) int64 {
	if n := w.GetNewestUnixNanos(); n != 0 {
		return n
	}
	return (w.GetSecond() + 1) * 1e9
}

// windows are all zones' windows of the trailing stretch, as far as they
// count. Where a probe is slower than the stretch, its newest stand for it.
func (m *moment) windows(s *source) []*pb.Window {
	over := m.over
	if over == 0 {
		over = s.stretch()
	}
	var all []*pb.Window
	for _, z := range s.zones {
		from := max(m.begin, m.end-over, m.view.since)
		found := m.between(s, z, from, m.end)
		for second := from - 1; len(found) == 0 && second >= max(m.begin, m.view.since, m.end-seconds(s.limit())); second-- {
			found = m.between(s, z, second, second+1)
		}
		all = append(all, found...)
	}
	return all
}

func (m *moment) between(s *source, z *zoneSource, from, to int64) []*pb.Window {
	var found []*pb.Window
	for second := from; second < to; second++ {
		if w := m.view.readings.Window(s.name, z.name, second); w.GetCount() > 0 {
			found = append(found, w)
		}
	}
	return found
}

// count is one field of the hosts alive in some zones.
func (m *moment) count(zones []*zoneSource, s *source, field string) (any, error) {
	var alive, total float64
	for _, z := range zones {
		n, err := m.alive(s, z)
		if err != nil && field != "total" {
			return nil, err
		}
		alive, total = alive+n, total+float64(len(z.bits))
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
func (m *moment) alive(s *source, z *zoneSource) (float64, error) {
	from := max(m.end-seconds(s.limit()), m.view.since)
	for second := m.end - 1; second >= from; second-- {
		w := m.view.readings.Window(s.name, z.name, second)
		if !complete(w, z) {
			continue
		}
		if second < m.begin {
			return 0, errEarly
		}
		return float64(len(z.bits)) * float64(w.GetSuccess()) / float64(w.GetCount()), nil
	}
	return 0, errMissing
}

func complete(w *pb.Window, z *zoneSource) bool {
	for _, bit := range z.bits {
		if i := bit / 8; i >= len(w.GetHosts()) || w.Hosts[i]&(1<<(bit%8)) == 0 {
			return false
		}
	}
	return w.GetCount() > 0
}

func success(windows []*pb.Window) (any, error) {
	var good, all uint64
	for _, w := range windows {
		good, all = good+w.GetSuccess(), all+w.GetCount()
	}
	if all == 0 {
		return nil, errMissing
	}
	return float64(good) / float64(all), nil
}

// newest keeps the windows of the newest second.
func newest(windows []*pb.Window) []*pb.Window {
	var last int64
	for _, w := range windows {
		last = max(last, w.GetSecond())
	}
	var found []*pb.Window
	for _, w := range windows {
		if w.GetSecond() == last {
			found = append(found, w)
		}
	}
	return found
}

func lastValue(windows []*pb.Window) (any, error) {
	var last *pb.Window
	for _, w := range windows {
		if w.GetHasValue() && (last == nil || newestAttempt(w) > newestAttempt(last)) {
			last = w
		}
	}
	if last == nil {
		return nil, errMissing
	}
	return last.GetValue(), nil
}

// quantile is in milliseconds.
func quantile(windows []*pb.Window, q float64) (any, error) {
	merged := &pb.Histogram{}
	for _, w := range windows {
		if err := hist.Merge(merged, w.GetLatency()); err != nil {
			return nil, err
		}
	}
	nanos, ok := hist.Quantile(merged, q)
	if !ok {
		return nil, errMissing
	}
	return float64(nanos) / 1e6, nil
}
