package probe

import (
	"time"

	"squall/proto/hist"
	pb "squall/proto/squall/v1"
)

// window collects the readings that ended in one second of cluster time. A
// second is closed once: were another window of it sent, for cluster time had been
// corrected backwards, it would be taken for the same one sent again.
type window struct {
	w *pb.Window
	// closed is the last second that was, if any was.
	closed int64
	any    bool
}

// add counts a reading that ended at a cluster time. Windows of earlier seconds
// are closed by it and returned.
func (o *window) add(t *pb.ProbeTask, zone string, ended int64, r Reading) (closed *pb.Window) {
	closed = o.close(ended)
	if o.w == nil {
		o.w = &pb.Window{
			Run: t.GetRun(), Probe: t.GetProbe().GetName(), Zone: zone,
			Second: o.open(ended), Hosts: bit(t.GetBit()), Latency: &pb.Histogram{},
		}
	}
	o.w.Count++
	if r.OK {
		// Only successes have a latency: a refusal is quick, and good for nothing.
		o.w.Success++
		hist.Add(o.w.Latency, r.Duration.Nanoseconds())
	} else {
		o.failed(ended - r.Duration.Nanoseconds())
	}
	if r.Value != nil {
		o.w.HasValue, o.w.Lowest, o.w.Highest = true, *r.Value, *r.Value
	}
	o.w.NewestUnixNanos = max(o.w.NewestUnixNanos, ended)
	return closed
}

// failed notes when an attempt that failed began: how long a failure lasts is
// told from beginnings, since failing takes as long as the timeout.
func (o *window) failed(began int64) {
	if o.w.GetFirstFailureUnixNanos() == 0 || began < o.w.GetFirstFailureUnixNanos() {
		o.w.FirstFailureUnixNanos = began
	}
	o.w.LastFailureUnixNanos = max(o.w.GetLastFailureUnixNanos(), began)
}

// close returns the window if its second is over at a cluster time.
func (o *window) close(now int64) *pb.Window {
	if o.w == nil || o.w.GetSecond() >= second(now) {
		return nil
	}
	closed := o.w
	o.w, o.closed, o.any = nil, closed.GetSecond(), true
	return closed
}

// open is the second for a reading that ended at a cluster time: its own, or
// the first that is not closed.
func (o *window) open(ended int64) int64 {
	if own := second(ended); !o.any || own > o.closed {
		return own
	}
	return o.closed + 1
}

// second is the whole second that holds an instant, also before 1970.
func second(unixNanos int64) int64 {
	return time.Unix(0, unixNanos).Unix()
}

// bit is a bitmap with one bit set, lowest bit first.
func bit(n uint32) []byte {
	b := make([]byte, n/8+1)
	b[n/8] = 1 << (n % 8)
	return b
}
