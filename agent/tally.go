package agent

import (
	"sync"
	"time"

	"squall/proto/hist"
	pb "squall/proto/squall/v1"
)

// Reading is the outcome of one attempt of a probe.
type Reading struct {
	OK      bool
	Latency time.Duration
	// Value is set by probes that give one.
	Value    float64
	HasValue bool
}

// series names what is measured: a probe of a run.
type series struct{ run, probe string }

// tally counts readings into the windows of their seconds.
type tally struct {
	zone string

	mu   sync.Mutex // guards open
	open map[series]map[int64]*pb.Window
}

func newTally(zone string) *tally {
	return &tally{zone: zone, open: map[series]map[int64]*pb.Window{}}
}

// count puts a reading into the window of an instant of cluster time, in Unix
// nanoseconds.
func (t *tally) count(task *pb.ProbeTask, unix int64, r Reading) {
	t.mu.Lock()
	defer t.mu.Unlock()
	w := t.window(task, unix/int64(time.Second))
	w.Count++
	w.NewestUnixNanos = max(w.NewestUnixNanos, unix)
	if r.OK {
		w.Success++
		hist.Add(w.Latency, int64(r.Latency))
	}
	if r.HasValue {
		w.Value, w.HasValue = r.Value, true
	}
}

// window finds or opens a window. The caller holds mu.
func (t *tally) window(task *pb.ProbeTask, second int64) *pb.Window {
	s := series{task.GetRun(), task.GetProbe().GetName()}
	if t.open[s] == nil {
		t.open[s] = map[int64]*pb.Window{}
	}
	w, ok := t.open[s][second]
	if !ok {
		w = &pb.Window{
			Run: s.run, Probe: s.probe, Zone: t.zone, Second: second, Hosts: bitmap(task.GetBit()),
			Latency: &pb.Histogram{},
		}
		t.open[s][second] = w
	}
	return w
}

// bitmap is a host's own bit, lowest bit first.
func bitmap(bit uint32) []byte {
	b := make([]byte, bit/8+1)
	b[bit/8] = 1 << (bit % 8)
	return b
}

// close takes out the windows of the seconds before one: nothing can be
// counted into them any more, because readings come in the order of the clock.
func (t *tally) close(before int64) []*pb.Window {
	t.mu.Lock()
	defer t.mu.Unlock()
	var closed []*pb.Window
	for s, seconds := range t.open {
		for second, w := range seconds {
			if second < before {
				closed = append(closed, w)
				delete(seconds, second)
			}
		}
		if len(seconds) == 0 {
			delete(t.open, s)
		}
	}
	return closed
}
