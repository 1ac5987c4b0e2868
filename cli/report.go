package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"squall/cli/show"
	"squall/experiments"
	pb "squall/proto/squall/v1"
	"squall/proto/text"
)

func newReportCmd(a *app) *cobra.Command {
	against := ""
	c := &cobra.Command{
		Use: "report [RUN]", Short: "Everything about one run, or the last; exits with the run's code", Args: cobra.MaximumNArgs(1),
		Long: "Everything about one run, or the last. -o junit is for a CI server, -o md for a pull request or a wiki, -o csv is each second of each probe. --compare RUN holds the run against another one of its experiment.",
		Example: `  squall report -o junit > result.xml
  squall report zone-loss-3f2a9c1d --compare zone-loss-77e01b52
  squall report zone-loss-3f2a9c1d -o csv > windows.csv`,
		Annotations:       reportOutputs,
		ValidArgsFunction: a.completeRuns(),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := a.connect()
			if err != nil {
				return err
			}
			defer client.close()
			run := first(args, "")
			if run == "" {
				if run, err = lastRun(c.Context(), client); err != nil {
					return err
				}
			}
			if against != "" {
				return a.compare(c.Context(), client, run, against)
			}
			return a.finish(c.Context(), client, run)
		},
	}
	c.Flags().BoolVar(&a.why, "why", false, "with each finding, the hosts whose readings it rests on")
	c.Flags().StringVar(&against, "compare", "", "another run, to hold this one against")
	completeFlags(c, map[string]completion{"compare": a.completeRunsBy((*pb.RunSummary).GetId)})
	return c
}

// report is everything about one run.
func (c *client) report(ctx context.Context, run string) (*pb.RunReport, error) {
	return askWhole[pb.RunReport](ctx, c, pb.ControlServiceClient.Report, &pb.ReportRequest{Run: run})
}

// reportExit is the exit code that a run has earned. Of one that is still under
// way nothing is known: it is no pass. One for which a host was not ready was
// refused by it.
func reportExit(r *pb.RunReport) int {
	residue := len(show.Dirty(r.GetResidue())) > 0
	if r.GetSummary().GetState() != pb.RunState_RUN_STATE_DONE && !residue {
		return experiments.ExitInconclusive
	}
	if r.GetEndCause() == pb.EndCause_END_CAUSE_NOT_READY && !residue {
		return experiments.ExitRefused
	}
	return experiments.VerdictExitCode(r.GetSummary().GetVerdict(), residue)
}

// touched says which hosts a run was to touch.
func touched(r *pb.RunReport) func(string) bool {
	return func(host string) bool {
		return slices.ContainsFunc(r.GetPlan().GetSteps(), func(s *pb.PlannedStep) bool {
			return slices.ContainsFunc(s.GetSlots(), func(slot *pb.HostSlot) bool { return slot.GetHost() == host })
		})
	}
}

// showReport prints a report: its blocks stand in the same order everywhere.
// barred are the run's hosts that take no fault now.
func (a *app) showReport(r *pb.RunReport, barred []*pb.BarredHost) error {
	switch a.settings.Output {
	case "junit":
		return show.JUnit(a.stdout, r)
	case "md":
		return show.Markdown(a.stdout, r)
	}
	return a.show(view{
		message: r, names: []string{r.GetSummary().GetId()},
		table: func(w io.Writer, wide bool) {
			(&reportText{out: w, report: r, barred: barred, wide: wide, why: a.why}).print()
		},
	})
}

// compare prints a run beside another one, and ends with the run's exit code.
func (a *app) compare(ctx context.Context, c *client, run, against string) error {
	if slices.Contains([]string{"junit", "csv"}, a.settings.Output) {
		return usagef("--compare has no form %s\n  fix: write -o text, json, yaml or md", a.settings.Output)
	}
	one, err := c.report(ctx, run)
	if err != nil {
		return err
	}
	other, err := c.report(ctx, against)
	if err != nil {
		return err
	}
	both, err := show.Compare(one, other)
	if err != nil {
		return usage(err)
	}
	if a.settings.Output == "md" {
		err = both.Markdown(a.stdout)
	} else {
		err = a.show(view{
			message: both, names: both.Runs[:],
			table: func(w io.Writer, _ bool) { _ = both.Text(w) }, // a buffer takes everything
		})
	}
	return cmp.Or(err, exit(reportExit(one)))
}

// reportText prints one report for people.
type reportText struct {
	out    io.Writer
	report *pb.RunReport
	barred []*pb.BarredHost
	wide   bool
	// why shows whose readings findings rest on.
	why bool
	// columns and name are the block's: the name stands on its first line only.
	columns *tabwriter.Writer
	name    string
}

func (t *reportText) print() {
	t.block(strings.ToUpper(runWord(t.report.GetSummary())), t.banner)
	t.block("RESIDUE", t.residue)
	t.block("BARRED", t.barredHosts)
	for _, s := range show.Sections() {
		t.block(s.Name, func() { t.findings(s.Kind) })
	}
	t.block("FAULTS", t.faults)
	t.block("PROBES", t.probes)
}

// block prints lines whose columns are their own.
func (t *reportText) block(name string, lines func()) {
	t.name = name
	t.columns = tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	lines()
	_ = t.columns.Flush() // stdout is gone, and so is the reader
}

// line prints one line of a block.
func (t *reportText) line(cells ...string) {
	for i := range cells {
		cells[i] = escape(cells[i])
	}
	fmt.Fprintf(t.columns, "%-9s%s\n", t.name, strings.TrimRight(strings.Join(cells, "\t"), "\t"))
	t.name = ""
}

