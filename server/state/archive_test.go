package state

import (
	"fmt"
	"slices"
	"testing"
	"time"

	pb "squall/proto/squall/v1"
)

func seal(run string) *pb.Command {
	return &pb.Command{Kind: &pb.Command_SealRuns{SealRuns: &pb.SealRuns{Runs: []*pb.RunSummary{{Id: run}}}}}
}

func keeps(server, run, digest string) *pb.Command {
	return &pb.Command{Kind: &pb.Command_RecordArchived{RecordArchived: &pb.RecordArchived{
		Server: server, Servers: 3, Runs: []*pb.Kept{{Run: run, Digest: []byte(digest), Bytes: 7, Windows: 9}},
	}}}
}

func gone(server, run string) *pb.Command {
	return &pb.Command{Kind: &pb.Command_RecordArchived{RecordArchived: &pb.RecordArchived{
		Server: server, Servers: 3, Runs: []*pb.Kept{{Run: run, Gone: true}},
	}}}
}

// finished is a bench with a run that is done and has windows; a and b are clean,
// c was not heard from.
func finished(t *testing.T) *bench {
	b := holding(t)
	for i := range int64(9) {
		b.must(recorded(b.window(0, b.now/1e9+i, 1)))
	}
	b.must(steps(withResidue("r", "a", 1), withResidue("r", "b", 1)))
	b.must(endRun("r", pb.EndCause_END_CAUSE_UNDO), recovers("r"), finish("r"))
	return b
}

func (b *bench) windows() int { return len(b.m.Snapshot().GetWindows()) }

func TestMajorityOfArchivesLetsTheStateGo(t *testing.T) {
	b := finished(t)
	b.must(seal("r"), keeps("s1", "r", "x"))
	if b.windows() != 9 {
		t.Fatalf("with one server of three the state has %d windows", b.windows())
	}
	b.must(keeps("s1", "r", "x")) // told again, it counts once
	b.must(keeps("s2", "r", "y")) // another record is none of this run
	if b.windows() != 9 || len(b.m.View().Archived("r").GetServers()) != 1 {
		t.Fatalf("the state has %d windows, archived is %v", b.windows(), b.m.View().Archived("r"))
	}
	b.must(keeps("s3", "r", "x"))
	a := b.m.View().Archived("r")
	if b.windows() != 0 || !a.GetReleased() || !slices.Equal(a.GetServers(), []string{"s1", "s3"}) || a.GetWindows() != 9 || a.GetBytes() != 7 {
		t.Errorf("with a majority the state has %d windows, archived is %v", b.windows(), a)
	}
	if b.m.View().Run("r") == nil {
		t.Error("a run of late is not told from the state any more")
	}
	b.must(gone("s1", "r"), gone("s3", "r"))
	if a := b.m.View().Archived("r"); len(a.GetServers()) != 0 || !a.GetReleased() {
		t.Errorf("gone from everywhere, it is told as %v", a)
	}
}

// A record that is archived never changes: what a host says later is the host's.
func TestSealedRunChangesNoMore(t *testing.T) {
	b := finished(t)
	b.must(seal("r"))
	before, hash := b.m.View().Run("r"), len(b.m.View().Run("r").GetEvents())
	b.must(steps(withResidue("r", "a", 9), withResidue("r", "c", 9)))
	if after := b.m.View().Run("r"); after != before || len(after.GetEvents()) != hash {
		t.Error("a report changed a run that is sealed")
	}
	if b.left("c", "r") != nil {
		t.Errorf("the host that was shown clean is %v", b.left("c", "r"))
	}
	for host, ends := range map[string]int{"a": 1, "c": 1} {
		if n := len(b.m.View().Order(host).GetConfirmed()); n != ends {
			t.Errorf("%d ends are confirmed to %s", n, host)
		}
	}
	b.refused(admit("r", planOf(0, "d")), pb.Refusal_REFUSAL_INVALID)
}

