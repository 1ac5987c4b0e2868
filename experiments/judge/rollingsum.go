package judge

import (
	"slices"

	"squall/proto/hist"
	pb "squall/proto/squall/v1"
)

// rollingSum is the sum of a source's windows over a trailing stretch. Moving it on
// by a second costs the same however long the stretch is.
type rollingSum struct {
	source *source
	// over and begin say which: over seconds, none before begin.
	over, begin int64
	// from and to are the seconds in it: from <= second < to.
	from, to       int64
	zones          []map[int64]*pb.Window
	count, success uint64
	latency        hist.Sliding
	// moves is the view's count when it was moved last.
	moves int
}

// sumKey names a rolling sum of a view.
type sumKey struct {
	source      *source
	over, begin int64
}

func newRollingSum(k sumKey) *rollingSum {
	l := &rollingSum{source: k.source, over: k.over, begin: k.begin}
	for range k.source.zones {
		l.zones = append(l.zones, map[int64]*pb.Window{})
	}
	return l
}

// move makes it end before a second. The last seconds of what it held before,
// as many as may have changed, are read again.
func (l *rollingSum) move(v *view, end, again int64) {
	from := max(l.begin, v.since, end-l.over)
	next := max(from, l.to-again)
	if end < l.to || l.to < from {
		l.drop(l.to)
		next, l.from = from, from
	}
	l.drop(from)
	for second := next; second < end; second++ {
		for i, z := range l.source.zones {
			l.put(i, second, v.window(l.source, z, second))
		}
	}
	l.from, l.to = from, end
}

// drop takes out what lies before a second.
func (l *rollingSum) drop(before int64) {
	for ; l.from < before; l.from++ {
		for i := range l.zones {
			l.put(i, l.from, nil)
		}
	}
}

// put makes a window the one of its second; nil is none.
func (l *rollingSum) put(zone int, second int64, w *pb.Window) {
	old := l.zones[zone][second]
	if old == w {
		return
	}
	if old != nil {
		l.count, l.success = l.count-old.GetCount(), l.success-old.GetSuccess()
		l.latency.Remove(old.GetLatency())
		delete(l.zones[zone], second)
	}
	if w != nil {
		l.count, l.success = l.count+w.GetCount(), l.success+w.GetSuccess()
		l.latency.Add(w.GetLatency())
		l.zones[zone][second] = w
	}
}

// each visits the windows that count at its end: those in it, and of a zone
// that has none there the newest before, as far as it is not too old.
func (l *rollingSum) each(h *hearing, visit func(*pb.Window)) {
	l.eachIn(h, func(_ int, w *pb.Window) { visit(w) })
}

// eachIn visits them with their zones' places.
func (l *rollingSum) eachIn(h *hearing, visit func(zone int, w *pb.Window)) {
	for i, zone := range l.zones {
		for _, w := range zone {
			visit(i, w)
		}
		if w := l.standIn(h, i); w != nil {
			visit(i, w)
		}
	}
}

// values are the windows of each zone that count for the values of its hosts: all
// within the time in which each of them makes an attempt, to the newest. Of a
// single host that is its newest window.
func (l *rollingSum) values(h *hearing) [][]*pb.Window {
	all := make([][]*pb.Window, len(l.zones))
	newest := make([]int64, len(l.zones))
	l.eachIn(h, func(zone int, w *pb.Window) {
		if w.GetHasValue() {
			all[zone], newest[zone] = append(all[zone], w), max(newest[zone], w.GetSecond())
		}
	})
	for zone := range all {
		round := max(seconds(l.source.every), 1)
		if len(l.source.zones[zone].bits) == 1 {
			round = 1
		}
		all[zone] = slices.DeleteFunc(all[zone], func(w *pb.Window) bool { return w.GetSecond() <= newest[zone]-round })
	}
	return all
}

// standIn is what stands for a zone that has no window in the sum: where a
// probe is slower than the stretch, its newest window. nil is none.
func (l *rollingSum) standIn(h *hearing, zone int) *pb.Window {
	if len(l.zones[zone]) > 0 {
		return nil
	}
	w := h.zones[zone].newest
	if w.GetSecond() < max(l.begin, l.to-seconds(l.source.limit())) {
		return nil
	}
	return w
}

// total counts readings, and those that succeeded.
func (l *rollingSum) total(h *hearing) (count, success uint64) {
	count, success = l.count, l.success
	for i := range l.zones {
		w := l.standIn(h, i)
		count, success = count+w.GetCount(), success+w.GetSuccess()
	}
	return count, success
}

// quantile is in nanoseconds; false where nothing succeeded.
func (l *rollingSum) quantile(h *hearing, q float64) (int64, bool) {
	for i := range l.zones {
		if w := l.standIn(h, i); w != nil {
			l.latency.Add(w.GetLatency())
			defer l.latency.Remove(w.GetLatency())
		}
	}
	nanos, highest, ok := l.latency.Quantile(q)
	if !highest {
		return nanos, ok
	}
	var most int64
	l.each(h, func(w *pb.Window) { most = max(most, w.GetLatency().GetMax()) })
	return min(nanos, most), ok
}
