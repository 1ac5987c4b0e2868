package hist

import (
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
	if from.GetHasValue() && (!into.GetHasValue() || from.GetNewestUnixNanos() >= into.GetNewestUnixNanos()) {
		into.Value, into.HasValue = from.GetValue(), true
	}
	into.NewestUnixNanos = max(into.GetNewestUnixNanos(), from.GetNewestUnixNanos())
	into.FirstFailureUnixNanos = earliest(into.GetFirstFailureUnixNanos(), from.GetFirstFailureUnixNanos())
	into.LastFailureUnixNanos = max(into.GetLastFailureUnixNanos(), from.GetLastFailureUnixNanos())
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
