package judge

import pb "squall/proto/squall/v1"

// view is what was measured up to the end of a second. It moves on second by
// second, and keeps what makes the next one cheap.
type view struct {
	readings Readings
	sources  map[string]*source
	dark     *darkness
	// since is the second before which there were no readings.
	since int64
	// end is the first second that is still to come.
	end int64
	// kept holds windows as they were when their second was passed, for as many
	// seconds as anybody looks back; nil where what comes later counts too.
	kept map[*zoneSource]map[int64]*pb.Window
	keep int64
	// moves counts how often it moved on.
	moves int

	hearings    map[*source]*hearing
	sums        map[sumKey]*rollingSum
	freshnesses map[freshnessKey]*freshness
}

type freshnessKey struct {
	source *source
	begin  int64
}

func newView(sources map[string]*source, since int64) *view {
	v := &view{sources: sources, dark: &darkness{}, since: since}
	v.clear()
	return v
}

// settle makes seconds stay as they are when they are passed. Nobody looks
// back farther than over.
func (v *view) settle(over int64) {
	v.kept, v.keep = map[*zoneSource]map[int64]*pb.Window{}, over
	for _, s := range v.sources {
		v.keep = max(v.keep, s.stretch(), seconds(s.limit()))
		for _, z := range s.zones {
			v.kept[z] = map[int64]*pb.Window{}
		}
	}
}

// clear forgets what was heard.
func (v *view) clear() {
	v.end = v.since
	v.hearings, v.sums = map[*source]*hearing{}, map[sumKey]*rollingSum{}
	for _, s := range v.sources {
		v.hearings[s] = newHearing(s)
	}
}

// move makes a second the first that is still to come. Where seconds may still
// change, the last ones are heard again.
func (v *view) move(end int64) {
	if end < v.end {
		v.clear()
	}
	v.freshnesses = map[freshnessKey]*freshness{}
	v.moves++
	for _, s := range v.sources {
		h := v.hearings[s]
		for second := max(v.since, v.end-v.again(s)); second < end; second++ {
			for i, z := range s.zones {
				v.pass(h, i, z, second)
			}
		}
	}
	v.end = end
	for k, l := range v.sums {
		if l.to < end-1-v.again(k.source) {
			delete(v.sums, k) // nobody asks for it any more
		}
	}
}

// pass notes a zone's window of a second.
func (v *view) pass(h *hearing, zone int, z *zoneSource, second int64) {
	w, kept := v.live(h.source, z, second), v.kept[z]
	delete(kept, second-v.keep)
	if w == nil {
		return
	}
	h.note(zone, w)
	if kept != nil {
		kept[second] = w
	}
}

// again is how many seconds of a source may still change.
func (v *view) again(s *source) int64 {
	if v.kept != nil {
		return 0
	}
	return seconds(s.limit() + patience)
}

// window is what counts of a zone's second, nil where that is nothing to go by.
func (v *view) window(s *source, z *zoneSource, second int64) *pb.Window {
	if v.kept != nil {
		return v.kept[z][second]
	}
	return v.live(s, z, second)
}

// live is what a zone is known to have measured in a second by now.
func (v *view) live(s *source, z *zoneSource, second int64) *pb.Window {
	if w := v.readings.Window(s.name, z.name, second); s.credible(w) {
		return w
	}
	return nil
}

// rollingSum is that of a source over a stretch that ends now.
func (v *view) rollingSum(s *source, over, begin int64) *rollingSum {
	k := sumKey{s, over, begin}
	l := v.sums[k]
	if l == nil {
		l = newRollingSum(k)
		v.sums[k] = l
	}
	if l.moves != v.moves {
		l.move(v, v.end, v.again(s))
		l.moves = v.moves
	}
	return l
}

// freshness is who has spoken of a source now, of what began with a second.
func (v *view) freshness(s *source, begin int64) *freshness {
	k := freshnessKey{s, max(begin, v.since)}
	if v.freshnesses[k] == nil {
		v.freshnesses[k] = v.hearings[s].freshness(v.end*nanos, k.begin, v.dark)
	}
	return v.freshnesses[k]
}
