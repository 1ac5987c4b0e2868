package state

import (
	"maps"
	"slices"
	"strings"

	pb "squall/proto/squall/v1"
)

// chunk is how many seconds are copied when one window is added.
const chunk = 64

// series is what a run's windows are kept by.
type series struct{ probe, zone string }

// windows is a persistent map: with returns a changed copy that shares all but
// one chunk with the one before.
type windows map[series]seconds

// seconds holds the windows of one series in chunks, by second / chunk.
type seconds map[int64]*[chunk]*pb.Window

// at is the window of one second, nil when there is none. Seconds are never negative.
func (w windows) at(s series, second int64) *pb.Window {
	if c := w[s][second/chunk]; c != nil && second >= 0 {
		return c[second%chunk]
	}
	return nil
}

// with is w with one window added or replaced.
func (w windows) with(add *pb.Window) windows {
	s, at := series{add.GetProbe(), add.GetZone()}, add.GetSecond()/chunk
	c := new([chunk]*pb.Window)
	if old := w[s][at]; old != nil {
		*c = *old
	}
	c[add.GetSecond()%chunk] = add
	return w.put(s, w[s].put(at, c))
}

func (w windows) put(s series, v seconds) windows {
	next := make(windows, len(w)+1)
	maps.Copy(next, w)
	next[s] = v
	return next
}

func (s seconds) put(at int64, c *[chunk]*pb.Window) seconds {
	next := make(seconds, len(s)+1)
	maps.Copy(next, s)
	next[at] = c
	return next
}

// all are the windows of a series, oldest first.
func (s seconds) all() []*pb.Window {
	var out []*pb.Window
	for _, at := range slices.Sorted(maps.Keys(s)) {
		for _, w := range s[at] {
			if w != nil {
				out = append(out, w)
			}
		}
	}
	return out
}

// keys are the series that have windows, by probe and zone.
func (w windows) keys() []series {
	return slices.SortedFunc(maps.Keys(w), func(a, b series) int {
		if c := strings.Compare(a.probe, b.probe); c != 0 {
			return c
		}
		return strings.Compare(a.zone, b.zone)
	})
}

// list are all windows, by series and second.
func (w windows) list() []*pb.Window {
	var out []*pb.Window
	for _, s := range w.keys() {
		out = append(out, w[s].all()...)
	}
	return out
}
