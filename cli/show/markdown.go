package show

import (
	"fmt"
	"io"
	"strings"
	"time"

	pb "squall/proto/squall/v1"
	"squall/proto/text"
)

// Markdown writes a report for a pull request or a page of a wiki, in the
// dialect of GitHub, which others read as well: its blocks are those of the text.
func Markdown(w io.Writer, r *pb.RunReport) error {
	m := &markdown{}
	s := r.GetSummary()
	m.linef("## %s: %s\n", mdText(s.GetExperiment()), strings.ToUpper(Verdict(r)))
	if r.GetTitle() != "" {
		m.linef("%s\n", mdText(r.GetTitle()))
	}
	m.table([]string{"", ""}, mdFacts(r))
	m.residue(r)
	for _, section := range Sections() {
		m.findings(r, section)
	}
	m.faults(r)
	m.probes(r)
	if _, err := io.WriteString(w, m.out.String()); err != nil {
		return fmt.Errorf("write markdown: %w", err)
	}
	return nil
}

// markdown gathers a document.
type markdown struct{ out strings.Builder }

func (m *markdown) linef(format string, args ...any) { fmt.Fprintf(&m.out, format+"\n", args...) }

// table writes rows of cells that are escaped already; nothing without rows.
func (m *markdown) table(head []string, rows [][]string) {
	if len(rows) == 0 {
		return
	}
	m.linef("| %s |", strings.Join(head, " | "))
	m.linef("|%s", strings.Repeat("---|", len(head)))
	for _, row := range rows {
		m.linef("| %s |", strings.Join(row, " | "))
	}
	m.linef("")
}

func mdFacts(r *pb.RunReport) [][]string {
	s := r.GetSummary()
	rows := [][]string{
		{"run", mdCode(s.GetId())},
		{"begun", instant(s.GetAdmittedUnixNanos()).Format("2006-01-02 15:04:05 UTC")},
		{"by", mdText(s.GetBy().GetName())},
		{"took", Span(RunTime(r).Round(100 * time.Millisecond))},
		{"seed", fmt.Sprint(r.GetSeed())},
	}
	add := func(name, value string) {
		if value != "" && value != "-" {
			rows = append(rows, []string{name, value})
		}
	}
	add("why", mdText(s.GetBy().GetWhy()))
	add("time to fail over", Took(s.GetFigures().GetFailover()))
	add("time to recover", Took(s.GetFigures().GetRecovery()))
	add("ended early", mdText(strings.TrimPrefix(EndedEarly(r), "ended early: ")))
	return rows
}

func (m *markdown) residue(r *pb.RunReport) {
	var rows [][]string
	for _, h := range Dirty(r.GetResidue()) {
		rows = append(rows, []string{mdText(h.GetHost()), text.Word(h.GetStanding()), mdText(strings.Join(h.GetResidue(), "; "))})
	}
	if len(rows) == 0 {
		m.linef("**Residue:** 0\n")
		return
	}
	m.linef("**Residue:** %s not shown clean\n", text.Count(len(rows), "host"))
	m.table([]string{"host", "stands", "what is left"}, rows)
}

func (m *markdown) findings(r *pb.RunReport, section Section) {
	var rows [][]string
	for _, f := range r.GetFindings() {
		if f.GetKind() == section.Kind {
			rows = append(rows, []string{State(f), mdText(f.GetName()), mdText(f.GetHost()), mdText(f.GetText()), mdText(strings.TrimSpace(f.GetPhase() + " " + Place(r, f)))})
		}
	}
	if len(rows) > 0 {
		m.linef("### %s\n", section.Name)
	}
	m.table([]string{"", "name", "host", "seen", "when"}, rows)
}

func (m *markdown) faults(r *pb.RunReport) {
	var rows [][]string
	for _, s := range r.GetSteps() {
		reverted := 0
		for _, h := range s.GetHosts() {
			if h.GetState() == pb.StepState_STEP_STATE_REVERTED {
				reverted++
			}
		}
		rows = append(rows, []string{mdCode(s.GetFault()), mdText(s.GetPhase()), fmt.Sprintf("%d of %d", reverted, len(s.GetHosts())), p99(s.GetSkew()), p99(s.GetLate())})
	}
	if len(rows) > 0 {
		m.linef("### FAULTS\n")
	}
	m.table([]string{"fault", "phase", "reverted", "start skew, p99", "reverted late, p99"}, rows)
}

func p99(s *pb.Spread) string {
	if s.GetCount() == 0 {
		return "-"
	}
	return Span(time.Duration(s.GetP99()))
}

func (m *markdown) probes(r *pb.RunReport) {
	var rows [][]string
	for _, p := range r.GetProbes() {
		worst := "-"
		if p.GetWorstSecond() != 0 {
			worst = fmt.Sprintf("%.1f%% at %s", 100*p.GetWorstSuccess(), instant(p.GetWorstSecond()*1e9).Format("15:04:05 UTC"))
		}
		rows = append(rows, []string{mdText(p.GetName()), count(p.GetCount()), Share(p), Millis(p.P50Millis), Millis(p.P95Millis), Millis(p.P99Millis), worst, fmt.Sprintf("%ds", p.GetGaps())})
	}
	if len(rows) > 0 {
		m.linef("### PROBES\n")
	}
	m.table([]string{"probe", "attempts", "ok", "p50", "p95", "p99", "worst second", "no reading in"}, rows)
}

// mdEscapes are what Markdown, HTML or GitHub would take for more than text.
var mdEscapes = strings.NewReplacer(
	"\\", "\\\\", "`", "\\`", "*", "\\*", "_", "\\_", "[", "\\[", "]", "\\]", "|", "\\|", "~", "\\~", "#", "\\#", "$", "\\$",
	"<", "&lt;", ">", "&gt;", "&", "&amp;", "@", "&#64;", "\n", " ", "\r", " ", "://", "&#58;//",
)

// mdText is text of others as it stands in a cell: on one line, and no more than text.
func mdText(s string) string {
	return mdEscapes.Replace(text.Harmless(strings.Join(strings.Fields(s), " ")))
}

// mdCode is a name in code's type; a name that has its mark stays text.
func mdCode(s string) string {
	if s == "" || strings.ContainsAny(s, "`|<>&\n\r\\") {
		return mdText(s)
	}
	return "`" + text.Harmless(s) + "`"
}
