package judge

import (
	"math/bits"
	"time"

	"squall/proto/hist"
	pb "squall/proto/squall/v1"
)

// A count of hosts alive is taken each second; its answer may travel as long
// as it takes to elect a leader.
const (
	countEvery   = time.Second
	countTimeout = 3 * time.Second
)

const nanos = int64(time.Second)

// source is where a probe's windows come from, and who is to speak in them.
type source struct {
	name           string
	every, timeout int64
	// counts tells that it counts hosts alive: it speaks of each of its hosts,
	// so that one which says nothing makes it missing, whatever the reason.
	counts bool
	// hosts are in the order of their bits.
	hosts []string
	zones []*zoneSource
}

// zoneSource is a zone with the places of its hosts in the windows' bitmaps.
// The servers are a zone too; their places are among the servers.
type zoneSource struct {
	name    string
	bits    []int
	control bool
}

func newSource(p *pb.PlannedProbe, zone map[string]string) *source {
	s := &source{name: p.GetName(), every: int64(countEvery), timeout: int64(countTimeout), counts: p.GetProbe() == nil, hosts: p.GetHosts()}
	if p.GetProbe() != nil {
		s.every, s.timeout = span(p.Probe.GetEvery(), time.Second), span(p.Probe.GetTimeout(), time.Second)
	}
	at := map[string]*zoneSource{}
	for bit, host := range p.GetHosts() {
		name := zone[host]
		if at[name] == nil {
			at[name] = &zoneSource{name: name}
			s.zones = append(s.zones, at[name])
		}
		at[name].bits = append(at[name].bits, bit)
	}
	if p.GetControl() {
		s.zones = append(s.zones, &zoneSource{control: true})
	}
	return s
}

func span(s *pb.Span, otherwise time.Duration) int64 {
	if s.GetNanos() <= 0 {
		return int64(otherwise)
	}
	return s.GetNanos()
}

// limit is the age from which a value is missing, in nanoseconds.
func (s *source) limit() int64 { return 2*s.every + s.timeout }

// stretch is the default of `over` in seconds.
func (s *source) stretch() int64 { return max(seconds(2*s.every), 1) }

// first is when the first attempt at or after an instant is planned: at whole
// multiples of `every`, for all hosts alike.
func (s *source) first(after int64) int64 { return (after + s.every - 1) / s.every * s.every }

// earlyUntil is the instant to which a host that is to speak from an instant
// on may have said nothing yet.
func (s *source) earlyUntil(from int64) int64 { return s.first(from) + s.limit() }

// seconds rounds nanoseconds up to whole seconds.
func seconds(n int64) int64 { return (n + nanos - 1) / nanos }

// credible tells whether a window could have been made: one with more readings
// than its hosts can make in a second would outweigh all others.
func (s *source) credible(w *pb.Window) bool {
	n := w.GetCount()
	return n > 0 && w.GetSuccess() <= n && n <= uint64(speakers(w))*s.most() && hist.Count(w.GetLatency()) <= n
}

// most is how many attempts of one host may end in a second: those that began
// since a timeout before it, and twice as many where its clock was put back.
func (s *source) most() uint64 { return 2 * uint64((nanos+s.timeout)/s.every+1) }

func speakers(w *pb.Window) int {
	n := 0
	for _, b := range w.GetHosts() {
		n += bits.OnesCount8(b)
	}
	return n
}

func has(bitmap []byte, bit int) bool {
	return bit/8 < len(bitmap) && bitmap[bit/8]&(1<<(bit%8)) != 0
}

func set(bitmap []byte, bit int) []byte {
	for bit/8 >= len(bitmap) {
		bitmap = append(bitmap, 0)
	}
	bitmap[bit/8] |= 1 << (bit % 8)
	return bitmap
}

// newestAttempt is the newest attempt of a window, which ended in its second.
func newestAttempt(w *pb.Window) int64 {
	end := (w.GetSecond() + 1) * nanos
	if n := w.GetNewestUnixNanos(); n != 0 {
		return min(max(n, end-nanos), end)
	}
	return end
}

// complete tells whether all hosts of a zone are in a window.
func (z *zoneSource) complete(w *pb.Window) bool {
	for _, bit := range z.bits {
		if !has(w.GetHosts(), bit) {
			return false
		}
	}
	return true
}
