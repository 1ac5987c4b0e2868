package show_test

import (
	"bytes"
	"encoding/csv"
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"squall/cli/show"
	"squall/proto/hist"
	pb "squall/proto/squall/v1"
)

const (
	holds  = pb.FindingState_FINDING_STATE_HOLDS
	broken = pb.FindingState_FINDING_STATE_BROKEN
)

// t0 is 3 November 2026, 14:30:05 UTC.
var t0 = time.Date(2026, 11, 3, 14, 30, 5, 0, time.UTC).UnixNano()

// failed is the report of a run that failed over too late.
func failed() *pb.RunReport {
	return &pb.RunReport{
		Summary: &pb.RunSummary{
			Id: "zone-loss-3f2a9c1d", Experiment: "zone-loss", State: pb.RunState_RUN_STATE_DONE, Verdict: pb.Verdict_VERDICT_FAIL,
			By: &pb.Principal{Name: "ana", Why: "Q4 game day"}, AdmittedUnixNanos: t0 - 5e9, T0UnixNanos: t0, EndsUnixNanos: t0 + 60e9, DoneUnixNanos: t0 + 72.5e9,
			Figures: &pb.RunFigures{Failover: &pb.Took{Nanos: 41.26e9}, Recovery: &pb.Took{Nanos: 4e9}},
		},
		Title: "A zone loses its power", Seed: 91,
		Findings: []*pb.Finding{
			{Kind: pb.FindingKind_FINDING_KIND_STEP, Name: "dark.power.off", State: holds, Text: "held to its end on 5 of 5 hosts", Phase: "dark"},
			{Kind: pb.FindingKind_FINDING_KIND_PROOF, Name: "it is dark", State: holds, Text: "machines.alive worst 0, limit == 0"},
			{Kind: pb.FindingKind_FINDING_KIND_EXPECT, Name: "shoppers are served", State: broken, Text: "checkout.success worst 0.62, limit >= 0.99", Phase: "dark", AtUnixNanos: t0 + 12e9, Worst: []*pb.Extreme{{Value: "checkout.success", Seen: 0.62, Op: ">=", Limit: 0.99, AtUnixNanos: t0 + 13e9}}},
			{Kind: pb.FindingKind_FINDING_KIND_EXPECT, Name: "database fails over", State: broken, Text: "after 41.3s, limit 30s", Phase: "dark", AtUnixNanos: t0 + 51e9, Took: &pb.Took{Nanos: 41.26e9}},
			{Kind: pb.FindingKind_FINDING_KIND_EXPECT, Name: "no herd | on return", State: pb.FindingState_FINDING_STATE_UNKNOWN, Text: "no data for 3s"},
			{Kind: pb.FindingKind_FINDING_KIND_VERIFY, Name: "machines.alive == machines.total", State: holds, Text: "machines.alive worst 5, limit == machines.total 5", AtUnixNanos: t0 + 72e9, Took: &pb.Took{Nanos: 4e9}},
			{Kind: pb.FindingKind_FINDING_KIND_GAP, Name: "checkout", State: holds, Text: "longest gap 4.1s from T+10.2s", Phase: "dark", AtUnixNanos: t0 + 10.2e9, Gap: &pb.Gap{LongestNanos: 4.1e9}},
		},
		Steps: []*pb.StepReport{{
			Id: "dark.power.off", Phase: "dark", Fault: "power.off", Skew: &pb.Spread{Count: 5, P50: 1e6, P99: 4e6, Max: 4e6}, Late: &pb.Spread{Count: 5, P99: 1.2e9},
			Hosts: []*pb.StepStatus{{Host: "web-a1", State: pb.StepState_STEP_STATE_REVERTED}, {Host: "web-a2", State: pb.StepState_STEP_STATE_HELD}},
		}},
		Phases:  []*pb.PhaseReport{{Planned: &pb.PlannedPhase{Name: "dark"}, StartUnixNanos: t0 + 10e9, EndUnixNanos: t0 + 60e9}},
		Probes:  []*pb.ProbeReport{{Name: "checkout", Count: 1340, Success: 0.9701, P50Millis: proto.Float64(41.2), P95Millis: proto.Float64(212), P99Millis: proto.Float64(640), WorstSecond: t0/1e9 + 13, WorstSuccess: 0.5}},
		Residue: []*pb.HostClean{{Host: "web-a2", Standing: pb.Standing_STANDING_RESIDUE, Residue: []string{"table inet squall", "link squall0"}}},
	}
}

