package state

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"squall/experiments/plan"
	pb "squall/proto/squall/v1"
)

func setGuard(g *pb.Guard, endRuns bool) *pb.Command {
	return &pb.Command{
		By:   &pb.Principal{Name: "kim", Role: pb.Role_ROLE_USER, Why: "agreed"},
		Kind: &pb.Command_SetGuard{SetGuard: &pb.SetGuard{Guard: g, EndRuns: endRuns}},
	}
}

func removeGuard(name string) *pb.Command {
	return &pb.Command{Kind: &pb.Command_RemoveGuard{RemoveGuard: &pb.RemoveGuard{Name: name}}}
}

// except lets a file of these bytes past guards.
func except(file string, until int64, guards ...string) *pb.Command {
	return &pb.Command{
		By: &pb.Principal{Name: "kim", Role: pb.Role_ROLE_USER, Why: "agreed"},
		Kind: &pb.Command_ExceptGuards{ExceptGuards: &pb.ExceptGuards{Exception: &pb.GuardException{
			Digest: Digest([]byte(file)), Guards: guards, UntilUnixNanos: until,
		}}},
	}
}

func protects(rule string) *pb.Guard {
	return &pb.Guard{Name: "protected", Rule: &pb.Guard_Protect{Protect: &pb.GuardProtect{Match: []string{rule}}}}
}

// fromFile is an admission of what stands in a file.
func fromFile(c *pb.Command, source string) *pb.Command {
	c.GetAdmitRun().Source = []byte(source)
	return c
}

func TestTwoRunsCanNotBothSlipThroughAGuardOfTheCluster(t *testing.T) {
	b := newBench(t)
	b.must(hosts("s1", 1, "a", "b", "c"), setGuard(&pb.Guard{Name: "pace", Rule: &pb.Guard_HostsAMinute{HostsAMinute: 2}}, false))
	b.must(admit("one", planOf(0, "a")), admit("two", planOf(0, "b")))
	p := b.refused(admit("three", planOf(0, "c")), pb.Refusal_REFUSAL_GUARDRAIL)
	if !strings.Contains(p.GetMessage(), "guardrail pace of the cluster: faults begin on 3 hosts within a minute, with run one, two, and on at most 2 may they") {
		t.Errorf("says %q", p.GetMessage())
	}
}

// TestGuardThatARunBreaksIsRefusedOrEndsIt: nobody's run ends for a guard that
// was set without knowing of it.
func TestGuardThatARunBreaksIsRefusedOrEndsIt(t *testing.T) {
	b := holding(t)
	p := b.refused(setGuard(protects("host=b"), false), pb.Refusal_REFUSAL_GUARDRAIL)
	if b.m.View().Guard("protected") != nil || !strings.Contains(p.GetMessage(), "broken by runs under way: r;") || !strings.Contains(p.GetFix(), "--end-runs") {
		t.Errorf("says %q, and keeps %v", p.GetMessage(), b.m.View().Guard("protected"))
	}
	b.must(setGuard(protects("host=d"), false)) // which it leaves alone
	b.must(setGuard(protects("host=b"), true))
	r := b.m.View().Run("r")
	if r.GetState() != pb.RunState_RUN_STATE_REVERTING || r.GetEndCause() != pb.EndCause_END_CAUSE_ABORT_RULE ||
		!strings.HasPrefix(r.GetEndDetail(), "guardrail protected of the cluster: b is protected by host=b") || r.GetEndedBy().GetName() != "kim" {
		t.Errorf("the run is %v by %v: %s", r.GetState(), r.GetEndedBy(), r.GetEndDetail())
	}
	g := b.m.View().Guard("protected")
	if g.GetVersion() != b.m.View().Index() || g.GetBy().GetWhy() != "agreed" {
		t.Errorf("kept as %v", g)
	}
	acts := b.m.View().Audit()
	if last := acts[len(acts)-1]; last.GetAct() != "set guard" || last.GetObject() != "protected" || last.GetBy().GetName() != "kim" {
		t.Errorf("on record as %v", last)
	}
}

func TestExceptionLetsOneFilePastAndNoOther(t *testing.T) {
	b := newBench(t)
	b.must(hosts("s1", 1, "a", "b"), setGuard(protects("host=a"), false))
	b.refused(fromFile(admit("r", planOf(0, "a")), "drill"), pb.Refusal_REFUSAL_GUARDRAIL)
	b.refused(except("drill", b.now+10e9, "unheard of"), pb.Refusal_REFUSAL_UNKNOWN)
	b.must(except("drill", b.now+10e9, "protected"))
	b.refused(fromFile(admit("r", planOf(0, "a")), "another"), pb.Refusal_REFUSAL_GUARDRAIL)
	b.must(fromFile(admit("r", planOf(0, "a")), "drill"))
	if got := b.m.View().Run("r").GetExcepted(); len(got) != 1 || got[0] != "protected" {
		t.Errorf("let past %v", got)
	}

	// The exception ends, and what it let in goes on, whatever guard of this name is set.
	b.now += 11e9
	b.must(setGuard(protects("host=a"), false))
	if s := b.m.View().Run("r").GetState(); s != pb.RunState_RUN_STATE_PREPARING {
		t.Errorf("the run is %v", s)
	}
	b.must(endRun("r", pb.EndCause_END_CAUSE_UNDO), finish("r"))
	b.refused(fromFile(admit("again", planOf(0, "a")), "drill"), pb.Refusal_REFUSAL_GUARDRAIL)
}

