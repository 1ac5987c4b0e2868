package bench

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	pb "squall/proto/squall/v1"
)

const (
	skewZones, hostsPerZone = 4, 25
	// spacing is the time from one fault's start to the next.
	spacing = 3 * time.Second
	// cuts is how many of the faults are losses of power, which take longest.
	cuts = 5
)

// BenchmarkStartSkew is how far from the agreed instant a hundred agents on
// this machine begin. They share one clock: it is what scheduling does. Network
// and DNS faults and silences start inside their programs, so a host is only
// off when it armed too late; a kill needs a thread. The baseline is how late
// an ordinary sleep wakes up meanwhile.
func BenchmarkStartSkew(b *testing.B) {
	r := stage(b)
	file := filepath.Join(b.TempDir(), "hundred.yaml")
	must(b, os.WriteFile(file, []byte(hundred()), 0o600))
	r.up("hundred", file)
	defer r.run("lab", "down")
	for _, load := range []struct {
		name string
		burn int
	}{{"idle", 0}, {"both cores busy", 2}} {
		stop := burn(load.burn)
		late := sleepLateness()
		names := r.skew(dnsSteps)
		power := r.skew(powerSteps)
		lates := late()
		stop()
		row{name: "start skew, 100 agents, DNS, " + load.name, unit: "ms", values: millis(names.starts), judged: p99, limit: 1, base: millis(lates), baseName: "a sleep"}.print()
		row{name: "start skew, 100 agents, silence, " + load.name, unit: "ms", values: millis(power.starts), judged: p99, limit: 1, base: millis(lates), baseName: "a sleep"}.print()
		row{name: "start skew, 100 agents, last kill, " + load.name, unit: "ms", values: millis(power.kills), judged: p99, limit: 5, base: millis(lates), baseName: "a sleep"}.print()
	}
}

// hundred is a lab file of many small hosts.
func hundred() string {
	var b strings.Builder
	b.WriteString("version: 1\nname: hundred\nzones:\n")
	for z := range skewZones {
		fmt.Fprintf(&b, "  - name: zone-%c\n    server: %v\n    hosts:\n", 'a'+z, z < 3)
		for h := range hostsPerZone {
			fmt.Fprintf(&b, "      - { name: h-%c%d, role: [idle], workloads: [{ name: idle, start: [sleep, infinity] }] }\n", 'a'+z, h)
		}
	}
	return b.String()
}

const (
	dnsSteps   = "dns.fail: { target: all, for: 1s }"
	powerSteps = "power.off: { target: all, for: 1s }"
)

// experiment is one fault many times over on all hosts.
func experiment(fault string, times int) string {
	var b strings.Builder
	b.WriteString("version: 1\nname: skew\ntitle: how far apart hosts begin\ntargets: { all: { role: idle } }\n" +
		"guardrails: { environments: [lab], allow_region_wide: true, max_runtime: 10m }\ntimeline:\n")
	for n := range times {
		fmt.Fprintf(&b, "  - { at: T+%ds, phase: p%d, faults: [ %s ] }\n", 5+n*int(spacing/time.Second), n, fault)
	}
	fmt.Fprintf(&b, "  - { at: T+%ds, phase: rest, until: T+%ds }\n", 5+times*int(spacing/time.Second), 8+times*int(spacing/time.Second))
	return b.String()
}

// offsets are how far from their plan hosts began.
type offsets struct{ starts, kills []time.Duration }

func (r *region) skew(fault string) offsets {
	r.Helper()
	times := rounds
	if fault == powerSteps {
		times = cuts
	}
	file := filepath.Join(filepath.Dir(r.squall), "skew.yaml")
	must(r, os.WriteFile(file, []byte(experiment(fault, times)), 0o600))
	r.run("run", file, "--yes")
	report := r.report(r.lastRun())
	found := offsets{}
	for _, step := range report.GetSteps() {
		for _, h := range step.GetHosts() {
			found.add(h)
		}
	}
	if want := times * skewZones * hostsPerZone; len(found.starts) < want {
		r.Logf("%d of %d starts happened: %s", len(found.starts), want, report.GetEndDetail())
	}
	return found
}

func (o *offsets) add(h *pb.StepStatus) {
	for _, m := range h.GetJournal() {
		if m.GetState() == pb.StepState_STEP_STATE_HELD {
			o.starts = append(o.starts, time.Duration(m.GetActualUnixNanos()-m.GetPlannedUnixNanos()))
		}
	}
	for _, e := range h.GetEvidence() {
		if found := killed.FindStringSubmatch(e.GetText()); found != nil {
			first, _ := time.ParseDuration(found[1])
			within, _ := time.ParseDuration(found[2])
			o.kills = append(o.kills, first+within)
		}
	}
}

// killed is what a host says of a kill: when its first signal went out, and how
// long after that the last.
var killed = regexp.MustCompile(`, (\S+) after the instant, signals within ([^\s,]+)`)

// burn keeps cores busy until stop.
func burn(cores int) (stop func()) {
	done := make(chan struct{})
	var all sync.WaitGroup
	for range cores {
		all.Go(func() {
			for buf := bytes.Repeat([]byte("x"), 1<<12); ; bytes.Count(buf, []byte("y")) {
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	return func() { close(done); all.Wait() }
}

// sleepLateness watches how late a sleep of 10 ms wakes up, until it is called.
func sleepLateness() (stop func() []time.Duration) {
	const asked = 10 * time.Millisecond
	done := make(chan struct{})
	var late []time.Duration
	var one sync.WaitGroup
	one.Go(func() {
		for {
			began := time.Now()
			select {
			case <-done:
				return
			case <-time.After(asked):
				late = append(late, time.Since(began)-asked)
			}
		}
	})
	return func() []time.Duration { close(done); one.Wait(); return late }
}
