package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"squall/experiments"
	pb "squall/proto/squall/v1"
)

func newReportCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "report RUN", Short: "Everything about one run; exits with the run's code", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := a.connect()
			if err != nil {
				return err
			}
			defer client.close()
			return a.finish(c.Context(), client, args[0])
		},
	}
}

// reportExit is the exit code that a run has earned. One that is still under
// way has earned none.
func reportExit(r *pb.RunReport) int {
	residue := len(dirty(r.GetResidue())) > 0
	if r.GetSummary().GetState() != pb.RunState_RUN_STATE_DONE && !residue {
		return experiments.ExitPass
	}
	return experiments.VerdictExitCode(r.GetSummary().GetVerdict(), residue)
}

func dirty(hosts []*pb.HostClean) []*pb.HostClean {
	var out []*pb.HostClean
	for _, h := range hosts {
		if !h.GetClean() {
			out = append(out, h)
		}
	}
	return out
}

// showReport prints a report: its blocks stand in the same order everywhere.
func (a *app) showReport(r *pb.RunReport) error {
	return a.show(view{
		message: r, names: []string{r.GetSummary().GetId()},
		table: func(w io.Writer, wide bool) { (&reportText{w: w, report: r, wide: wide}).print() },
	})
}

// reportText prints one report for people.
type reportText struct {
	w      io.Writer
	report *pb.RunReport
	wide   bool
}

func (t *reportText) print() {
	t.banner()
	t.residue()
	t.findings("GATE", pb.FindingKind_FINDING_KIND_STEADY_STATE)
	t.findings("EXPECT", pb.FindingKind_FINDING_KIND_EXPECT)
	t.findings("PROOF", pb.FindingKind_FINDING_KIND_PROOF)
	t.findings("ABORT", pb.FindingKind_FINDING_KIND_ABORT)
	t.findings("RECOVERY", pb.FindingKind_FINDING_KIND_VERIFY)
	t.findings("STEPS", pb.FindingKind_FINDING_KIND_STEP)
	t.faults()
	t.probes()
}

// line prints one line of a block; the block's name stands on its first only.
func (t *reportText) line(block string, n int, cells ...string) {
	if n > 0 {
		block = ""
	}
	for i := range cells {
		cells[i] = escape(cells[i])
	}
	fmt.Fprintln(t.w, strings.TrimRight(block+"\t"+strings.Join(cells, "\t"), "\t"))
}

func (t *reportText) banner() {
	s := t.report.GetSummary()
	verdict := strings.ToUpper(runWord(s))
	t.line(verdict, 0, s.GetExperiment(), "run "+s.GetId(), fmt.Sprintf("seed %d", t.report.GetSeed()), t.lengths())
	if by := s.GetBy(); by.GetName() != "" {
		t.line("", 0, "started by "+by.GetName()+when(by.GetWhy() != "", ": "+quote(by.GetWhy())))
	}
	if cause := t.report.GetEndCause(); cause > pb.EndCause_END_CAUSE_COMPLETE {
		t.line("ENDED", 0, word(cause, "END_CAUSE_"), t.report.GetEndDetail())
	}
}

func quote(s string) string { return fmt.Sprintf("%q", s) }

// lengths are how long it took, in real time and, where it differs, in the incident's.
func (t *reportText) lengths() string {
	s, plan := t.report.GetSummary(), t.report.GetPlan()
	if s.GetT0UnixNanos() == 0 {
		return "never fired"
	}
	real := span(time.Duration(s.GetEndsUnixNanos()-s.GetT0UnixNanos())) + " real"
	if plan.GetMilliSpeed() <= 1000 {
		return real
	}
	incident := time.Duration(plan.GetLengthNanos()) * time.Duration(plan.GetMilliSpeed()) / 1000
	return real + ", " + span(incident) + " incident"
}

func (t *reportText) residue() {
	left := dirty(t.report.GetResidue())
	if len(left) == 0 {
		t.line("RESIDUE", 0, "0")
	}
	for i, h := range left {
		what := strings.Join(h.GetResidue(), "; ")
		if h.GetUnknown() {
			what = "not heard from: unknown is never reverted"
		}
		t.line("RESIDUE", i, h.GetHost(), what, "squall undo --local, on the host")
	}
}

func (t *reportText) findings(block string, kind pb.FindingKind) {
	n := 0
	for _, f := range t.report.GetFindings() {
		if f.GetKind() != kind {
			continue
		}
		t.line(block, n, findingWord(f), f.GetName(), f.GetText(), t.when(f), f.GetHost())
		n++
	}
}

func findingWord(f *pb.Finding) string {
	switch f.GetState() {
	case pb.FindingState_FINDING_STATE_HOLDS:
		return "ok"
	case pb.FindingState_FINDING_STATE_BROKEN:
		return "FAIL"
	}
	return "UNKNOWN"
}

// when is where on the run's real time, and in which phase, a finding lies.
func (t *reportText) when(f *pb.Finding) string {
	t0 := t.report.GetSummary().GetT0UnixNanos()
	if f.GetAtUnixNanos() == 0 || t0 == 0 {
		return f.GetPhase()
	}
	at := fmt.Sprintf("T%+.1fs", time.Duration(f.GetAtUnixNanos()-t0).Seconds())
	return strings.TrimSpace(f.GetPhase() + " " + at)
}

func (t *reportText) faults() {
	for i, s := range t.report.GetSteps() {
		reverted := 0
		for _, h := range s.GetHosts() {
			if h.GetState() == pb.StepState_STEP_STATE_REVERTED {
				reverted++
			}
		}
		t.line("FAULTS", i, s.GetFault(), s.GetPhase(), fmt.Sprintf("%d/%d reverted", reverted, len(s.GetHosts())),
			"start skew "+spread(s.GetSkew()), "reverted late by "+spread(s.GetLate()), strings.Join(s.GetEngines(), ","))
		t.hosts(s)
	}
}

// hosts lists each host of a step with what showed that the fault bit.
func (t *reportText) hosts(s *pb.StepReport) {
	if !t.wide {
		return
	}
	for _, h := range s.GetHosts() {
		t.line("", 0, "  "+h.GetHost(), word(h.GetState(), "STEP_STATE_"), word(h.GetCause(), "REVERT_CAUSE_"))
		for _, e := range h.GetEvidence() {
			t.line("", 0, "    "+e.GetName(), fmt.Sprint(e.GetValue()), e.GetText())
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
	for i, p := range t.report.GetProbes() {
		worst := "-"
		if p.GetWorstSecond() != 0 {
			worst = fmt.Sprintf("worst %.1f%% at %s", 100*p.GetWorstSuccess(), time.Unix(p.GetWorstSecond(), 0).Format(time.TimeOnly))
		}
		t.line("PROBES", i, p.GetName(), fmt.Sprintf("n=%d", p.GetCount()), fmt.Sprintf("ok %.1f%%", 100*p.GetSuccess()),
			fmt.Sprintf("p50 %.1fms p95 %.1fms p99 %.1fms", p.GetP50Millis(), p.GetP95Millis(), p.GetP99Millis()), worst,
			fmt.Sprintf("gaps %d", p.GetGaps()))
	}
}