// passed is an earlier run of the same experiment, which was better.
func passed() *pb.RunReport {
	r := failed()
	r.Summary.Id, r.Summary.Verdict, r.Summary.AdmittedUnixNanos = "zone-loss-77e01b52", pb.Verdict_VERDICT_PASS, t0-7*24*3600e9
	r.Summary.Figures = &pb.RunFigures{Failover: &pb.Took{Nanos: 8.2e9}, Recovery: &pb.Took{Nanos: 4.4e9}}
	r.Findings = slices.Clone(r.Findings[:4])
	r.Findings[2].State, r.Findings[2].Worst[0].Seen = holds, 0.994
	r.Findings[3].State, r.Findings[3].Took = holds, &pb.Took{Nanos: 8.2e9}
	r.Probes[0].Success, r.Probes[0].P95Millis, r.Residue = 0.999, proto.Float64(200), nil
	return r
}

func printed(t *testing.T, write func(io.Writer) error) string {
	t.Helper()
	var out bytes.Buffer
	if err := write(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func junitOf(t *testing.T, r *pb.RunReport) string {
	t.Helper()
	return printed(t, func(w io.Writer) error { return show.JUnit(w, r) })
}

func TestReportsReadAsTheyDid(t *testing.T) {
	golden(t, "testdata/report.junit.xml", junitOf(t, failed()))
	golden(t, "testdata/report.md", printed(t, func(w io.Writer) error { return show.Markdown(w, failed()) }))
	c, err := show.Compare(failed(), passed())
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/compare.txt", printed(t, c.Text))
	golden(t, "testdata/compare.md", printed(t, c.Markdown))
}

// junitFile is what CI servers read of JUnit's format.
type junitFile struct {
	XMLName xml.Name `xml:"testsuites"`
	Tests   string   `xml:"tests,attr"`
	Suites  []struct {
		Name      string `xml:"name,attr"`
		Tests     string `xml:"tests,attr"`
		Failures  string `xml:"failures,attr"`
		Errors    string `xml:"errors,attr"`
		Skipped   string `xml:"skipped,attr"`
		Time      string `xml:"time,attr"`
		Timestamp string `xml:"timestamp,attr"`
		Cases     []struct {
			Name    string `xml:"name,attr"`
			Class   string `xml:"classname,attr"`
			Time    string `xml:"time,attr"`
			Failure *said  `xml:"failure"`
			Error   *said  `xml:"error"`
			Skipped *said  `xml:"skipped"`
		} `xml:"testcase"`
	} `xml:"testsuite"`
}

type said struct {
	Message string `xml:"message,attr"`
}

// readJUnit holds a file to what CI servers demand of one: counts that are those
// of its cases, names, times that are numbers, an instant without a zone, and one
// outcome a case.
func readJUnit(t *testing.T, data string) (outcomes map[string]string) {
	t.Helper()
	var f junitFile
	d := xml.NewDecoder(strings.NewReader(data))
	d.Strict = true
	if err := d.Decode(&f); err != nil || len(f.Suites) != 1 {
		t.Fatalf("%v in\n%s", err, data)
	}
	s, count := f.Suites[0], map[string]int{}
	outcomes = map[string]string{}
	for _, c := range s.Cases {
		outcome := "ok"
		for name, x := range map[string]*said{"failure": c.Failure, "error": c.Error, "skipped": c.Skipped} {
			if x != nil {
				if outcome != "ok" {
					t.Errorf("%s has two outcomes", c.Name)
				}
				outcome = name
			}
		}
		count[outcome]++
		outcomes[c.Class+" "+c.Name] = outcome
		if _, err := strconv.ParseFloat(c.Time, 64); err != nil || c.Name == "" || c.Class == "" {
			t.Errorf("a case of name %q, class %q, time %q", c.Name, c.Class, c.Time)
		}
	}
	for name, want := range map[string][2]string{
		"tests": {s.Tests, strconv.Itoa(len(s.Cases))}, "failures": {s.Failures, strconv.Itoa(count["failure"])},
		"errors": {s.Errors, strconv.Itoa(count["error"])}, "skipped": {s.Skipped, strconv.Itoa(count["skipped"])}, "all tests": {f.Tests, s.Tests},
	} {
		if want[0] != want[1] {
			t.Errorf("%s is %s, want %s", name, want[0], want[1])
		}
	}
	if _, err := time.Parse("2006-01-02T15:04:05", s.Timestamp); err != nil {
		t.Error(err)
	}
	return outcomes
}

func TestCIServersReadEveryVerdict(t *testing.T) {
	outcomes := readJUnit(t, junitOf(t, failed()))
	for name, want := range map[string]string{
		"zone-loss verdict": "failure", "zone-loss.expect shoppers are served": "failure", "zone-loss.expect no herd | on return": "skipped",
		"zone-loss.proof it is dark": "ok", "zone-loss.revert residue": "failure", "zone-loss.revert.verify machines.alive == machines.total": "ok", "zone-loss.step dark.power.off": "ok",
	} {
		if outcomes[name] != want {
			t.Errorf("%s is %q, want %q", name, outcomes[name], want)
		}
	}
	for verdict, want := range map[pb.Verdict]string{
		pb.Verdict_VERDICT_PASS: "ok", pb.Verdict_VERDICT_DONE: "ok", pb.Verdict_VERDICT_FAIL: "failure", pb.Verdict_VERDICT_ABORTED: "error", pb.Verdict_VERDICT_HALTED: "error",
		pb.Verdict_VERDICT_ERROR: "error", pb.Verdict_VERDICT_INCONCLUSIVE: "skipped", pb.Verdict_VERDICT_NOT_STARTED: "skipped", pb.Verdict_VERDICT_UNSPECIFIED: "skipped",
	} {
		got := readJUnit(t, junitOf(t, &pb.RunReport{Summary: &pb.RunSummary{Experiment: "x", Verdict: verdict, State: pb.RunState_RUN_STATE_DONE}}))
		if got["x verdict"] != want {
			t.Errorf("%v is %q, want %q", verdict, got["x verdict"], want)
		}
	}
	unproven := &pb.RunReport{Summary: &pb.RunSummary{Experiment: "x"}, Findings: []*pb.Finding{{Kind: pb.FindingKind_FINDING_KIND_PROOF, Name: "p", State: broken}, {Kind: pb.FindingKind_FINDING_KIND_ABORT, Name: "a", State: broken}}}
	if got := readJUnit(t, junitOf(t, unproven)); got["x.proof p"] != "skipped" || got["x.abort a"] != "error" {
		t.Errorf("what nothing was learnt of is %v", got)
	}
}

// FuzzReports: whatever a name or a text says, a report stays one document of its form.
func FuzzReports(f *testing.F) {
	for _, s := range []string{"", "x", "a|b", "<script>", "]]>&amp;", "\x00\x1b[2J", "`|`", "@team #1 $x$", "=1+1", "two\nlines", "\xff", "http://x.test", "\\|"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r := failed()
		r.Title, r.Summary.Experiment, r.Summary.Id, r.Summary.By = s, s, s, &pb.Principal{Name: s, Why: s}
		r.Findings[2].Name, r.Findings[2].Text, r.Findings[2].Host, r.Probes[0].Name = s, s, s, s
		r.Residue[0].Residue = []string{s}
		if err := xml.Unmarshal([]byte(junitOf(t, r)), &junitFile{}); err != nil {
			t.Errorf("junit of %q: %v", s, err)
		}
		lines(t, s, printed(t, func(w io.Writer) error { return show.Markdown(w, r) }))
		c, err := show.Compare(r, failed())
		if err != nil {
			t.Fatal(err)
		}
		lines(t, s, printed(t, c.Markdown))
		table := printed(t, func(w io.Writer) error {
			out, err := show.NewWindows(w, t0)
			return errors.Join(err, out.Write(&pb.Window{Run: s, Probe: s, Zone: s}), out.Flush())
		})
		rows, err := csv.NewReader(strings.NewReader(table)).ReadAll()
		if err != nil || len(rows) != 2 || len(rows[1]) != len(rows[0]) || strings.HasPrefix(rows[1][1], "=") {
			t.Errorf("csv of %q: %v, %v", s, rows, err)
		}
	})
}

// lines holds tables to their number of cells, and the whole to no HTML.
func lines(t *testing.T, s, document string) {
	t.Helper()
	bars, in := 0, false
	for line := range strings.Lines(document) {
		plain := strings.ReplaceAll(strings.ReplaceAll(line, "\\\\", ""), "\\|", "")
		if !strings.HasPrefix(line, "|") {
			in = false
		} else if n := strings.Count(plain, "|"); in && n != bars {
			t.Errorf("%q makes a row of %d bars, want %d: %s", s, n, bars, line)
		} else {
			bars, in = n, true
		}
	}
	if strings.ContainsAny(document, "<\x00\x1b") {
		t.Errorf("%q makes\n%s", s, document)
	}
}

func TestWindowsHaveUnits(t *testing.T) {
	h := &pb.Histogram{}
	for _, n := range []int64{1e6, 2e6, 250e6} {
		hist.Add(h, n)
	}
	golden(t, "testdata/windows.csv", printed(t, func(w io.Writer) error {
		out, err := show.NewWindows(w, t0)
		return errors.Join(err,
			out.Write(&pb.Window{Run: "r", Probe: "checkout", Zone: "zone-b", Second: t0/1e9 + 3, Count: 3, Success: 2, Latency: h, Hosts: []byte{5}}),
			out.Write(&pb.Window{Run: "r", Probe: "queue", Second: t0/1e9 - 2, Count: 1, Success: 1, HasValue: true, Lowest: -1.5, Highest: 7}),
			out.Write(&pb.Window{Run: "r", Probe: "=cmd()", Zone: "a,b"}), out.Flush())
	}))
}

// Runs of two experiments are compared where they expect the same, and refused
// with what to do where they don't.
func TestUnlikeRunsAreNotCompared(t *testing.T) {
	other := passed()
	other.Summary.Experiment = "slow-zone"
	if _, err := show.Compare(failed(), other); err != nil {
		t.Errorf("they share expectations: %v", err)
	}
	other.Findings = other.Findings[:2]
	_, err := show.Compare(failed(), other)
	if _, ok := errors.AsType[*show.ErrUnlike](err); !ok || !strings.Contains(err.Error(), "share no expectation\n  fix: compare two runs of one experiment; squall history zone-loss lists them") {
		t.Errorf("they share nothing: %v", err)
	}
}

// rowOf is a row of the comparison of two runs: both values, and the change.
func rowOf(t *testing.T, a, b *pb.RunReport, block, name string) string {
	t.Helper()
	c, err := show.Compare(a, b)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range c.Rows {
		if r.Block == block && strings.TrimSpace(r.Name) == name {
			return strings.TrimSpace(r.Values[0] + ", " + r.Values[1] + " " + r.Change)
		}
	}
	t.Fatalf("there is no row %s of %s in %v", name, block, c.Rows)
	return ""
}

// What nobody measured is neither better nor worse: it is told as such.
func TestWhatWasNotMeasuredIsNotBetter(t *testing.T) {
	const gap = pb.FindingKind_FINDING_KIND_GAP
	const unknown = pb.FindingState_FINDING_STATE_UNKNOWN
	for name, c := range map[string]struct {
		change           func(r *pb.RunReport)
		block, row, want string
	}{
		"it looked, and nothing failed":       {func(*pb.RunReport) {}, "GAPS", "checkout in dark", "0s, 4.1s better"},
		"it failed, and nothing failed there": {func(r *pb.RunReport) { r.Summary.Verdict = pb.Verdict_VERDICT_FAIL }, "GAPS", "checkout in dark", "0s, 4.1s better"},
		"nothing was learnt":                  {func(r *pb.RunReport) { r.Summary.Verdict = pb.Verdict_VERDICT_INCONCLUSIVE }, "GAPS", "checkout in dark", "-, 4.1s differs"},
		"it was aborted":                      {func(r *pb.RunReport) { r.Summary.Verdict = pb.Verdict_VERDICT_ABORTED }, "GAPS", "checkout in dark", "-, 4.1s differs"},
		"the phase never began":               {func(r *pb.RunReport) { r.Phases[0].StartUnixNanos = 0 }, "GAPS", "checkout in dark", "-, 4.1s differs"},
		"it has no such phase":                {func(r *pb.RunReport) { r.Phases = nil }, "GAPS", "checkout in dark", "-, 4.1s differs"},
		"the probe was not heard":             {func(r *pb.RunReport) { r.Probes[0].Count = 0 }, "GAPS", "checkout in dark", "-, 4.1s differs"},
		"it has no such probe":                {func(r *pb.RunReport) { r.Probes = nil }, "GAPS", "checkout in dark", "-, 4.1s differs"},
		"no attempt was good":                 {func(r *pb.RunReport) { r.Probes[0].Success, r.Probes[0].P95Millis = 0, nil }, "PROBES", "checkout p95", "-, 212.0 ms"},
		"no attempt was made":                 {func(r *pb.RunReport) { r.Probes[0].Count, r.Probes[0].Success = 0, 0 }, "PROBES", "checkout ok", "-, 97.0% differs"},
		"the worst of what lacks data":        {func(r *pb.RunReport) { r.Findings[2].State = unknown }, "EXPECT", "checkout.success >= 0.99", "0.994, 0.62 differs"},
		"never, of what lacks data":           {func(r *pb.RunReport) { r.Findings[3].State, r.Findings[3].Took = unknown, &pb.Took{Never: true} }, "EXPECT", "took", "-, 41.3s differs"},
	} {
		r := passed()
		c.change(r)
		r.Findings = slices.DeleteFunc(r.Findings, func(f *pb.Finding) bool { return f.GetKind() == gap })
		if got := rowOf(t, r, failed(), c.block, c.row); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// A probe of which no attempt was good has no latency, and not one of 0 ms.
func TestNoLatencyIsNotZero(t *testing.T) {
	r := failed()
	r.Probes[0].Success, r.Probes[0].P50Millis, r.Probes[0].P95Millis, r.Probes[0].P99Millis = 0, nil, nil, nil
	if out := printed(t, func(w io.Writer) error { return show.Markdown(w, r) }); !strings.Contains(out, "| checkout | 1340 | 0.0% | - | - | - |") {
		t.Errorf("it says:\n%s", out)
	}
}
