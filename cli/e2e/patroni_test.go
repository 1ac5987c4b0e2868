package e2e

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"squall/agent/host/hosttest"
	pb "squall/proto/squall/v1"
)

// patroniRegion is a lab of PostgreSQL under Patroni that is up.
type patroniRegion struct{ writerRegion }

func newPatroniRegion(t *testing.T) *patroniRegion {
	t.Helper()
	hosttest.RequireProgram(t, "etcd", "etcd-server")
	hosttest.RequireProgram(t, "psql", "postgresql")
	hosttest.RequireProgram(t, "patroni", "patroni")
	return &patroniRegion{newWriterRegion(t, "patroni")}
}

// TestTheReportAgreesWithPatroni takes the power from the zone of the primary,
// with one probe more whose every attempt asks for one row in a book. Then the
// report is held against the writer's own log, against PostgreSQL's rows, and
// against what Patroni says of its primaries.
func TestTheReportAgreesWithPatroni(t *testing.T) {
	long(t)
	r := newPatroniRegion(t)
	var old string
	book := 0
	out := untilInTime(t, func() (result, string) {
		book++
		old = r.primary(t)
		dark, lit := around(strings.TrimSuffix(strings.Replace(old, "db-", "server-", 1), "1"))
		return r.runBooked(t, fmt.Sprint("book", book), "--aim", "dark="+dark, "--aim", "lit="+lit)
	})
	report, _ := r.report(t, runOf(out))
	log := r.writerLog(t, fmt.Sprintf("book%d/", book))
	agreeOnRows(t, report, log, r.rows(t, fmt.Sprintf("book%d/", book)))
	took := agreeOnTheGap(t, report, log)
	r.agreeOnThePrimary(t, report, old, took)
}

// agreeOnRows: the store promises that no write is lost that a client has been
// acknowledged (Patroni with synchronous_mode, Redis by WAIT), and the report
// counts the same ones.
func agreeOnRows(t *testing.T, report *pb.RunReport, log []written, rows map[string]bool) {
	t.Helper()
	acknowledged, lost := 0, 0
	for _, w := range log {
		if !w.good {
			continue
		}
		acknowledged++
		if !rows[w.key] {
			lost++
		}
	}
	i := slices.IndexFunc(report.GetProbes(), func(p *pb.ProbeReport) bool { return p.GetName() == "booked" })
	if i < 0 {
		t.Fatalf("the report has no probe booked: %v", report.GetProbes())
	}
	successes := int(math.Round(report.GetProbes()[i].GetSuccess() * float64(report.GetProbes()[i].GetCount())))
	unknown := len(log) - acknowledged
	t.Logf("the report has %d successes, the writer %d acknowledged and %d unknown, the store %d", successes, acknowledged, unknown, len(rows))
	if lost > 0 {
		t.Errorf("%d acknowledged writes are lost", lost)
	}
	if successes < 200 || acknowledged < successes || acknowledged > successes+unknown || len(rows) < acknowledged || len(rows) > len(log) {
		t.Error("the numbers don't agree")
	}
}

// agreement is by how much the report and a client may differ about a gap.
const agreement = 300 * time.Millisecond

// agreeOnTheGap holds the report's longest gap against the writer's, and
// returns when the writer's first good write after it was asked for.
func agreeOnTheGap(t *testing.T, report *pb.RunReport, log []written) time.Time {
	t.Helper()
	i := slices.IndexFunc(report.GetFindings(), func(f *pb.Finding) bool {
		return f.GetKind() == pb.FindingKind_FINDING_KIND_GAP && f.GetPhase() == "dark" && f.GetName() == "booked"
	})
	if i < 0 {
		t.Fatalf("the report tells of no gap of booked in the dark: %v", report.GetFindings())
	}
	told := time.Duration(report.GetFindings()[i].GetGap().GetLongestNanos())
	began, ended, steady := longestGap(log)
	t.Logf("the gap: %v by the report, %v by the writer's log, with no failure from %v on", told, ended.Sub(began), steady.Sub(began))
	if told < ended.Sub(began)-agreement || told > steady.Sub(began)+agreement {
		t.Error("they differ by more than", agreement)
	}
	return ended
}

// agreeOnThePrimary: by Patroni's own history another member was promoted in
// the dark and before the writer could write again, and the old one follows it.
func (r *patroniRegion) agreeOnThePrimary(t *testing.T, report *pb.RunReport, old string, wrote time.Time) {
	t.Helper()
	held, reverted := darkness(report, old)
	leader := r.primary(t)
	promoted := r.promoted(t, leader)
	t.Logf("%s was promoted %v after %s was held, %v before the writer's first good write", leader, promoted.Sub(held), old, wrote.Sub(promoted))
	if leader == old || promoted.Before(held) || promoted.After(reverted) {
		t.Errorf("%s leads since %v; %s was dark from %v to %v", leader, promoted, old, held, reverted)
	}
	within(t, time.Minute, old+" streams from "+leader, func() bool {
		for _, m := range r.cluster(t) {
			if m.Name == old {
				return m.Role != "leader" && m.State == "running" || m.State == "streaming"
			}
		}
		return false
	})
}

