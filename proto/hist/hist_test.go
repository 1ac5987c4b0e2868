package hist_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"squall/proto/hist"
	pb "squall/proto/squall/v1"
)

func TestQuantileIsWithinOnePercent(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		h, values := &pb.Histogram{}, make([]int64, 1+r.IntN(300))
		for i := range values {
			values[i] = r.Int64() >> r.IntN(62)
			hist.Add(h, values[i])
		}
		slices.Sort(values)
		for _, q := range []float64{0, 0.5, 0.95, 0.99, 1} {
			got, _ := hist.Quantile(h, q)
			want := values[max(int(math.Ceil(q*float64(len(values)))), 1)-1]
			if off := math.Abs(float64(got - want)); off > 0.01*float64(want) {
				t.Fatalf("p%v of %d values = %d, want %d: %.3f off", q*100, len(values), got, want, off/float64(want))
			}
		}
	}
}

func TestMergeLosesNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	whole, merged := &pb.Histogram{}, &pb.Histogram{}
	for range 20 {
		part := &pb.Histogram{}
		for range 100 {
			v := r.Int64N(5e9)
			hist.Add(part, v)
			hist.Add(whole, v)
		}
		if err := hist.Merge(merged, part); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff(whole, merged, protocmp.Transform()); d != "" {
		t.Errorf("merged differs from one that saw every value:\n%s", d)
	}
}

func TestHistogramIsBounded(t *testing.T) {
	r, h := rand.New(rand.NewPCG(5, 6)), &pb.Histogram{}
	for range 100_000 {
		hist.Add(h, r.Int64()>>r.IntN(63))
	}
	hist.Add(h, math.MaxInt64)
	if n := len(h.Index); n > 3712 {
		t.Errorf("%d buckets", n)
	}
	if err := hist.Check(h); err != nil {
		t.Error(err)
	}
}

func TestEdges(t *testing.T) {
	if _, ok := hist.Quantile(nil, 0.5); ok {
		t.Error("an empty histogram has a median")
	}
	h := &pb.Histogram{}
	hist.Add(h, -5)
	hist.Add(h, math.MaxInt64)
	if v, _ := hist.Quantile(h, 0); v != 0 {
		t.Errorf("lowest = %d", v)
	}
	if v, _ := hist.Quantile(h, 1); float64(v) < 0.99*math.MaxInt64 {
		t.Errorf("highest = %d", v)
	}
	full := &pb.Histogram{Index: []uint32{1, 2}, Count: []uint64{math.MaxUint64, 3}, Max: 2}
	if n := hist.Count(full); n != math.MaxUint64 {
		t.Errorf("count wrapped round to %d", n)
	}
}

func TestMalformedIsRefusedAndChangesNothing(t *testing.T) {
	for name, from := range map[string]*pb.Histogram{
		"lengths differ":       {Index: []uint32{1}},
		"bucket beyond last":   {Index: []uint32{3712}, Count: []uint64{1}},
		"buckets out of order": {Index: []uint32{5, 5}, Count: []uint64{1, 1}},
		"an empty bucket":      {Index: []uint32{5}, Count: []uint64{0}},
		"a negative maximum":   {Max: -1},
	} {
		h := &pb.Histogram{}
		if err := hist.Merge(h, from); err == nil || !proto.Equal(h, &pb.Histogram{}) {
			t.Errorf("%s: err %v, h %v", name, err, h)
		}
	}
}

func FuzzMerge(f *testing.F) {
	h := &pb.Histogram{}
	hist.Add(h, 12345)
	seed, _ := proto.Marshal(h)
	f.Add(seed)
	f.Fuzz(func(t *testing.T, wire []byte) {
		from, into := &pb.Histogram{}, &pb.Histogram{}
		if proto.Unmarshal(wire, from) != nil || hist.Merge(into, from) != nil {
			return
		}
		if err := hist.Check(into); err != nil {
			t.Fatalf("merging made a malformed histogram: %v", err)
		}
		if a, b := hist.Count(from), hist.Count(into); a != b {
			t.Fatalf("%d values became %d", a, b)
		}
		hist.Quantile(into, 0.99)
	})
}

func TestJoinKeepsAllOfBothWindows(t *testing.T) {
	of := func(hosts byte, newest, first, last int64) *pb.Window {
		w := &pb.Window{Probe: "p", Hosts: []byte{hosts}, Count: 3, Success: 1, NewestUnixNanos: newest, FirstFailureUnixNanos: first, LastFailureUnixNanos: last, Latency: &pb.Histogram{}}
		hist.Add(w.Latency, 5)
		return w
	}
	a, b := of(1, 9, 0, 0), of(2, 8, 3, 4)
	want := &pb.Window{
		Probe: "p", Hosts: []byte{3}, Count: 6, Success: 2, NewestUnixNanos: 9, FirstFailureUnixNanos: 3, LastFailureUnixNanos: 4,
		Latency: &pb.Histogram{Index: []uint32{5}, Count: []uint64{2}, Max: 5},
	}
	for _, got := range []*pb.Window{hist.Join(a, b), hist.Join(b, a)} {
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
			t.Errorf("joined (-want +got):\n%s", diff)
		}
	}
	if b.GetFirstFailureUnixNanos() != 3 || a.GetLastFailureUnixNanos() != 0 || a.GetCount() != 3 {
		t.Error("joining changed what it joined")
	}
}

func TestSlidingIsTheSumOfWhatIsInIt(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var in []*pb.Histogram
	var s hist.Sliding
	for range 2000 {
		h := &pb.Histogram{}
		for range random.IntN(5) {
			hist.Add(h, random.Int64N(1e10))
		}
		s.Add(h)
		if in = append(in, h); len(in) > 20 {
			s.Remove(in[0])
			in = in[1:]
		}
		sum := &pb.Histogram{}
		for _, h := range in {
			if err := hist.Merge(sum, h); err != nil {
				t.Fatal(err)
			}
		}
		q := random.Float64()
		want, wantOK := hist.Quantile(sum, q)
		got, highest, ok := s.Quantile(q)
		if highest {
			got = min(got, sum.GetMax())
		}
		if got != want || ok != wantOK {
			t.Fatalf("quantile %v is %d %v, want %d %v", q, got, ok, want, wantOK)
		}
	}
}
