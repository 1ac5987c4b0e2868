package show

import (
	"encoding/xml"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	pb "squall/proto/squall/v1"
	"squall/proto/text"
)

// The elements of JUnit's format that CI servers read, in the order in which the
// strictest of them want them.
type (
	junitSuites struct {
		XMLName xml.Name `xml:"testsuites"`
		Name    string   `xml:"name,attr"`
		junitCounts
		Suites []junitSuite `xml:"testsuite"`
	}
	junitCounts struct {
		Tests    int    `xml:"tests,attr"`
		Failures int    `xml:"failures,attr"`
		Errors   int    `xml:"errors,attr"`
		Skipped  int    `xml:"skipped,attr"`
		Time     string `xml:"time,attr"`
	}
	junitSuite struct {
		Name string `xml:"name,attr"`
		junitCounts
		Timestamp  string          `xml:"timestamp,attr"`
		Properties []junitProperty `xml:"properties>property"`
		Cases      []junitCase     `xml:"testcase"`
		Out        string          `xml:"system-out,omitempty"`
	}
	junitProperty struct {
		Name  string `xml:"name,attr"`
		Value string `xml:"value,attr"`
	}
	junitCase struct {
		Name    string      `xml:"name,attr"`
		Class   string      `xml:"classname,attr"`
		Time    string      `xml:"time,attr"`
		Error   *junitFault `xml:"error"`
		Failure *junitFault `xml:"failure"`
		Skipped *junitFault `xml:"skipped"`
	}
	junitFault struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr,omitempty"`
		Text    string `xml:",chardata"`
	}
)

// JUnit writes a report as one test suite: a test case for the verdict, one for
// residue, and one for each finding that was judged. What is broken is a failure;
// what nothing was learnt of is skipped; what ended the run early is an error.
func JUnit(w io.Writer, r *pb.RunReport) error {
	suite := junitSuite{
		Name: r.GetSummary().GetExperiment(), Timestamp: instant(r.GetSummary().GetAdmittedUnixNanos()).Format("2006-01-02T15:04:05"),
		Properties: junitProperties(r), Out: r.GetTitle(),
	}
	suite.Cases = append(suite.Cases, verdictCase(r), residueCase(r))
	for _, f := range r.GetFindings() {
		if kind := junitKind(f.GetKind()); kind != "" {
			suite.Cases = append(suite.Cases, findingCase(r, kind, f))
		}
	}
	suite.junitCounts = countCases(suite.Cases, seconds(RunTime(r)))
	out := junitSuites{Name: "squall", junitCounts: suite.junitCounts, Suites: []junitSuite{suite}}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return fmt.Errorf("write junit: %w", err)
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(out); err != nil {
		return fmt.Errorf("write junit: %w", err)
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func junitProperties(r *pb.RunReport) []junitProperty {
	s := r.GetSummary()
	return []junitProperty{
		{"run", s.GetId()},
		{"verdict", Verdict(r)},
		{"seed", strconv.FormatUint(r.GetSeed(), 10)},
		{"started_by", s.GetBy().GetName()},
		{"why", s.GetBy().GetWhy()},
	}
}

// junitKind is the class of a finding's test case; empty for what is told and
// not judged.
func junitKind(k pb.FindingKind) string {
	switch k {
	case pb.FindingKind_FINDING_KIND_GAP, pb.FindingKind_FINDING_KIND_RESIDUE, pb.FindingKind_FINDING_KIND_UNSPECIFIED:
		return ""
	case pb.FindingKind_FINDING_KIND_VERIFY:
		return "revert.verify"
	}
	return strings.ReplaceAll(text.Word(k), " ", "_")
}

func verdictCase(r *pb.RunReport) junitCase {
	c := junitCase{Name: "verdict", Class: r.GetSummary().GetExperiment(), Time: seconds(RunTime(r))}
	said := &junitFault{Message: Verdict(r), Type: "verdict", Text: EndedEarly(r)}
	switch r.GetSummary().GetVerdict() {
	case pb.Verdict_VERDICT_PASS, pb.Verdict_VERDICT_DONE:
	case pb.Verdict_VERDICT_FAIL:
		c.Failure = said
	case pb.Verdict_VERDICT_ABORTED, pb.Verdict_VERDICT_HALTED, pb.Verdict_VERDICT_ERROR:
		c.Error = said
	default:
		c.Skipped = said
	}
	return c
}

func residueCase(r *pb.RunReport) junitCase {
	c := junitCase{Name: "residue", Class: r.GetSummary().GetExperiment() + ".revert", Time: seconds(0)}
	var lines []string
	for _, h := range Dirty(r.GetResidue()) {
		lines = append(lines, h.GetHost()+": "+text.Word(h.GetStanding())+" "+strings.Join(h.GetResidue(), "; "))
	}
	if len(lines) > 0 {
		c.Failure = &junitFault{Message: text.Count(len(lines), "host") + " not shown clean", Type: "residue", Text: strings.Join(lines, "\n")}
	}
	return c
}

func findingCase(r *pb.RunReport, kind string, f *pb.Finding) junitCase {
	c := junitCase{Name: f.GetName(), Class: r.GetSummary().GetExperiment() + "." + kind, Time: seconds(time.Duration(f.GetTook().GetNanos()))}
	if f.GetHost() != "" {
		c.Name += " on " + f.GetHost()
	}
	said := &junitFault{Message: f.GetText(), Type: kind, Text: strings.TrimSpace(f.GetPhase() + " " + Place(r, f))}
	switch {
	case f.GetState() == pb.FindingState_FINDING_STATE_HOLDS:
	case f.GetState() != pb.FindingState_FINDING_STATE_BROKEN || inconclusive(f.GetKind()):
		c.Skipped = said
	case f.GetKind() == pb.FindingKind_FINDING_KIND_ABORT:
		c.Error = said
	default:
		c.Failure = said
	}
	return c
}

// inconclusive tells of a kind of finding which, broken, says that nothing was learnt.
func inconclusive(k pb.FindingKind) bool {
	return k == pb.FindingKind_FINDING_KIND_PROOF || k == pb.FindingKind_FINDING_KIND_STEP || k == pb.FindingKind_FINDING_KIND_STEADY_STATE
}

func countCases(cases []junitCase, time string) junitCounts {
	n := junitCounts{Tests: len(cases), Time: time}
	for _, c := range cases {
		switch {
		case c.Error != nil:
			n.Errors++
		case c.Failure != nil:
			n.Failures++
		case c.Skipped != nil:
			n.Skipped++
		}
	}
	return n
}

// seconds is a length of time as JUnit has it.
func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 3, 64) }
