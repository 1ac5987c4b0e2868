package host_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"squall/agent/host"
)

// BenchmarkKillThousand measures a kill of 1,000 processes: from the first
// signal to the last pending, and until nothing lives. The baseline is the same
// kill of one process.
func BenchmarkKillThousand(b *testing.B) {
	for _, n := range []int{1, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			script := fmt.Sprintf("i=0; while [ $i -lt %d ]; do sleep 600 & i=$((i+1)); done; wait", n)
			h, base := openHost(b, shell("many", script))
			var signals, dead []time.Duration
			for b.Loop() {
				do(b, h, start("many"))
				eventually(b, "all run", func() bool { return processes(b, base, "many") >= uint32(n) })
				at := h.Boot() + 20*time.Millisecond
				do(b, h, kill(at, "many"))
				dead = append(dead, h.Boot()-at)
				signals = append(signals, signalTime(b, h))
			}
			b.ReportMetric(median(signals), "µs-signals")
			b.ReportMetric(median(dead), "µs-dead")
		})
	}
}

// signalTime is how long the signals of the last kill took.
func signalTime(b *testing.B, h host.Host) time.Duration {
	b.Helper()
	found, err := h.Evidence(b.Context(), "run/step")
	if err != nil || len(found) == 0 {
		b.Fatalf("no evidence: %v, %v", found, err)
	}
	return time.Duration(found[0].GetValue())
}

// median is in microseconds.
func median(all []time.Duration) float64 {
	slices.Sort(all)
	return float64(all[len(all)/2].Nanoseconds()) / 1e3
}