func (t *reportText) banner() {
	s := t.report.GetSummary()
	t.line(" "+s.GetExperiment(), "run "+s.GetId(), fmt.Sprintf("seed %d", t.report.GetSeed()), t.lengths())
	if title := t.report.GetTitle(); title != "" {
		t.line(" " + title)
	}
	if by := s.GetBy(); by.GetName() != "" {
		t.line(" started by " + by.GetName() + when(by.GetWhy() != "", ": "+strconv.Quote(by.GetWhy())))
	}
	if s.GetVerdict() == pb.Verdict_VERDICT_INCONCLUSIVE {
		t.line(" nothing was learnt: see the lines marked FAIL in PROOF and STEPS, or UNKNOWN; squall report --why " + s.GetId() + " names who was silent")
		t.line(" each cause, and what to do about it: docs/inconclusive.md")
	}
	if why := show.EndedEarly(t.report); why != "" {
		t.line(" " + why)
	}
}

// lengths are how long it took, or is to take while it is under way, in real time
// and, where it differs, in the incident's.
func (t *reportText) lengths() string {
	if t.report.GetSummary().GetT0UnixNanos() == 0 {
		return "never fired"
	}
	took, speed := show.RunTime(t.report), t.report.GetPlan().GetMilliSpeed()
	if speed <= 1000 {
		return span(took) + " real"
	}
	return fmt.Sprintf("%s real, %s incident", span(took), span(time.Duration(took.Seconds()*float64(speed)/1000*1e9)))
}

func (t *reportText) residue() {
	left := show.Dirty(t.report.GetResidue())
	if len(left) == 0 {
		t.line("0")
	}
	for _, h := range left {
		t.line(h.GetHost(), cleanWord(h), cleanText(h), "squall undo --local, on the host")
	}
}

// barredHosts are the run's hosts that take no fault now.
func (t *reportText) barredHosts() {
	for _, b := range t.barred {
		for _, line := range barredLines(b) {
			t.line(b.GetHost(), line)
		}
	}
}

func (t *reportText) findings(kind pb.FindingKind) {
	for _, f := range t.report.GetFindings() {
		if f.GetKind() == kind {
			t.line(show.State(f), f.GetName(), f.GetHost()+when(f.GetHost() != "", " ")+f.GetText(), t.place(f))
			if t.why {
				t.basis(f)
			}
		}
	}
}

// place is where on the run's real time, and in which phase, a finding lies.
func (t *reportText) place(f *pb.Finding) string {
	return strings.TrimSpace(f.GetPhase() + " " + show.Place(t.report, f))
}

func (t *reportText) faults() {
	for _, s := range t.report.GetSteps() {
		reverted := 0
		for _, h := range s.GetHosts() {
			if h.GetState() == pb.StepState_STEP_STATE_REVERTED {
				reverted++
			}
		}
		t.line(s.GetFault(), s.GetPhase(), fmt.Sprintf("%d/%d reverted", reverted, len(s.GetHosts())),
			"start skew "+spread(s.GetSkew()), "reverted late by "+spread(s.GetLate()), strings.Join(s.GetEngines(), ","))
		if late := s.GetArmedLate(); len(late) > 0 {
			t.line("  armed late", fmt.Sprintf("%d of %d", len(late), len(s.GetHosts())), armings(late))
		}
		if t.wide {
			t.hosts(s)
		}
	}
}

// armings names hosts that had little time before their start, and how much.
func armings(late []*pb.LateArming) string {
	const most = 5
	var words []string
	for _, a := range late[:min(most, len(late))] {
		ahead := time.Duration(a.GetAheadNanos())
		if ahead < 0 {
			words = append(words, fmt.Sprintf("%s %s after the start", a.GetHost(), span(-ahead)))
		} else {
			words = append(words, fmt.Sprintf("%s %s before", a.GetHost(), span(ahead)))
		}
	}
	if more := len(late) - len(words); more > 0 {
		words = append(words, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(words, ", ")
}

// hosts lists each host of a step with what showed that the fault bit.
func (t *reportText) hosts(s *pb.StepReport) {
	for _, h := range s.GetHosts() {
		t.line("  "+h.GetHost(), text.Word(h.GetState()), text.Word(h.GetCause()))
		for _, e := range h.GetEvidence() {
			t.line("    "+e.GetName(), fmt.Sprint(e.GetValue()), e.GetText())
		}
	}
}

func spread(s *pb.Spread) string {
	if s.GetCount() == 0 {
		return "-"
	}
	return fmt.Sprintf("p50 %s p99 %s max %s", span(time.Duration(s.GetP50())), span(time.Duration(s.GetP99())), span(time.Duration(s.GetMax())))
}

func (t *reportText) probes() {
	for _, p := range t.report.GetProbes() {
		worst := "-"
		if p.GetWorstSecond() != 0 {
			worst = fmt.Sprintf("worst %.1f%% at %s", 100*p.GetWorstSuccess(), time.Unix(p.GetWorstSecond(), 0).Format(time.TimeOnly))
		}
		t.line(p.GetName(), fmt.Sprintf("n=%d", p.GetCount()), "ok "+show.Share(p), "p50 "+latency(p.P50Millis), "p95 "+latency(p.P95Millis),
			"p99 "+latency(p.P99Millis), worst, fmt.Sprintf("no reading in %ds", p.GetGaps()))
	}
}

// latency is as long as fits a line: "41.2ms".
func latency(millis *float64) string { return strings.ReplaceAll(show.Millis(millis), " ", "") }
