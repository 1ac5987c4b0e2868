package probe

import (
	"testing"

	pb "squall/proto/squall/v1"
)

// TestSecondIsClosedOnce: also when cluster time is corrected backwards, and
// before 1970, no reading is lost and no second has two windows.
func TestSecondIsClosedOnce(t *testing.T) {
	const second, early = 1e9, 1e6
	for _, start := range []int64{0, 7 * second, -7 * second} {
		var w window
		var closed []*pb.Window
		note := func(c *pb.Window) {
			if c != nil {
				closed = append(closed, c)
			}
		}
		add := func(at int64) { note(w.add(&pb.ProbeTask{}, "zone-a", start+at, Reading{OK: true})) }
		add(second / 2)
		note(w.close(start + second))
		add(second - early) // corrected backwards
		add(second + early)
		note(w.close(start + second + early))
		add(2*second + early)
		note(w.close(start + 3*second))
		var readings uint64
		seconds := map[int64]bool{}
		for _, c := range closed {
			readings += c.GetSuccess()
			seconds[c.GetSecond()] = true
		}
		if readings != 4 || len(seconds) != len(closed) || len(closed) != 3 {
			t.Errorf("from %d: %d of 4 readings in windows %v", start, readings, closed)
		}
	}
}
