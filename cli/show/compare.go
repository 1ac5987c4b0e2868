package show

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	pb "squall/proto/squall/v1"
	"squall/proto/text"
)

// Comparison is two runs side by side, as people and `-o json` see it.
type Comparison struct {
	// Runs are their ids: the one that is looked at, and the one that it is held against.
	Runs [2]string `json:"runs"`
	Rows []Row     `json:"rows"`
}

// Row is one thing of both runs.
type Row struct {
	Block  string    `json:"block"`
	Name   string    `json:"name"`
	Values [2]string `json:"values"`
	// Change is empty, or "differs", or how the first run stands to the second:
	// "worse" or "better".
	Change string `json:"change,omitempty"`
}

// ErrUnlike says why two runs can't be compared, and what can.
type ErrUnlike struct{ A, B *pb.RunReport }

// Error implements error.
func (e *ErrUnlike) Error() string {
	a, b := e.A.GetSummary(), e.B.GetSummary()
	return fmt.Sprintf("%s is a run of %s and %s one of %s, and they share no expectation\n  fix: compare two runs of one experiment; squall history %s lists them",
		a.GetId(), a.GetExperiment(), b.GetId(), b.GetExperiment(), a.GetExperiment())
}

// Compare holds a run against another one of the same experiment, or of one that
// has an expectation of the same name; else the error is an ErrUnlike.
func Compare(a, b *pb.RunReport) (*Comparison, error) {
	const expect = pb.FindingKind_FINDING_KIND_EXPECT
	sa, sb := a.GetSummary(), b.GetSummary()
	shared := slices.ContainsFunc(namesIn(a, expect), func(name string) bool { return slices.Contains(namesIn(b, expect), name) })
	if sa.GetExperiment() != sb.GetExperiment() && !shared {
		return nil, &ErrUnlike{a, b}
	}
	c := &Comparison{Runs: [2]string{sa.GetId(), sb.GetId()}}
	c.plain("RUN", "experiment", sa.GetExperiment(), sb.GetExperiment())
	c.plain("RUN", "begun", minute(sa.GetAdmittedUnixNanos()), minute(sb.GetAdmittedUnixNanos()))
	c.graded("RUN", "verdict", Verdict(a), Verdict(b), verdictRank(a)-verdictRank(b))
	c.graded("RUN", "residue", fmt.Sprint(len(Dirty(a.GetResidue()))), fmt.Sprint(len(Dirty(b.GetResidue()))), float64(len(Dirty(a.GetResidue()))-len(Dirty(b.GetResidue()))))
	c.took("RUN", "time to fail over", sa.GetFigures().GetFailover(), sb.GetFigures().GetFailover())
	c.took("RUN", "time to recover", sa.GetFigures().GetRecovery(), sb.GetFigures().GetRecovery())
	for _, kind := range []pb.FindingKind{expect, pb.FindingKind_FINDING_KIND_PROOF, pb.FindingKind_FINDING_KIND_VERIFY} {
		c.findings(a, b, kind)
	}
	c.gaps(a, b)
	c.probes(a, b)
	for i := range c.Rows { // the instants of two runs always differ, and say nothing
		if c.Rows[i].Name == "begun" {
			c.Rows[i].Change = ""
		}
	}
	return c, nil
}

func (c *Comparison) add(block, name, a, b, change string) {
	c.Rows = append(c.Rows, Row{Block: block, Name: name, Values: [2]string{a, b}, Change: change})
}

func (c *Comparison) plain(block, name, a, b string) {
	change := ""
	if a != b {
		change = "differs"
	}
	c.add(block, name, a, b, change)
}

// graded adds two values, the first of which is worse by so much; less than
// nothing is better, and what is no number differs.
func (c *Comparison) graded(block, name, a, b string, worse float64) {
	switch {
	case a == b:
		c.add(block, name, a, b, "")
	case worse > 0:
		c.add(block, name, a, b, "worse")
	case worse < 0:
		c.add(block, name, a, b, "better")
	default:
		c.add(block, name, a, b, "differs")
	}
}

// took adds two lengths of time; less than a second, a window's, is no difference.
func (c *Comparison) took(block, name string, a, b *pb.Took) {
	off := tookSeconds(a) - tookSeconds(b)
	switch {
	case a == nil && b == nil:
		return
	case a == nil || b == nil:
		c.add(block, name, Took(a), Took(b), "differs")
	case math.Abs(off) <= 1 || a.GetNever() && b.GetNever():
		c.add(block, name, Took(a), Took(b), "")
	default:
		c.graded(block, name, Took(a), Took(b), off)
	}
}

