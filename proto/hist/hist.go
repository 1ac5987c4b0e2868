// Package hist keeps latencies so that merging loses nothing: adding two
// histograms gives the same as one that had seen every value of both.
//
// Buckets are log-linear: exact below 128 ns, then 64 to each doubling, so a
// quantile is within 1 % of the value that was added. There are at most 3,712
// of them, whatever is added.
package hist

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"

	pb "squall/proto/squall/v1"
)

const (
	// linear is how many buckets hold one value each, and twice the number of
	// buckets to each doubling above.
	linear = 128
	// last is the bucket of the largest int64.
	last = 56*linear/2 + linear - 1
)

// ErrMalformed is wrapped by errors about histograms that Add and Merge could not have made.
var ErrMalformed = errors.New("malformed histogram")

// Add counts one latency. Negative ones count as 0.
func Add(h *pb.Histogram, nanos int64) {
	nanos = max(nanos, 0)
	add(h, bucket(nanos), 1)
	h.Max = max(h.Max, nanos)
}

// Merge counts into h everything that from holds. A malformed from is refused
// and leaves h as it was; nil is empty.
func Merge(h, from *pb.Histogram) error {
	if err := Check(from); err != nil {
		return err
	}
	for i, b := range from.GetIndex() {
		add(h, b, from.Count[i])
	}
	h.Max = max(h.Max, from.GetMax())
	return nil
}

// Count is how many values h holds.
func Count(h *pb.Histogram) uint64 {
	var n uint64
	for _, c := range h.GetCount() {
		n = sum(n, c)
	}
	return n
}

// Quantile is the value below which the share q (0 to 1) of h lies, in
// nanoseconds, within 1 %. ok is false where h is empty.
func Quantile(h *pb.Histogram, q float64) (nanos int64, ok bool) {
	n := Count(h)
	if n == 0 {
		return 0, false
	}
	rank := max(uint64(math.Ceil(min(max(q, 0), 1)*float64(n))), 1)
	var seen uint64
	for i, c := range h.Count {
		if seen = sum(seen, c); seen >= rank {
			return min(middle(h.Index[i]), h.Max), true
		}
	}
	return h.Max, true
}

// Check tells whether h could have come from Add and Merge. What crosses the
// wire is checked before it is merged.
func Check(h *pb.Histogram) error {
	if len(h.GetIndex()) != len(h.GetCount()) {
		return fmt.Errorf("%w: %d buckets with %d counts", ErrMalformed, len(h.GetIndex()), len(h.GetCount()))
	}
	if h.GetMax() < 0 {
		return fmt.Errorf("%w: max %d is negative", ErrMalformed, h.GetMax())
	}
	for i, b := range h.GetIndex() {
		if b > last || i > 0 && b <= h.Index[i-1] {
			return fmt.Errorf("%w: bucket %d is out of place", ErrMalformed, b)
		}
		if h.Count[i] == 0 {
			return fmt.Errorf("%w: bucket %d is empty", ErrMalformed, b)
		}
	}
	return nil
}

func add(h *pb.Histogram, b uint32, n uint64) {
	i, found := slices.BinarySearch(h.Index, b)
	if !found {
		h.Index = slices.Insert(h.Index, i, b)
		h.Count = slices.Insert(h.Count, i, 0)
	}
	h.Count[i] = sum(h.Count[i], n)
}

// sum stays at the largest count instead of wrapping round.
func sum(a, b uint64) uint64 {
	if s, carry := bits.Add64(a, b, 0); carry == 0 {
		return s
	}
	return math.MaxUint64
}

// bucket is a value's bucket: the value itself below linear, else its highest
// seven bits beside the number of bits cut off.
func bucket(v int64) uint32 {
	cut := max(bits.Len64(uint64(v))-7, 0)
	return uint32(cut*linear/2) + uint32(v>>cut)
}

// middle is the value in the middle of a bucket.
func middle(b uint32) int64 {
	if b < linear {
		return int64(b)
	}
	cut := (b - linear/2) / (linear / 2)
	low := int64(b-cut*linear/2) << cut
	return low + int64(1)<<cut/2
}
