package bench

import (
	"context"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A gathered figure comes from a benchmark or a test that lives beside the code
// it measures; here its metrics get their targets.
type gathered struct {
	// name is the figure's, and benchmark where it comes from: a whole name.
	name, benchmark string
	unit            string
	// metrics of which each statistic is read; one that is not named was not taken.
	metrics      map[statistic]string
	base         string // the baseline's metric
	judged       statistic
	limit, scale float64
	atLeast      bool
	baseName     string
}

// A source is one run of `go test`.
type source struct {
	pkg, bench, times string
	figures           []gathered
}

const lease = 200 // of the holders in agent/host/bpf, milliseconds

var sources = []source{
	{"../../agent/host/bpf", "^BenchmarkEnd$", "20x", []gathered{
		end("silence ends after kill -9", "silence/killed", 10),
		end("silence ends after a hang, lease 200 ms", "silence/hung", lease+20),
		end("DNS blackhole ends after kill -9", "dns/killed", 10),
		end("DNS blackhole ends after a hang, lease 200 ms", "dns/hung", lease+20),
		end("delay line ends after a hang, lease 200 ms", "delay/hung", 250),
	}},
	{"../../agent/host/bpf", "^BenchmarkDelayKilled$", "20x", []gathered{
		{"delay line after 20 kill -9: lost or late", "BenchmarkDelayKilled", "", map[statistic]string{median: "late"}, "sent", median, 0, 1, false, "datagrams sent in the 100 ms after"},
	}},
	{"../../agent/host/bpf", "^BenchmarkDelayError$", "500x", []gathered{
		late("net.delay 40 ms, ping, error (median)", "ping", median, 0.1),
		late("net.delay 40 ms, ping, error (p99)", "ping", p99, 0.5),
		late("net.delay 40 ms, 2,000 a second, error (median)", "stream", median, 0.1),
		late("net.delay 40 ms, 2,000 a second, error (p99)", "stream", p99, 0.5),
		late("net.delay 40 ms, a process that slept, error", "sleeper", median, noTarget),
	}},
	{"../../agent/host/bpf", "^BenchmarkOtherTraffic$", "100x", []gathered{
		traffic("other traffic beside a delay line", "delay_line"),
		traffic("other traffic beside a DNS blackhole", "dns"),
		traffic("other traffic, entries alone", "entries"),
	}},
	{"../../agent/host", "^BenchmarkKillThousand$", "20x", []gathered{
		{"1,000 processes: first to last signal", "BenchmarkKillThousand/1000", "ms", map[statistic]string{median: "µs-signals"}, "µs-dead", median, 3, 1e-3, false, "until nothing lives"},
	}},
	{"../../server/conduct", "^BenchmarkCrowd$", "1x", []gathered{
		{"64 runs at once, 30 hosts each: a decision's lateness", "BenchmarkCrowd", "ms", map[statistic]string{median: "median-ms", most: "max-ms"}, "alone-median-ms", most, 100, 1, false, "one run alone"},
	}},
	{"../../server/conduct", "^BenchmarkYear$", "1x", []gathered{
		{"1,000 schedules over a year, 1,000 and more deaths", "BenchmarkYear", "s", map[statistic]string{median: "s"}, "calendars-s", median, 60, 1, false, "their calendars alone"},
		{"the same, processor time", "BenchmarkYear", "s", map[statistic]string{median: "processor-s"}, "calendars-s", median, noTarget, 1, false, "their calendars alone"},
	}},
	{"../../server", "^BenchmarkSlots$", "1x", []gathered{
		slots("slot to admission, three servers, 45 slots: late", "", p99, 250),
		slots("the same, the leader killed 20 ms before, 5 slots", "kill-", most, 2000),
	}},
	{"../../experiments/judge", "^BenchmarkVerdict$", "200x", []gathered{
		{"verdict after 1 h, 30 hosts, 10 probes, over 60 s", "BenchmarkVerdict", "ms", map[statistic]string{median: "µs-verdict", p99: "µs-verdict-p99"}, "µs-young-verdict", median, 2, 1e-3, false, "after a minute"},
		{"one more second of the same run", "BenchmarkVerdict", "ms", map[statistic]string{median: "µs-second", p99: "µs-second-p99"}, "µs-young-second", median, 2, 1e-3, false, "after a minute"},
		{"the same verdict from the beginning", "BenchmarkVerdict", "ms", map[statistic]string{median: "µs-from-the-beginning"}, "µs-verdict", median, noTarget, 1e-3, false, "as it comes"},
	}},
}

var (
	microseconds = map[statistic]string{median: "us/median", p99: "us/p99"}
	quartiles    = map[statistic]string{lower: "%/q1", median: "%/median", upper: "%/q3"}
)

func end(name, which string, limit float64) gathered {
	return gathered{name, "BenchmarkEnd/" + which, "ms", microseconds, "us/base", median, limit, 1e-3, false, "a process's own death"}
}

func late(name, which string, judged statistic, limit float64) gathered {
	return gathered{name, "BenchmarkDelayError/" + which, "ms", microseconds, "us/base", judged, limit, 1e-3, false, "undelayed, same pace"}
}

func traffic(name, which string) gathered {
	return gathered{name, "BenchmarkOtherTraffic/" + which, "%", quartiles, "", median, 95, 1, true, "interleaved pairs"}
}

func slots(name, which string, judged statistic, limit float64) gathered {
	metrics := map[statistic]string{median: which + "median-ms", p99: which + "p99-ms", most: which + "max-ms"}
	return gathered{name, "BenchmarkSlots", "ms", metrics, "commit-ms", judged, limit, 1, false, "a commit"}
}

// BenchmarkOthers gathers the figures of other packages.
func BenchmarkOthers(b *testing.B) {
	for _, s := range sources {
		metrics := parse(goTest(b, s.pkg, "-run=^$", "-bench="+s.bench, "-benchtime="+s.times))
		for _, f := range s.figures {
			f.row(metrics[f.benchmark]).print()
		}
	}
}

// row is the figure of a benchmark's metrics.
func (g gathered) row(metrics map[string]float64) row {
	r := row{
		name: g.name, unit: g.unit, judged: g.judged, limit: g.limit, atLeast: g.atLeast, baseName: g.baseName,
		known: map[statistic]float64{},
	}
	for s, name := range g.metrics {
		if v, ok := metrics[name]; ok {
			r.known[s] = v * g.scale
		}
	}
	if v, ok := metrics[g.base]; ok {
		r.base = []float64{v * g.scale}
	}
	return r
}

// parse reads the metrics of each benchmark, by names without the number of cores.
func parse(out string) map[string]map[string]float64 {
	all := map[string]map[string]float64{}
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		metrics := map[string]float64{}
		for i := 2; i+1 < len(fields); i += 2 {
			if v, err := strconv.ParseFloat(fields[i], 64); err == nil {
				metrics[fields[i+1]] = v
			}
		}
		all[cores.ReplaceAllString(fields[0], "")] = metrics
	}
	return all
}