func TestExceptionsEndWithTheirGuardAndARestore(t *testing.T) {
	b := newBench(t)
	b.must(setGuard(protects("host=a"), false), except("one", b.now+10e9, "protected"), except("all", b.now+10e9))
	b.must(removeGuard("protected"))
	if all := b.m.View().Exceptions(b.now); len(all) != 1 || all[0].GetDigest() != Digest([]byte("all")) {
		t.Errorf("left: %v", all)
	}
	b.must(&pb.Command{Kind: &pb.Command_RaiseEpoch{RaiseEpoch: &pb.RaiseEpoch{}}})
	if all := b.m.View().Exceptions(b.now); len(all) != 0 {
		t.Errorf("a restore left: %v", all)
	}
}

func TestExceptionsAndGuardsThatAreNone(t *testing.T) {
	b := newBench(t)
	nameless := except("drill", t0+10e9)
	nameless.By.Why = ""
	b.must(setGuard(protects("host=a"), false))
	short := except("drill", t0+10e9)
	short.GetExceptGuards().Exception.Digest = "abcd"
	for name, c := range map[string]*pb.Command{
		"no reason": nameless, "no digest": short, "has ended": except("drill", 1), "for ever": except("drill", t0+int64(MaxException)+int64(1e18)),
		"one guard often": except("drill", t0+10e9, slices.Repeat([]string{"protected"}, maxGuards+1)...),
		"no rule":         setGuard(&pb.Guard{Name: "x"}, false),
		"no name":         setGuard(&pb.Guard{Rule: &pb.Guard_MaxZones{MaxZones: 1}}, false),
		"clocks unknown":  setGuard(&pb.Guard{Name: "x", Rule: &pb.Guard_Closed{Closed: &pb.GuardClosed{Hours: []string{"sat,sun"}, Timezone: "UTC"}}}, false),
		"a share of 100%": setGuard(&pb.Guard{Name: "x", Rule: &pb.Guard_MaxShare{MaxShare: &pb.GuardShare{Of: "fleet", Most: &pb.Share{Ppm: 1_000_000}}}}, false),
	} {
		t.Run(name, func(t *testing.T) { b.refused(c, pb.Refusal_REFUSAL_INVALID) })
	}
	b.refused(removeGuard("x"), pb.Refusal_REFUSAL_UNKNOWN)
}

// TestGapCountsFromTheEndOfWhatFired: a run that came to nothing hurt nobody.
func TestGapCountsFromTheEndOfWhatFired(t *testing.T) {
	b := holding(t)
	b.must(setGuard(&pb.Guard{Name: "gap", Rule: &pb.Guard_GapNanos{GapNanos: 60e9}}, false))
	b.refused(admit("second", planOf(0, "d")), pb.Refusal_REFUSAL_GUARDRAIL)
	reverted := []*pb.StepStatus{}
	for _, h := range []string{"a", "b", "c"} {
		reverted = append(reverted, status("r", h, pb.StepState_STEP_STATE_REVERTED))
	}
	b.must(endRun("r", pb.EndCause_END_CAUSE_UNDO), steps(reverted...), recovers("r"), finish("r"))
	b.now += 58e9
	p := b.refused(admit("second", planOf(0, "d")), pb.Refusal_REFUSAL_GUARDRAIL)
	if !strings.Contains(p.GetMessage(), "run r ended 59s ago, and 1m must lie between runs") {
		t.Errorf("says %q", p.GetMessage())
	}
	b.now += 1e9
	b.must(admit("second", planOf(0, "d")), endRun("second", pb.EndCause_END_CAUSE_UNDO), finish("second"))
	b.must(admit("third", planOf(0, "d")))
}

// plays is a run that fires on a host, ends, and is archived by a majority.
func (b *bench) plays(run, host string) {
	b.t.Helper()
	b.must(admit(run, planOf(0, host)), fire(run, b.now+2e9), endRun(run, pb.EndCause_END_CAUSE_UNDO),
		steps(status(run, host, pb.StepState_STEP_STATE_REVERTED)), finish(run), seal(run), keeps("s1", run, "x"), keeps("s2", run, "x"))
}

