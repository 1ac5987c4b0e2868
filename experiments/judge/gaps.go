package judge

import (
	"fmt"
	"time"

	pb "squall/proto/squall/v1"
)

// gaps are when a probe failed: stretches from the beginning of the first of a
// row of failed attempts to that of the next attempt that was good.
type gaps struct {
	source *source
	list   []stretch
	// dark is, for each zone, its last window in which nothing was good.
	dark map[string]darkWindow
	// good are the seconds in which an attempt ended that was good, in rows.
	good []stretch
}

// darkWindow is a second in which nothing was good, and to when its failures go.
type darkWindow struct{ second, end int64 }

// note takes a window. Those of one second and of several zones may come in
// any order, and an attempt that fails may have begun a timeout before its second.
func (g *gaps) note(w *pb.Window) {
	end := (w.GetSecond() + 1) * nanos
	if w.GetSuccess() > 0 {
		g.succeeded(end)
	}
	if w.GetFirstFailureUnixNanos() == 0 {
		return
	}
	last := min(max(w.GetLastFailureUnixNanos(), w.GetFirstFailureUnixNanos()), end)
	first := max(w.GetFirstFailureUnixNanos(), end-nanos-g.source.timeout-g.source.every)
	g.add(g.joined(w, stretch{start: min(first, last), end: last + g.source.every}))
}

// succeeded notes that a good attempt ended in the second before an instant.
func (g *gaps) succeeded(end int64) {
	if n := len(g.good); n > 0 && g.good[n-1].end >= end-nanos {
		g.good[n-1].end = max(g.good[n-1].end, end)
		return
	}
	g.good = append(g.good, stretch{start: end - nanos, end: end})
}

// goodAfter is when the first attempt began that was good after a stretch of
// failures: the one planned at its end or, where nothing was heard of that, one
// that ended in a later second. 0 is none.
func (g *gaps) goodAfter(end int64) int64 {
	for _, row := range g.good {
		switch {
		case row.end <= end:
		case row.start <= end+g.source.timeout:
			return end
		default:
			return row.start
		}
	}
	return 0
}

// joined begins a window's stretch where that of the window before it ends, when
// nothing was good in either: attempts don't begin at their instants to the
// nanosecond, and a busy host leaves some out.
func (g *gaps) joined(w *pb.Window, s stretch) stretch {
	if w.GetSuccess() > 0 {
		return s
	}
	if before, ok := g.dark[w.GetZone()]; ok && before.second == w.GetSecond()-1 {
		s.start = min(s.start, before.end)
	}
	if g.dark == nil {
		g.dark = map[string]darkWindow{}
	}
	g.dark[w.GetZone()] = darkWindow{w.GetSecond(), s.end}
	return s
}

// add joins a stretch with those that it touches, or misses by less than a good
// attempt between them would need.
func (g *gaps) add(s stretch) {
	slack := g.source.every / 2
	i := len(g.list)
	for i > 0 && g.list[i-1].start > s.end+slack {
		i--
	}
	j := i
	for j > 0 && g.list[j-1].end+slack >= s.start {
		j--
		s = stretch{start: min(s.start, g.list[j].start), end: max(s.end, g.list[j].end)}
	}
	g.list = append(g.list[:j], append([]stretch{s}, g.list[i:]...)...)
}

// in sums up a phase; nil where nothing failed in it.
func (g *gaps) in(p stretch) *pb.Gap {
	out := &pb.Gap{}
	any := false
	for _, s := range g.list {
		s.start, s.end = max(s.start, p.start), min(s.end, p.end)
		if s.end <= s.start {
			continue
		}
		back := g.goodAfter(s.end)
		if back >= p.end {
			back = 0
		}
		if !any {
			out.FirstGoodUnixNanos = back
		}
		if s.end-s.start > out.LongestNanos {
			out.LongestNanos, out.LongestUnixNanos = s.end-s.start, s.start
		}
		out.GoodSinceUnixNanos, any = back, true
	}
	if !any {
		return nil
	}
	return out
}

// finding tells a phase's gaps.
func (g *gaps) finding(p stretch, t0 int64) *pb.Finding {
	gap := g.in(p)
	if gap == nil {
		return nil
	}
	text := fmt.Sprintf("longest gap %s from %s", tenths(gap.GetLongestNanos()), afterStart(gap.GetLongestUnixNanos()-t0))
	if gap.GetFirstGoodUnixNanos() != 0 {
		text += ", first good at " + afterStart(gap.GetFirstGoodUnixNanos()-t0)
	} else {
		text += ", not good again"
	}
	return &pb.Finding{
		Kind: pb.FindingKind_FINDING_KIND_GAP, Name: g.source.name, State: pb.FindingState_FINDING_STATE_HOLDS,
		Text: text, Phase: p.name, AtUnixNanos: gap.GetLongestUnixNanos(), Gap: gap,
	}
}

// tenths shows a length of time in tenths of a second, or finer where it is less.
func tenths(n int64) string {
	if n < int64(100*time.Millisecond) {
		return time.Duration(n).Round(time.Millisecond).String()
	}
	return time.Duration(n).Round(100 * time.Millisecond).String()
}

func afterStart(n int64) string { return fmt.Sprintf("T%+.1fs", time.Duration(n).Seconds()) }
