package hist

import (
	"math"

	pb "squall/proto/squall/v1"
)

// Sliding is the sum of histograms that come and go, at a cost that does not
// depend on how many are in it. Its zero value is empty.
type Sliding struct {
	counts []uint64
	total  uint64
}

// Add counts a histogram, which must not be malformed.
func (s *Sliding) Add(h *pb.Histogram) {
	if s.counts == nil {
		s.counts = make([]uint64, last+1)
	}
	for i, b := range h.GetIndex() {
		s.counts[b] += h.Count[i]
		s.total += h.Count[i]
	}
}

// Remove takes back a histogram that was added.
func (s *Sliding) Remove(h *pb.Histogram) {
	for i, b := range h.GetIndex() {
		s.counts[b] -= h.Count[i]
		s.total -= h.Count[i]
	}
}

// Quantile is the value below which the share q (0 to 1) lies, in nanoseconds,
// within 1 %; highest tells that nothing lies in a bucket above. ok is false
// where there is nothing.
func (s *Sliding) Quantile(q float64) (nanos int64, highest, ok bool) {
	if s.total == 0 {
		return 0, false, false
	}
	rank := max(uint64(math.Ceil(min(max(q, 0), 1)*float64(s.total))), 1)
	var seen uint64
	for b, n := range s.counts {
		if seen += n; seen >= rank {
			return middle(uint32(b)), seen == s.total, true
		}
	}
	return 0, false, false
}