// cores is how a benchmark's name ends.
var cores = regexp.MustCompile(`-\d+$`)

// BenchmarkSimulation is 84 simulated minutes with three servers and thirty
// hosts, a leader killed half-way. The baseline is the time that it simulates.
func BenchmarkSimulation(b *testing.B) {
	out := goTest(b, "../../server/sim", "-run=^TestEightyFourMinutesTakeSeconds$", "-v", "-count="+strconv.Itoa(rounds))
	var took []time.Duration
	for _, found := range simulated.FindAllStringSubmatch(out, -1) {
		d, err := time.ParseDuration(found[1])
		must(b, err)
		took = append(took, d)
	}
	row{
		name: "84 simulated minutes, 3 servers, 30 hosts", unit: "s", values: in(time.Second, took), judged: median, limit: 15,
		base: []float64{84 * 60}, baseName: "what it simulates",
	}.print()
}

var simulated = regexp.MustCompile(`thirty hosts: (\S+)`)

// goTest runs a package's tests or benchmarks. What fails there shows as a
// figure that is missing.
func goTest(b *testing.B, pkg string, args ...string) string {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()
	args = append([]string{"test", "-count=1", pkg}, args...)
	out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput()
	if err != nil {
		b.Logf("go %v: %v\n%s", args, err, out)
	}
	return string(out)
}