func tookSeconds(t *pb.Took) float64 {
	if t.GetNever() {
		return math.Inf(1)
	}
	return time.Duration(t.GetNanos()).Seconds()
}

// verdictRank orders verdicts, the worst highest; what was not judged to its end
// is no rank, and only differs.
func verdictRank(r *pb.RunReport) float64 {
	switch r.GetSummary().GetVerdict() {
	case pb.Verdict_VERDICT_PASS, pb.Verdict_VERDICT_DONE:
		return 0
	case pb.Verdict_VERDICT_FAIL:
		return 1
	}
	return math.NaN()
}

// findings adds those of a kind, by name, in the order of the first run and then
// of what only the second has.
func (c *Comparison) findings(a, b *pb.RunReport, kind pb.FindingKind) {
	block := strings.ToUpper(strings.ReplaceAll(text.Word(kind), "verify", "recovery"))
	for _, name := range union(namesIn(a, kind), namesIn(b, kind)) {
		fa, fb := findingIn(a, kind, name), findingIn(b, kind, name)
		c.graded(block, name, stateOf(fa), stateOf(fb), findingRank(fa)-findingRank(fb))
		if fa == nil || fb == nil {
			continue
		}
		c.took(block, "  took", tookOf(fa), tookOf(fb))
		c.worst(block, fa, fb)
	}
}

// worst adds the worst of each value that both findings compare; where one of
// them lacked data, that is neither better nor worse.
func (c *Comparison) worst(block string, fa, fb *pb.Finding) {
	for _, wa := range fa.GetWorst() {
		for _, wb := range fb.GetWorst() {
			if wa.GetValue() != wb.GetValue() || wa.GetOp() != wb.GetOp() {
				continue
			}
			worse := worseBy(wa, wb)
			if !graded(fa) || !graded(fb) {
				worse = math.NaN()
			}
			c.graded(block, fmt.Sprintf("  %s %s %s", wa.GetValue(), wa.GetOp(), decimal(wa.GetLimit())), decimal(wa.GetSeen()), decimal(wb.GetSeen()), worse)
		}
	}
}

// tookOf is how long it took until a finding held; nil where that lacked data.
func tookOf(f *pb.Finding) *pb.Took {
	if !graded(f) {
		return nil
	}
	return f.GetTook()
}

// graded tells that a finding has all that it is judged by.
func graded(f *pb.Finding) bool { return !math.IsNaN(findingRank(f)) }

func stateOf(f *pb.Finding) string {
	if f == nil {
		return "not there"
	}
	return State(f)
}

func findingRank(f *pb.Finding) float64 {
	switch {
	case f.GetState() == pb.FindingState_FINDING_STATE_HOLDS:
		return 0
	case f.GetState() == pb.FindingState_FINDING_STATE_BROKEN:
		return 1
	}
	return math.NaN()
}

// worseBy is by how much the worst of a value is worse than that of another run.
func worseBy(a, b *pb.Extreme) float64 {
	switch a.GetOp() {
	case "<", "<=":
		return a.GetSeen() - b.GetSeen()
	case ">", ">=":
		return b.GetSeen() - a.GetSeen()
	}
	return math.NaN()
}

// gaps adds the longest gap of each probe in each phase.
func (c *Comparison) gaps(a, b *pb.RunReport) {
	for _, at := range union(gapsOf(a), gapsOf(b)) {
		c.took("GAPS", at.probe+" in "+at.phase, longestGap(a, at), longestGap(b, at))
	}
}

// gapAt is where a gap lies.
type gapAt struct{ probe, phase string }

func gapsOf(r *pb.RunReport) (all []gapAt) {
	for _, f := range r.GetFindings() {
		if f.GetKind() == pb.FindingKind_FINDING_KIND_GAP {
			all = append(all, gapAt{f.GetName(), f.GetPhase()})
		}
	}
	return all
}

// longestGap is no time at all where a run looked and has no gap; nil where
// nobody knows.
func longestGap(r *pb.RunReport, at gapAt) *pb.Took {
	for _, f := range r.GetFindings() {
		if f.GetKind() == pb.FindingKind_FINDING_KIND_GAP && f.GetName() == at.probe && f.GetPhase() == at.phase {
			return &pb.Took{Nanos: f.GetGap().GetLongestNanos()}
		}
	}
	if !looked(r, at) {
		return nil
	}
	return &pb.Took{}
}