func TestRunIsSealedWhenNothingMoreIsExpected(t *testing.T) {
	b := finished(t)
	sealable := func() bool { return len(b.m.View().ToSeal(time.Unix(0, b.now))) == 1 }
	b.now = t0 + 3600e9 // past every deadline
	if sealable() {
		t.Error("a host was not heard from, and it is to be sealed")
	}
	b.must(steps(withResidue("r", "c", 1)))
	if !sealable() {
		t.Error("all hosts are clean, and it is not to be sealed")
	}
	b.must(seal("r"))
	if sealable() {
		t.Error("it is to be sealed again")
	}

	b = finished(t)
	b.now += int64(25 * time.Hour)
	if !sealable() {
		t.Error("nobody has heard from a host for a day, and it is not to be sealed")
	}
}

// Runs that no majority has archived stay whole, within a bound, and what makes
// room then is told as never archived.
func TestRunsWaitForTheArchiveWithinABound(t *testing.T) {
	b := newBench(t)
	b.must(hosts("s1", 1, "a"))
	for i := range mostDone + 5 {
		id := fmt.Sprintf("run-%03d", i)
		b.must(gated(id, planOf(0, "a")), finish(id), seal(id))
	}
	if runs := b.m.View().Runs(); len(runs) != mostDone || runs[0].GetId() != "run-005" {
		t.Fatalf("%d runs wait, the oldest is %s", len(runs), runs[0].GetId())
	}
	if a := b.m.View().Archived("run-004"); a == nil || a.GetReleased() || len(a.GetServers()) != 0 {
		t.Errorf("what no archive ever had is told as %v", a)
	}
	for i := range mostDone + 5 {
		id := fmt.Sprintf("run-%03d", i)
		b.must(keeps("s1", id, "x"), keeps("s2", id, "x"))
	}
	if runs := b.m.View().Runs(); len(runs) != maxDone {
		t.Errorf("with all archived, %d runs are whole", len(runs))
	}
	if n := len(b.m.View().AllArchived()); n != mostDone+5 {
		t.Errorf("%d runs have a line", n)
	}
}

// Of lines that are too many the oldest go, but never the last pass of an
// experiment while others can: since when it has not passed would be lost.
func TestLastPassOutlivesOlderLines(t *testing.T) {
	b := finished(t)
	s := b.m.Snapshot()
	s.Archived = make(map[string]*pb.Archived)
	for i := range maxArchived {
		id := fmt.Sprintf("run-%05d", i)
		line := &pb.RunSummary{Id: id, Experiment: "often", AdmittedIndex: uint64(i), Verdict: pb.Verdict_VERDICT_PASS}
		switch i {
		case 0:
			line.AdHoc = true
		case 1, 2:
			line.Experiment = "seldom"
		case 3:
			line.Experiment, line.Verdict = "never", pb.Verdict_VERDICT_FAIL
		}
		s.Archived[id] = &pb.Archived{Summary: line, Released: true}
	}
	if err := b.m.Restore(s); err != nil {
		t.Fatal(err)
	}
	has := func(want int, ids ...string) {
		t.Helper()
		for _, id := range ids {
			if b.m.View().Archived(id) == nil {
				t.Errorf("the line of %s is forgotten", id)
			}
		}
		if n := len(b.m.View().AllArchived()); n != want {
			t.Errorf("%d lines are kept", n)
		}
	}
	has(maxArchived, "run-00000")
	b.must(seal("r"))
	has(maxArchived, "run-00001", "run-00002", "run-00003", "r")
	for i := range 3 {
		id := fmt.Sprint("more-", i)
		b.must(admit(id, planOf(0, "d")), endRun(id, pb.EndCause_END_CAUSE_UNDO), recovers(id), finish(id), seal(id))
	}
	has(maxArchived, "run-00002", "r", "more-0", "more-2")
	for _, id := range []string{"run-00000", "run-00001", "run-00003", "run-00004"} {
		if b.m.View().Archived(id) != nil {
			t.Errorf("the line of %s is kept", id)
		}
	}
}
