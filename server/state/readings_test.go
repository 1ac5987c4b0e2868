package state

import (
	"math/rand/v2"
	"slices"
	"testing"

	"squall/proto/hist"
	pb "squall/proto/squall/v1"
)

// window is one reading of one host.
func (b *bench) window(host int, second int64, success uint64) *pb.Window {
	bits := make([]byte, host/8+1)
	bits[host/8] = 1 << (host % 8)
	w := &pb.Window{
		Run: "r", Probe: "shop", Zone: "zone-a", Second: second, Hosts: bits, Count: 1, Success: success,
		Latency: new(pb.Histogram), NewestUnixNanos: second*1e9 + int64(host),
	}
	hist.Add(w.Latency, int64(1e6*(host+1)))
	return w
}

func TestReadingCountsOnceHoweverItsWindowTravels(t *testing.T) {
	b := holding(t)
	second := b.now / 1e9
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		b.must(recorded(b.window(r.IntN(20), second, 1)))
	}
	w := b.m.View().Readings("r").Window("shop", "zone-a", second)
	if w.GetCount() != 20 || w.GetSuccess() != 20 || hist.Count(w.GetLatency()) != 20 {
		t.Errorf("20 hosts gave %d readings, %d successes, %d latencies", w.GetCount(), w.GetSuccess(), hist.Count(w.GetLatency()))
	}
	if w.GetNewestUnixNanos() != second*1e9+19 {
		t.Errorf("the newest attempt is at %d", w.GetNewestUnixNanos())
	}
}

// TestOutcomeNamesWindowsThatLoseReadings: those of several hosts alone, and only
// where a reading is in none that was taken.
func TestOutcomeNamesWindowsThatLoseReadings(t *testing.T) {
	b := holding(t)
	second := b.now / 1e9
	both := func(x, y int) *pb.Window { return hist.Join(b.window(x, second, 1), b.window(y, second, 1)) }
	huge := both(6, 7)
	huge.Count = 1 << 40
	unknown := both(8, 9)
	unknown.Run = "x"
	b.must(recorded(b.window(1, second, 1)))
	cmd := recorded(both(1, 2), b.window(1, second, 1), both(3, 4), both(3, 4), huge, unknown)
	cmd.Id = "again"
	for range 2 { // a repeat is told the same
		if o := b.apply(cmd); !slices.Equal(o.GetParted(), []uint32{0, 4}) {
			t.Errorf("windows %v are told to have lost readings", o.GetParted())
		}
	}
}

func TestWindowThatCanNotBeIsDropped(t *testing.T) {
	b := holding(t)
	good := b.window(0, b.now/1e9, 1)
	for name, edit := range map[string]func(*pb.Window){
		"unknown run":    func(w *pb.Window) { w.Run = "x" },
		"unknown probe":  func(w *pb.Window) { w.Probe = "x" },
		"no host":        func(w *pb.Window) { w.Hosts = []byte{0} },
		"too many hosts": func(w *pb.Window) { w.Hosts = make([]byte, maxHosts) },
		"the far future": func(w *pb.Window) { w.Second += 3600 },
		"long ago":       func(w *pb.Window) { w.Second -= maxSeconds + 10 },
		"before the run": func(w *pb.Window) { w.Second -= 600 },
		"before 1970":    func(w *pb.Window) { w.Second = -1 },
		"bad histogram":  func(w *pb.Window) { w.Latency = &pb.Histogram{Index: []uint32{1}, Count: nil} },
	} {
		w := b.window(0, b.now/1e9, 1)
		edit(w)
		b.must(recorded(w))
		if n := len(b.m.Snapshot().GetWindows()); n != 0 {
			t.Errorf("%s: the window was taken", name)
		}
	}
	b.must(recorded(good))
	if n := len(b.m.Snapshot().GetWindows()); n != 1 {
		t.Error("a good window was dropped")
	}
}

func TestWindowsAreFoldedWhenTheRunIsDone(t *testing.T) {
	b := holding(t)
	first := b.now / 1e9
	for i := range int64(10) {
		success := uint64(1)
		if i == 4 {
			success = 0
		}
		if i != 7 {
			b.must(recorded(b.window(0, first+i, success)))
		}
	}
	before := b.m.View().Readings("r").Totals()[0]
	b.must(endRun("r", pb.EndCause_END_CAUSE_UNDO), recovers("r"), finish("r"))
	after := b.m.View().Readings("r").Totals()[0]
	for _, p := range []*pb.ProbeTotal{before, after} {
		if p.GetTotal().GetCount() != 9 || p.GetGaps() != 1 || p.GetWorst().GetSecond() != first+4 || p.GetWorst().GetSuccess() != 0 {
			t.Errorf("the probe's total is %v", p)
		}
	}
	if n := len(b.m.Snapshot().GetWindows()); n != 9 {
		t.Errorf("%d windows wait for the archive", n)
	}
	b.must(recorded(b.window(1, first, 1)))
	if n := len(b.m.Snapshot().GetWindows()); n != 9 {
		t.Error("a window of a run that is done was taken")
	}
}

func TestWindowsOfOneRunAreBounded(t *testing.T) {
	b := holding(t)
	for range 3 {
		for range 4 * chunk {
			b.must(recorded(b.window(0, b.now/1e9, 1)))
		}
		b.now += maxSeconds * 1e9 * 2 / 3
	}
	if n := len(b.m.Snapshot().GetWindows()); n > 9*chunk {
		t.Errorf("%d windows are kept", n)
	}
}

func TestHostsValuesKeepTheirExtremes(t *testing.T) {
	b := holding(t)
	second := b.now / 1e9
	for host, value := range []float64{2, 1, 3} {
		x := b.window(host, second, 1)
		x.HasValue, x.Lowest, x.Highest = true, value, value
		b.must(recorded(x))
	}
	w := b.m.View().Readings("r").Window("shop", "zone-a", second)
	if w.GetLowest() != 1 || w.GetHighest() != 3 {
		t.Errorf("the values are %v to %v", w.GetLowest(), w.GetHighest())
	}
}

func TestReadingsOfTheLongestRunAreKept(t *testing.T) {
	b := holding(t)
	first := b.now / 1e9
	b.must(recorded(b.window(0, first, 1)))
	b.now += 24 * 3600e9
	b.must(recorded(b.window(0, b.now/1e9, 1)))
	if b.m.View().Readings("r").Window("shop", "zone-a", first) == nil {
		t.Error("the first reading is gone before the run may be over")
	}
}

func TestWindowThatNoHostCanHaveMadeIsDropped(t *testing.T) {
	b := holding(t)
	for name, spoil := range map[string]func(*pb.Window){
		"a thousand million attempts":  func(w *pb.Window) { w.Count, w.Success = 1e9, 1e9 },
		"more successes than attempts": func(w *pb.Window) { w.Success = w.GetCount() + 1 },
		"more latencies than attempts": func(w *pb.Window) { w.Latency = &pb.Histogram{Index: []uint32{5}, Count: []uint64{9}, Max: 5} },
	} {
		w := b.window(0, b.now/1e9, 1)
		spoil(w)
		b.must(recorded(w))
		if n := len(b.m.Snapshot().GetWindows()); n != 0 {
			t.Errorf("%s: the window was taken", name)
		}
	}
	two := b.window(0, b.now/1e9, 1) // two hosts may make what one can't
	two.Hosts, two.Count, two.Success = []byte{3}, 8, 8
	b.must(recorded(two))
	if n := len(b.m.Snapshot().GetWindows()); n != 1 {
		t.Error("a good window was dropped")
	}
}
