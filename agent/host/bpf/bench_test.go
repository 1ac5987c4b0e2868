package bpf

import (
	"testing"
	"time"

	pb "squall/proto/squall/v1"
)

// BenchmarkDNSOnAndOff is one DNS blackhole in and out again, on attached points.
func BenchmarkDNSOnAndOff(b *testing.B) {
	p, k := newPair(b), newKit(b)
	p.here.run(b, func() {
		must(b, k.Attach())
		var on, off time.Duration
		for b.Loop() {
			start := time.Now()
			a, err := k.DropDNS(&pb.DropDNS{Gate: now(k, time.Minute), SharePpm: wholePPM})
			must(b, err)
			mid := time.Now()
			must(b, a.Close())
			on, off = on+mid.Sub(start), off+time.Since(mid)
		}
		b.ReportMetric(float64(on.Microseconds())/float64(b.N), "us/on")
		b.ReportMetric(float64(off.Microseconds())/float64(b.N), "us/off")
	})
}
