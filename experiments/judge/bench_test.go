package judge_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"squall/experiments"
	"squall/experiments/judge"
	"squall/proto/hist"
	pb "squall/proto/squall/v1"
)

// steady makes windows as they are asked for, from a few that were made before:
// each of 10 hosts in a zone with 10 attempts a second.
type steady struct{ made []*pb.Window }

func newSteady() steady {
	random, s := rand.New(rand.NewPCG(1, 1)), steady{}
	for range 64 {
		w := &pb.Window{Count: 100, Latency: &pb.Histogram{}}
		for range 100 {
			if random.IntN(500) > 0 {
				w.Success++
				hist.Add(w.Latency, 30e6+random.Int64N(40e6))
			}
		}
		s.made = append(s.made, w)
	}
	return s
}

var zoneBits = map[string][]byte{"zone-a": {0xff, 0x03, 0, 0}, "zone-b": {0, 0xfc, 0x0f, 0}, "zone-c": {0, 0, 0xf0, 0x3f}}

func (s steady) Window(_, zone string, second int64) *pb.Window {
	of := s.made[(second+int64(zone[5]))%int64(len(s.made))]
	return &pb.Window{
		Zone: zone, Second: second, Hosts: zoneBits[zone], Count: of.Count, Success: of.Success, Latency: of.Latency,
		NewestUnixNanos: second*1e9 + 9e8,
	}
}

func (s steady) Zones(string) []string { return nil }
func (s steady) Residue() int          { return 0 }

// large is a run in 3 zones of 10 hosts with 10 probes, each with an
// expectation about its p99 over a minute, and abort rules.
func large(b *testing.B) (*judge.Judge, *pb.Run) {
	b.Helper()
	e, plan := &pb.Experiment{Version: 1, Name: "large", Probes: map[string]*pb.Probe{}}, &pb.Plan{}
	var hosts []string
	for i := range 30 {
		hosts = append(hosts, fmt.Sprintf("host-%02d", i))
		plan.Hosts = append(plan.Hosts, &pb.PlannedHost{Name: hosts[i], Zone: fmt.Sprintf("zone-%c", 'a'+i/10)})
	}
	for i := range 10 {
		name := fmt.Sprint("probe", i)
		e.Probes[name] = &pb.Probe{Every: &pb.Span{Nanos: 1e8}, Timeout: &pb.Span{Nanos: 3e9}}
		plan.Probes = append(plan.Probes, &pb.PlannedProbe{Name: name, Probe: e.Probes[name], Hosts: hosts})
		e.Expect = append(e.Expect, &pb.Expectation{
			Name: name, Check: name + ".p99 < 200 && " + name + ".success > 0.9", Over: &pb.Span{Nanos: 60e9}, During: []string{"dark"},
		})
		e.Abort = append(e.Abort, &pb.AbortRule{Name: name, When: name + ".success < 0.5", For: &pb.Span{Nanos: 10e9}})
	}
	plan.Phases = []*pb.PlannedPhase{{Name: "dark", EndNanos: 24 * 3600e9}}
	j, problems := judge.Compile(e, experiments.Source{})
	if problems != nil {
		b.Fatal(problems)
	}
	const t0 = 1_800_000_000e9
	return j, &pb.Run{
		Plan: plan, T0UnixNanos: t0, EndCause: pb.EndCause_END_CAUSE_COMPLETE,
		EnteredUnixNanos: map[uint32]int64{uint32(pb.RunState_RUN_STATE_GATING): t0 - 10e9},
	}
}

// followed is a run of some age with the track that follows it.
type followed struct {
	track *judge.Track
	run   *pb.Run
	now   time.Time
	from  steady
}

func follow(b *testing.B, age time.Duration) *followed {
	j, run := large(b)
	f := &followed{track: j.Track(), run: run, now: time.Unix(0, run.GetT0UnixNanos()), from: newSteady()}
	for end := f.now.Add(age); f.now.Before(end); {
		f.second()
	}
	return f
}

// second judges one more second, rules and all, and gives the time that it took.
func (f *followed) second() time.Duration {
	f.now = f.now.Add(time.Second)
	began := time.Now()
	f.track.Follow(f.run, f.from, f.now)
	f.track.Abort(f.run, f.from, f.now)
	return time.Since(began)
}

// verdict gives the time that a verdict takes after one more second.
func (f *followed) verdict() time.Duration {
	f.now = f.now.Add(time.Second)
	began := time.Now()
	f.track.Verdict(f.run, f.from, f.now)
	return time.Since(began)
}

// BenchmarkVerdict is what one more second and a verdict cost after an hour of
// a run. The baseline is the same at one minute's age, and the old way: all
// from the beginning.
func BenchmarkVerdict(b *testing.B) {
	hour, minute := follow(b, time.Hour), follow(b, time.Minute)
	var seconds, verdicts, youngSeconds, young []time.Duration
	for b.Loop() {
		seconds, verdicts = append(seconds, hour.second()), append(verdicts, hour.verdict())
		youngSeconds, young = append(youngSeconds, minute.second()), append(young, minute.verdict())
	}
	j, run := large(b)
	began := time.Now()
	j.Verdict(run, hour.from, hour.now)
	b.ReportMetric(float64(time.Since(began).Microseconds()), "µs-from-the-beginning")
	for name, all := range map[string][]time.Duration{"second": seconds, "verdict": verdicts, "young-second": youngSeconds, "young-verdict": young} {
		slices.Sort(all)
		b.ReportMetric(float64(all[len(all)/2].Nanoseconds())/1e3, "µs-"+name)
		b.ReportMetric(float64(all[len(all)*99/100].Nanoseconds())/1e3, "µs-"+name+"-p99")
	}
}