// looked tells that a run was judged, its phase began, and its probe was heard.
func looked(r *pb.RunReport, at gapAt) bool {
	v := r.GetSummary().GetVerdict()
	return (v == pb.Verdict_VERDICT_PASS || v == pb.Verdict_VERDICT_FAIL) &&
		slices.ContainsFunc(r.GetPhases(), func(p *pb.PhaseReport) bool {
			return p.GetPlanned().GetName() == at.phase && p.GetStartUnixNanos() != 0
		}) &&
		slices.ContainsFunc(r.GetProbes(), func(p *pb.ProbeReport) bool { return p.GetName() == at.probe && p.GetCount() > 0 })
}

// probes adds the share of good attempts, and how long they took.
func (c *Comparison) probes(a, b *pb.RunReport) {
	for _, pa := range a.GetProbes() {
		for _, p := range b.GetProbes() {
			if pa.GetName() != p.GetName() {
				continue
			}
			c.graded("PROBES", pa.GetName()+" ok", Share(pa), Share(p), lessGood(pa, p))
			c.add("PROBES", pa.GetName()+" p95", Millis(pa.P95Millis), Millis(p.P95Millis), muchOff(pa.P95Millis, p.P95Millis))
		}
	}
}

// lessGood is by how much fewer attempts were good than in another run; no number
// where there was none in one of them.
func lessGood(a, b *pb.ProbeReport) float64 {
	if a.GetCount() == 0 || b.GetCount() == 0 {
		return math.NaN()
	}
	return b.GetSuccess() - a.GetSuccess()
}

// muchOff tells latencies apart that differ by a quarter, and more than a
// millisecond; nothing where one was not measured.
func muchOff(a, b *float64) string {
	switch {
	case a == nil || b == nil || math.Abs(*a-*b) <= max(1, *b/4):
		return ""
	case *a > *b:
		return "worse"
	}
	return "better"
}

func namesIn(r *pb.RunReport, kind pb.FindingKind) (names []string) {
	for _, f := range r.GetFindings() {
		if f.GetKind() == kind {
			names = append(names, f.GetName())
		}
	}
	return names
}

func findingIn(r *pb.RunReport, kind pb.FindingKind, name string) *pb.Finding {
	for _, f := range r.GetFindings() {
		if f.GetKind() == kind && f.GetName() == name {
			return f
		}
	}
	return nil
}

// union are all of a, and then what only b has, once each.
func union[T comparable](a, b []T) (all []T) {
	for _, x := range slices.Concat(a, b) {
		if !slices.Contains(all, x) {
			all = append(all, x)
		}
	}
	return all
}

// minute is an instant to the minute, in UTC.
func minute(unixNanos int64) string { return instant(unixNanos).Format("2006-01-02 15:04Z") }

// changeMarks stand before what differs.
var changeMarks = map[string]string{"worse": "! ", "better": "+ ", "differs": "~ "}

// Text prints a comparison as a table that fits a terminal of 80 columns where
// names are no longer than most are.
func (c *Comparison) Text(w io.Writer) error {
	var out strings.Builder
	t := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "\t%s\t%s\n", c.Runs[0], c.Runs[1])
	block := ""
	for _, r := range c.Rows {
		if r.Block != block {
			block = r.Block
			fmt.Fprintf(t, "%s\t\t\n", block)
		}
		mark := changeMarks[r.Change]
		if mark == "" {
			mark = "  "
		}
		fmt.Fprintf(t, "%s%s\t%s\t%s\n", mark, cell(r.Name), cell(r.Values[0]), cell(r.Values[1]))
	}
	fmt.Fprintf(t, "! worse, + better, ~ other than in %s\n", c.Runs[1])
	if err := t.Flush(); err != nil {
		return fmt.Errorf("write comparison: %w", err)
	}
	for line := range strings.Lines(text.Harmless(out.String())) {
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " \n")); err != nil {
			return fmt.Errorf("write comparison: %w", err)
		}
	}
	return nil
}

// cell is text that stays in its cell.
func cell(s string) string {
	return strings.NewReplacer("\t", " ", "\n", " ", "\v", " ", "\f", " ").Replace(s)
}

// Markdown prints a comparison as a table for a pull request or a wiki.
func (c *Comparison) Markdown(w io.Writer) error {
	m := &markdown{}
	m.linef("## %s and %s\n", mdCode(c.Runs[0]), mdCode(c.Runs[1]))
	var rows [][]string
	for _, r := range c.Rows {
		change := r.Change
		if change == "worse" {
			change = "**worse**"
		}
		rows = append(rows, []string{r.Block, mdText(strings.TrimSpace(r.Name)), mdText(r.Values[0]), mdText(r.Values[1]), change})
	}
	m.table([]string{"", "", mdCode(c.Runs[0]), mdCode(c.Runs[1]), ""}, rows)
	_, err := io.WriteString(w, m.out.String())
	return err
}
