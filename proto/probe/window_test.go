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

// TestWindowTellsWhenFailuresBegan: by an attempt's beginning, since the end of
// one that fails is its timeout's.
func TestWindowTellsWhenFailuresBegan(t *testing.T) {
	const second = int64(1e9)
	var w window
	task := &pb.ProbeTask{}
	w.add(task, "", 10*second+1, Reading{OK: true, Duration: 1})
	w.add(task, "", 10*second+500, Reading{Duration: 3e9})
	w.add(task, "", 10*second+600, Reading{Duration: 3e9 + 200})
	w.add(task, "", 10*second+900, Reading{Duration: 300})
	closed := w.close(11 * second)
	if got := closed.GetFirstFailureUnixNanos(); got != 7*second+400 {
		t.Errorf("the first failure began at %d, want %d", got, 7*second+400)
	}
	if got := closed.GetLastFailureUnixNanos(); got != 10*second+600 {
		t.Errorf("the last failure began at %d, want %d", got, 10*second+600)
	}
	w.add(task, "", 11*second+1, Reading{OK: true, Duration: 1})
	if closed = w.close(12 * second); closed.GetFirstFailureUnixNanos() != 0 || closed.GetLastFailureUnixNanos() != 0 {
		t.Error("a window without a failure has the instants of one")
	}
}
