package state

import (
	"maps"
	"slices"
	"strings"

	pb "squall/proto/squall/v1"
)

// chunk and block are how much is copied when one window is added: a chunk of
// seconds, and a block of chunks.
const (
	chunk = 64
	block = 64
)

// series is what a run's windows are kept by.
type series struct{ probe, zone string }

// windows is a persistent map: with returns a changed copy that shares all but
// one chunk with the one before.
type windows map[series]seconds

// seconds holds the windows of one series in blocks of chunks.
type seconds map[int64]*chunks

type chunks [block]*[chunk]*pb.Window

// place is where a second is: its block, its chunk there, its slot in that.
func place(second int64) (in int64, c, at int) {
	return second / (chunk * block), int(second / chunk % block), int(second % chunk)
}

// at is the window of one second, nil when there is none. Seconds are never negative.
func (w windows) at(s series, second int64) *pb.Window {
	if second < 0 {
		return nil
	}
	in, c, at := place(second)
	if b := w[s][in]; b != nil && b[c] != nil {
		return b[c][at]
	}
	return nil
}

// with is w with one window added or replaced.
func (w windows) with(add *pb.Window) windows {
	s := series{add.GetProbe(), add.GetZone()}
	next := make(windows, len(w)+1)
	maps.Copy(next, w)
	next[s] = w[s].with(add)
	return next
}

func (s seconds) with(add *pb.Window) seconds {
	in, c, at := place(add.GetSecond())
	b, seen := new(chunks), new([chunk]*pb.Window)
	if old := s[in]; old != nil {
		*b = *old
	}
	if old := b[c]; old != nil {
		*seen = *old
	}
	seen[at], b[c] = add, seen
	next := make(seconds, len(s)+1)
	maps.Copy(next, s)
	next[in] = b
	return next
}

// all are the windows of a series, oldest first.
func (s seconds) all() []*pb.Window {
	var out []*pb.Window
	for _, in := range slices.Sorted(maps.Keys(s)) {
		for _, c := range s[in] {
			if c == nil {
				continue
			}
			for _, w := range c {
				if w != nil {
					out = append(out, w)
				}
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