// TestGapOutlivesTheRunsOfOtherEnvironments: however many come in between, and
// over a restore; a guardrail that is set after them counts as well.
func TestGapOutlivesTheRunsOfOtherEnvironments(t *testing.T) {
	const week = 7 * 24 * int64(time.Hour)
	gap := setGuard(&pb.Guard{Name: "gap", Environments: []string{"production"}, Rule: &pb.Guard_GapNanos{GapNanos: week}}, false)
	for when, before := range map[string]bool{"before": true, "after": false} {
		t.Run("set "+when, func(t *testing.T) {
			b := newBench(t)
			shop := hosts("s1", 1, "p", "q")
			for i, h := range shop.GetUpdateHosts().Hosts {
				h.Host.Environment, h.Host.Zone = "production", []string{"zone-a", "zone-z"}[i]
			}
			b.must(shop)
			if before {
				b.must(gap)
			}
			b.plays("real", "p")
			ended := b.now
			for i := range maxDone + 5 {
				b.now += 20 * int64(time.Minute)
				b.plays(fmt.Sprint("lab-", i), "d")
			}
			if err := b.m.Restore(roundTrip(t, b.m.Snapshot())); err != nil {
				t.Fatal(err)
			}
			b.must(gap)
			p := b.refused(admit("soon", planOf(0, "p")), pb.Refusal_REFUSAL_GUARDRAIL)
			if !strings.Contains(p.GetMessage(), "guardrail gap of the cluster: run real ended") {
				t.Errorf("says %q", p.GetMessage())
			}
			if n := len(b.m.View().Runs()); n != maxDone+2 { // the lab's own last one stays as well
				t.Errorf("%d runs are kept", n)
			}
			b.now = ended + week
			b.plays("next", "p")
			b.plays("lab", "d")
			if b.m.View().Run("real") != nil || b.m.View().Run("next") == nil {
				t.Error("it is not the last run that stays")
			}
		})
	}
}

// TestLastRunsOfEnvironmentsAreBounded by how many there are, and by the longest gap.
func TestLastRunsOfEnvironmentsAreBounded(t *testing.T) {
	b := newBench(t)
	for i := range maxLast + 20 {
		name := fmt.Sprintf("h-%03d", i)
		shop := hosts("s1", 1, name, "by-"+name)
		for _, h := range shop.GetUpdateHosts().Hosts {
			h.Host.Environment, h.Host.Zone = name, h.GetName()
		}
		b.must(shop)
		b.plays("run-"+name, name)
	}
	if last := b.m.View().lastFired(); len(last) != maxLast || last["run-h-019"] || !last["run-h-020"] {
		t.Errorf("%d stay", len(last))
	}
	b.now += plan.MaxGap + int64(time.Minute)
	b.must(hosts("s1", 1, "d"))
	if last := b.m.View().lastFired(); len(last) != 0 {
		t.Errorf("%v stay for ever", last)
	}
}

func TestSnapshotHoldsGuardsAndOldOnesLoad(t *testing.T) {
	b := newBench(t)
	b.must(hosts("s1", 1, "a"), setGuard(protects("host=a"), false), except("drill", b.now+10e9, "protected"))
	b.must(fromFile(admit("r", planOf(0, "a")), "drill"))
	m := New()
	if err := m.Restore(roundTrip(t, b.m.Snapshot())); err != nil {
		t.Fatal(err)
	}
	if m.Hash() != b.m.Hash() || m.View().Guard("protected") == nil || len(m.View().Exceptions(b.now)) != 1 || len(m.View().Run("r").GetExcepted()) != 1 {
		t.Error("a snapshot loses guards, exceptions or what they let past")
	}
	old := roundTrip(t, b.m.Snapshot())
	old.Guards, old.GuardExceptions = nil, nil
	if err := New().Restore(old); err != nil {
		t.Error(err)
	}
	wrong := proto.CloneOf(old)
	wrong.Guards = map[string]*pb.Guard{"x": {Name: "y"}}
	if err := New().Restore(wrong); err == nil {
		t.Error("a guard of another name is taken")
	}
}

// TestExceptionHoldsForARunOnARestoredServerToo: a run that has gone on since it
// was let in is let past a new guard by its file's exception, whether the server
// has it from the log or from a snapshot.
func TestExceptionHoldsForARunOnARestoredServerToo(t *testing.T) {
	b := newBench(t)
	b.must(hosts("s1", 1, "a"), fromFile(gated("r", planOf(0, "a")), "drill"), prepare("r"), except("drill", b.now+60e9))
	restored := &bench{t: t, m: New(), index: b.index, now: b.now}
	if err := restored.m.Restore(roundTrip(t, b.m.Snapshot())); err != nil {
		t.Fatal(err)
	}
	for name, m := range map[string]*bench{"by its log": b, "restored": restored} {
		if o := m.apply(setGuard(protects("host=a"), false)); o.GetRefused() != nil {
			t.Errorf("%s: %v", name, o.GetRefused())
		}
	}
	if b.m.Hash() != restored.m.Hash() {
		t.Error("the two servers differ")
	}
}
