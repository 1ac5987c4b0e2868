package sweep

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"squall/agent/host/hosttest"
)

// settled is how long an agent is left alone before it counts as idle.
const settled = 4 * time.Second

// BenchmarkIdleAgent measures supervisor and worker that have nothing to do:
// proportional memory, and processor time over ten seconds.
func BenchmarkIdleAgent(b *testing.B) {
	hosttest.RequireRoot(b)
	l := newLane(b)
	l.begin(0)
	defer l.end()
	time.Sleep(settled)
	for b.Loop() {
		before := l.busy()
		time.Sleep(10 * time.Second)
		used := l.busy() - before
		b.ReportMetric(float64(used)/float64(10*time.Second)*100, "%core")
		for _, part := range []string{"supervisor", "worker"} {
			b.ReportMetric(l.pss(part), "MB-"+part)
		}
		b.ReportMetric(l.pss("supervisor")+l.pss("worker"), "MB-both")
	}
}

// pss is the proportional memory of the processes of a part, in MB.
func (l *lane) pss(part string) float64 {
	total := 0.0
	for _, pid := range l.pids(part) {
		rollup, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		for line := range bytes.Lines(rollup) {
			if fields := strings.Fields(string(line)); len(fields) > 1 && fields[0] == "Pss:" {
				kb, _ := strconv.ParseFloat(fields[1], 64)
				total += kb / 1024
			}
		}
	}
	return total
}

// busy is the processor time of supervisor and worker so far, of all threads.
func (l *lane) busy() time.Duration {
	var total int64
	for _, pid := range append(l.pids("supervisor"), l.pids("worker")...) {
		threads, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
		for _, t := range threads {
			b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/schedstat", pid, t.Name()))
			if fields := strings.Fields(string(b)); len(fields) > 0 {
				n, _ := strconv.ParseInt(fields[0], 10, 64)
				total += n
			}
		}
	}
	return time.Duration(total)
}