// patroniMember is one, as Patroni lists them.
type patroniMember struct{ Name, Role, State string }

func (r *patroniRegion) cluster(t *testing.T) []patroniMember {
	t.Helper()
	var c struct{ Members []patroniMember }
	mustUnmarshal(t, r.fetch(t, "GET", r.anyDoor()+"/cluster"), &c)
	return c.Members
}

// anyDoor is Patroni's on a host that no test takes the power from for long.
func (r *patroniRegion) anyDoor() string { return "http://db-b1:8008" }

// primary waits until one leads and both others follow, and names it.
func (r *patroniRegion) primary(t *testing.T) (name string) {
	t.Helper()
	within(t, 2*time.Minute, "PostgreSQL is whole", func() bool {
		name = ""
		following := 0
		for _, m := range r.cluster(t) {
			switch {
			case m.Role == "leader" && m.State == "running":
				name = m.Name
			case m.State == "running" || m.State == "streaming":
				following++
			}
		}
		return name != "" && following == 2
	})
	return name
}

// promoted is when Patroni wrote down that a member became the primary.
func (r *patroniRegion) promoted(t *testing.T, name string) time.Time {
	t.Helper()
	var history [][]any
	mustUnmarshal(t, r.fetch(t, "GET", r.anyDoor()+"/history"), &history)
	for _, line := range slices.Backward(history) { // timeline, LSN, why, when, and by newer versions who
		at, err := time.Parse("2006-01-02T15:04:05.999999999Z07:00", fmt.Sprint(line[3]))
		if err == nil {
			return at
		}
	}
	t.Fatalf("%s was promoted at no time that its history tells: %v", name, history)
	return time.Time{}
}

// written is a line of the writer's log.
type written struct {
	key   string
	good  bool
	asked time.Time
}

// writerLog is what the writer says of the rows under a prefix, in the order in
// which they were asked for.
func (r *writerRegion) writerLog(t *testing.T, prefix string) (log []written) {
	t.Helper()
	out := r.must(t, 0, nil, "lab", "logs", asksFrom, "writer")
	for line := range strings.Lines(out.stdout) {
		f := strings.Fields(line)
		if len(f) != 4 || !strings.HasPrefix(f[1], prefix) {
			continue
		}
		nanos, err := strconv.ParseInt(f[2], 10, 64)
		if err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		log = append(log, written{f[1], f[0] == "acknowledged", time.Unix(0, nanos)})
	}
	slices.SortFunc(log, func(a, b written) int { return a.asked.Compare(b.asked) })
	return log
}

// longestGap is from the first of a row of failures to the first good write after
// it, and to the first since which none failed for a second: writes that wait for
// a new primary may end well beside others that don't.
func longestGap(log []written) (began, ended, steady time.Time) {
	var since time.Time
	for i, w := range log {
		switch {
		case !w.good && since.IsZero():
			since = w.asked
		case w.good && !since.IsZero():
			if w.asked.Sub(since) > ended.Sub(began) {
				began, ended, steady = since, w.asked, steadyFrom(log[i:])
			}
			since = time.Time{}
		}
	}
	return began, ended, steady
}

func steadyFrom(log []written) time.Time {
	from := log[0].asked
	for i, w := range log[1:] {
		switch {
		case w.asked.Sub(from) > time.Second:
			return from
		case !w.good && i+2 < len(log):
			from = log[i+2].asked
		}
	}
	return from
}

// rows are the keys that PostgreSQL has under a prefix, by its own tool.
func (r *patroniRegion) rows(t *testing.T, prefix string) map[string]bool {
	t.Helper()
	out := r.on(t, asksFrom, "/usr/bin/psql", "-h", r.primary(t), "-U", "postgres", "-At", "-c", "SELECT key FROM writes WHERE key LIKE '"+prefix+"%'")
	out.check(t, 0)
	keys := map[string]bool{}
	for key := range strings.Lines(out.stdout) {
		keys[strings.TrimSpace(key)] = true
	}
	return keys
}

// TestGapsAreCountedByAsking: between when attempts began, of the longest row of failures.
func TestGapsAreCountedByAsking(t *testing.T) {
	at := func(ms int, good bool) written { return written{good: good, asked: time.UnixMilli(int64(ms))} }
	began, ended, steady := longestGap([]written{
		at(0, true), at(100, false), at(200, true), at(300, false), at(400, false), at(500, true), at(600, false), at(700, true), at(2000, false),
	})
	if began.UnixMilli() != 300 || ended.UnixMilli() != 500 || steady.UnixMilli() != 700 {
		t.Errorf("from %v to %v, steady from %v", began, ended, steady)
	}
}
