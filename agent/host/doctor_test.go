package host_test

import (
	"syscall"
	"testing"
	"time"
)

// BenchmarkDoctor is what each start of an agent costs its machine: the time
// until every mechanism is tried, and the processor time that it took here and
// in children. What the kernel clears up afterwards is not in it.
func BenchmarkDoctor(b *testing.B) {
	h, _ := openHost(b)
	before := processorTime(b)
	for b.Loop() {
		h.Doctor(b.Context())
	}
	used := processorTime(b) - before
	b.ReportMetric(float64(used.Milliseconds())/float64(b.N), "cpu-ms/op")
}

// processorTime is what this process and its dead children have used.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	total := time.Duration(0)
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var used syscall.Rusage
		if err := syscall.Getrusage(who, &used); err != nil {
			b.Fatal(err)
		}
		total += time.Duration(used.Utime.Nano() + used.Stime.Nano())
	}
	return total
}
