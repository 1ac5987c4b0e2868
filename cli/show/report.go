package show

import (
	"fmt"
	"slices"
	"time"

	pb "squall/proto/squall/v1"
	"squall/proto/text"
)

// What every form of a report tells in the same words.

// Verdict is what a run came to, or how far it is: "fail", "holding".
func Verdict(r *pb.RunReport) string {
	s := r.GetSummary()
	if s.GetState() == pb.RunState_RUN_STATE_DONE && s.GetVerdict() != pb.Verdict_VERDICT_UNSPECIFIED {
		return text.Word(s.GetVerdict())
	}
	return text.Word(s.GetState())
}

// RunTime is how long a run took from its first instant to its verdict, or is to
// take while it is under way; 0 where it never fired.
func RunTime(r *pb.RunReport) time.Duration {
	s := r.GetSummary()
	switch {
	case s.GetT0UnixNanos() == 0:
		return 0
	case s.GetDoneUnixNanos() > s.GetT0UnixNanos():
		return time.Duration(s.GetDoneUnixNanos() - s.GetT0UnixNanos())
	}
	return max(0, time.Duration(s.GetEndsUnixNanos()-s.GetT0UnixNanos()))
}

// EndedEarly says what ended a run before its time; empty where nothing did.
func EndedEarly(r *pb.RunReport) string {
	if r.GetEndCause() <= pb.EndCause_END_CAUSE_COMPLETE {
		return ""
	}
	why := "ended early: " + text.Word(r.GetEndCause())
	if r.GetEndDetail() != "" {
		why += ": " + r.GetEndDetail()
	}
	return why
}

// Dirty are the hosts that were not shown clean.
func Dirty(hosts []*pb.HostClean) []*pb.HostClean {
	return slices.DeleteFunc(slices.Clone(hosts), (*pb.HostClean).GetClean)
}

// Place is where on the run's real time a finding lies: "T+12.3s"; empty where it
// does not say.
func Place(r *pb.RunReport, f *pb.Finding) string {
	t0 := r.GetSummary().GetT0UnixNanos()
	if f.GetAtUnixNanos() == 0 || t0 == 0 {
		return ""
	}
	return fmt.Sprintf("T%+.1fs", time.Duration(f.GetAtUnixNanos()-t0).Seconds())
}

// State is how a check ended: ok, FAIL, UNKNOWN, or - where it was not judged.
func State(f *pb.Finding) string {
	switch f.GetState() {
	case pb.FindingState_FINDING_STATE_HOLDS:
		return "ok"
	case pb.FindingState_FINDING_STATE_BROKEN:
		return "FAIL"
	case pb.FindingState_FINDING_STATE_NOT_JUDGED:
		return "-"
	}
	return "UNKNOWN"
}

// Sections are the kinds of findings in the order in which reports have them, and
// their names.
func Sections() []Section {
	return []Section{
		{"GATE", pb.FindingKind_FINDING_KIND_STEADY_STATE},
		{"EXPECT", pb.FindingKind_FINDING_KIND_EXPECT},
		{"PROOF", pb.FindingKind_FINDING_KIND_PROOF},
		{"ABORT", pb.FindingKind_FINDING_KIND_ABORT},
		{"RECOVERY", pb.FindingKind_FINDING_KIND_VERIFY},
		{"LOST", pb.FindingKind_FINDING_KIND_RECOVERY},
		{"GAPS", pb.FindingKind_FINDING_KIND_GAP},
		{"STEPS", pb.FindingKind_FINDING_KIND_STEP},
	}
}

// Section is a block of findings.
type Section struct {
	Name string
	Kind pb.FindingKind
}

// Took is how long something took: "4.2s", "never", or "-" where nothing says.
func Took(t *pb.Took) string {
	switch {
	case t == nil:
		return "-"
	case t.GetNever():
		return "never"
	}
	return Span(time.Duration(t.GetNanos()).Round(100 * time.Millisecond))
}

// Share is how many of a probe's attempts were good: "97.0%", or "-" where there
// was none.
func Share(p *pb.ProbeReport) string {
	if p.GetCount() == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f%%", 100*p.GetSuccess())
}

// Millis is a latency in milliseconds: "41.2 ms", or "-" where nobody measured one.
func Millis(v *float64) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprintf("%.1f ms", *v)
}

// Span is a length of time for people: three digits are enough.
func Span(d time.Duration) string {
	for _, unit := range []time.Duration{time.Hour, time.Minute, time.Second, time.Millisecond, time.Microsecond} {
		if d >= unit || d <= -unit {
			return d.Round(unit / 100).String()
		}
	}
	return d.String()
}

// instant is one of Unix nanoseconds, in UTC: files are read elsewhere.
func instant(unixNanos int64) time.Time { return time.Unix(0, unixNanos).UTC() }
