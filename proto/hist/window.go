package hist

import (
	"cmp"
	"math"
	"math/bits"
	"time"

	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
)

// Overlap tells whether two windows hold a reading of the same host: then they
// must not be joined, since that reading would count twice.
func Overlap(a, b *pb.Window) bool {
	x, y := a.GetHosts(), b.GetHosts()
	for i := range min(len(x), len(y)) {
		if x[i]&y[i] != 0 {
			return true
		}
	}
	return false
}

// Covers tells whether each host of b is in a.
func Covers(a, b *pb.Window) bool {
	x := a.GetHosts()
	for i, hosts := range b.GetHosts() {
		if i < len(x) {
			hosts &^= x[i]
		}
		if hosts != 0 {
			return false
		}
	}
	return true
}

// Hosts is how many hosts' readings are in a window.
func Hosts(w *pb.Window) (n int) {
	for _, b := range w.GetHosts() {
		n += bits.OnesCount8(b)
	}
	return n
}

// Most is how many attempts of a probe one host may end in one second: those
// that begin in it and those that were under way, twice over for a clock that
// is being set right. A probe that is nil counts hosts alive, once a second.
func Most(p *pb.Probe) uint64 {
	every := cmp.Or(p.GetEvery().GetNanos(), int64(time.Second))
	timeout := cmp.Or(p.GetTimeout().GetNanos(), int64(time.Second))
	if every <= 0 || timeout < 0 {
		return 0
	}
	return uint64(2*(int64(time.Second)/every+timeout/every) + 4)
}

// Plausible tells whether the hosts in a window can have made its attempts: one
// that reports more than there can be would outweigh all the others.
func Plausible(w *pb.Window, p *pb.Probe) bool {
	return w.GetSuccess() <= w.GetCount() && Count(w.GetLatency()) <= w.GetCount() && w.GetCount() <= uint64(Hosts(w))*Most(p)
}

// Join is two windows as one, both left as they were; see AddWindow.
func Join(a, b *pb.Window) *pb.Window {
	out := proto.CloneOf(a)
	AddWindow(out, b)
	return out
}

// AddWindow counts into a window everything that from holds. Run, probe, zone
// and second stay; so does a histogram when that of from is malformed.
func AddWindow(into, from *pb.Window) {
	into.Hosts = union(into.GetHosts(), from.GetHosts())
	into.Count, into.Success = sum(into.GetCount(), from.GetCount()), sum(into.GetSuccess(), from.GetSuccess())
	if into.Latency == nil {
		into.Latency = &pb.Histogram{}
	}
	_ = Merge(into.Latency, from.GetLatency()) // malformed, it is left out
	addValue(into, from)
	into.NewestUnixNanos = max(into.GetNewestUnixNanos(), from.GetNewestUnixNanos())
	into.FirstFailureUnixNanos = earliest(into.GetFirstFailureUnixNanos(), from.GetFirstFailureUnixNanos())
	into.LastFailureUnixNanos = max(into.GetLastFailureUnixNanos(), from.GetLastFailureUnixNanos())
}

// addValue keeps the lowest and the highest value: one host's does not stand for
// another's. Where one is no number, neither is what it is compared with.
func addValue(into, from *pb.Window) {
	switch {
	case !from.GetHasValue():
	case into.GetHasValue():
		into.Lowest, into.Highest = math.Min(into.GetLowest(), from.GetLowest()), math.Max(into.GetHighest(), from.GetHighest())
	default:
		into.HasValue, into.Lowest, into.Highest = true, from.GetLowest(), from.GetHighest()
	}
}

// earliest is the smaller of two instants, of which 0 is none.
func earliest(a, b int64) int64 {
	if a == 0 || b == 0 {
		return a + b
	}
	return min(a, b)
}

func union(a, b []byte) []byte {
	out := make([]byte, max(len(a), len(b)))
	copy(out, a)
	for i := range b {
		out[i] |= b[i]
	}
	return out
}
