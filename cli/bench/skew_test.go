package bench

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
)

const (
	skewZones, hostsPerZone = 4, 25
	// spacing is the time from one fault's start to the next of the same run.
	spacing = 4 * time.Second
	// memory is a folder that is no disk. A hundred hosts have a hundred disks;
	// the lab's would wait for one.
	memory = "/dev/shm"
)

// BenchmarkStartSkew is how far apart a hundred agents on this machine begin:
// how long each is from the one in the middle. They share one clock, so it is
// what scheduling does, and what each made of the servers' time. Network and
// DNS faults and silences start inside their programs, at the instant that the
// host has put into its journal; a kill needs a thread. Hosts that were armed
// less than 50 ms before are counted apart, as the report does. The way back is
// how long after the end each has its processes again. The baseline is how late
// an ordinary sleep wakes up meanwhile.
func BenchmarkStartSkew(b *testing.B) {
	r := stageIn(b, memory)
	file := filepath.Join(b.TempDir(), "hundred.yaml")
	must(b, os.WriteFile(file, []byte(hundred()), 0o600))
	fmt.Printf("\nbench: lab of %d agents, until ready: %s\n", skewZones*hostsPerZone, r.up("hundred", file).Round(time.Second))
	time.Sleep(settle)
	for _, load := range []struct {
		name string
		burn int
		back float64 // how late the way back may be, p99, milliseconds
	}{{"idle", 0, 150}, {"both cores busy", 2, 400}} {
		stop := burn(load.burn)
		late := sleepLateness()
		names := r.skew(dnsSteps, 5, 4)
		power := r.skew(powerSteps, 10, 1) // each way back takes both cores for a while
		lates := millis(late())
		stop()
		for _, part := range []struct {
			what   string
			values []time.Duration
			p99    float64
			max    float64
		}{
			{"DNS", names.starts, 1, 5},
			{"silence", power.starts, 1, 5},
			{"last kill", power.kills, 5, noTarget},
			{"way back", power.back, load.back, noTarget},
		} {
			r := row{name: "100 agents, " + part.what + ", " + load.name, unit: "ms", values: millis(part.values), judged: p99, limit: part.p99, base: lates, baseName: "a sleep"}
			r.print()
			if part.max != noTarget {
				r.judged, r.limit = most, part.max
				r.print()
			}
		}
		fmt.Printf("\nbench: of these starts, armed less than 50 ms before: DNS %d, silence %d\n", names.late, power.late)
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
	powerSteps = "power.off: { target: all, for: 2s }"
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

// offsets are how far from the host in the middle each host began, of those that
// were armed in time, and how long after its end each gave back what it took.
type offsets struct {
	starts, kills, back []time.Duration
	late                int // hosts that were armed late, which are not among these
}

// skew runs a fault on all hosts, in several runs and so many times in each.
func (r *region) skew(fault string, runs, times int) offsets {
	r.Helper()
	file := filepath.Join(filepath.Dir(r.squall), "skew.yaml")
	must(r, os.WriteFile(file, []byte(experiment(fault, times)), 0o600))
	found := offsets{}
	for range runs {
		_, _, _ = r.try("run", file, "--yes") // the report tells
		run := r.lastRun()
		report, begun, before := r.report(run), r.begun(run), len(found.starts)+found.late
		for _, step := range report.GetSteps() {
			found.add(step, begun[step.GetId()])
		}
		if len(begun) == 0 {
			r.Fatalf("%s: no host's journal tells when it began: %s", run, report.GetEndDetail())
		}
		if n, want := len(found.starts)+found.late-before, times*skewZones*hostsPerZone; n < want {
			r.Logf("%s: %d of %d starts happened: %s", run, n, want, report.GetEndDetail())
		}
	}
	return found
}

// add compares the hosts that held one step. A kill is late beside its own
// host's start.
func (o *offsets) add(step *pb.StepReport, begun map[string]time.Duration) {
	if len(begun) == 0 {
		return
	}
	late := map[string]bool{}
	for _, a := range step.GetArmedLate() {
		late[a.GetHost()] = true
	}
	o.late += len(late)
	sorted := slices.Sorted(maps.Values(begun))
	middle := sorted[len(sorted)/2]
	for _, h := range step.GetHosts() {
		if _, held := lateness(h, pb.StepState_STEP_STATE_HELD); !held {
			continue
		}
		if back, ended := lateness(h, pb.StepState_STEP_STATE_REVERTED); ended {
			o.back = append(o.back, back)
		}
		if late[h.GetHost()] {
			continue
		}
		off := begun[h.GetHost()] - middle
		o.starts = append(o.starts, off.Abs())
		for _, e := range h.GetEvidence() {
			if e.GetName() == "last_kill_nanos" {
				o.kills = append(o.kills, (off + time.Duration(e.GetValue())).Abs())
			}
		}
	}
}

// lateness is how long after its plan a host came to a state of a step.
func lateness(h *pb.StepStatus, state pb.StepState) (late time.Duration, there bool) {
	for _, m := range h.GetJournal() {
		if m.GetState() == state {
			return time.Duration(m.GetActualUnixNanos() - m.GetPlannedUnixNanos()), true
		}
	}
	return 0, false
}

// begun is when the hosts of the lab began each step of a run, in boot time, by
// their own journals.
func (r *region) begun(run string) map[string]map[string]time.Duration {
	r.Helper()
	found := map[string]map[string]time.Duration{}
	files, err := filepath.Glob(filepath.Join(string(r.folder), "hosts", "*", "state", "journal", "journal.*"))
	must(r, err)
	for _, f := range files {
		journal, err := os.ReadFile(f)
		must(r, err)
		host := strings.Split(strings.TrimPrefix(f, filepath.Join(string(r.folder), "hosts")+"/"), "/")[0]
		for _, record := range records(journal) {
			step, at := beginning(record, run)
			if step == "" {
				continue
			}
			if found[step] == nil {
				found[step] = map[string]time.Duration{}
			}
			found[step][host] = max(found[step][host], at)
		}
	}
	return found
}

// beginning is the instant that a record tells of a step: the planned start, or
// when it was armed, whichever is later.
func beginning(r *pb.Record, run string) (step string, at time.Duration) {
	if in := r.GetIntent(); in.GetRun() == run {
		return in.GetStep(), time.Duration(in.GetStartBootNanos())
	}
	if m := r.GetMark(); m.GetRun() == run && m.GetState() == pb.StepState_STEP_STATE_ARMED {
		return m.GetStep(), time.Duration(m.GetActualBootNanos())
	}
	return "", 0
}

// records are all that a journal's file still has, forgotten ones too: a step
// that is over and confirmed is no longer the agent's business.
func records(journal []byte) []*pb.Record {
	const marker, head = "sqJR", 20
	var found []*pb.Record
	for {
		_, rest, more := bytes.Cut(journal, []byte(marker))
		if !more || len(rest) < head-len(marker) {
			return found
		}
		body := rest[head-len(marker):]
		if size := int(binary.LittleEndian.Uint32(rest)); size <= len(body) {
			r := &pb.Record{}
			if proto.Unmarshal(body[:size], r) == nil {
				found = append(found, r)
			}
		}
		journal = rest
	}
}

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
