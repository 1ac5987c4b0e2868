package state

import (
	"fmt"
	"testing"

	pb "squall/proto/squall/v1"
)

// left is what a host is remembered to have left of a run.
func (b *bench) left(host, run string) []string {
	for _, o := range b.m.View().Host(host).GetOpen() {
		if o.GetRun() == run {
			return append([]string{"open"}, o.GetResidue()...)
		}
	}
	return nil
}

func withResidue(run, host string, seq uint64, residue ...string) *pb.StepStatus {
	st := status(run, host, pb.StepState_STEP_STATE_REVERTED)
	st.Residue, st.Journal = residue, []*pb.JournalMark{{Seq: seq, State: st.GetState()}}
	return st
}

func TestResidueOutlivesItsRunAndEndsWithACleanReport(t *testing.T) {
	b := holding(t)
	b.must(steps(withResidue("r", "a", 1, "web still runs"), withResidue("r", "b", 1)))
	b.must(endRun("r", pb.EndCause_END_CAUSE_UNDO), recovers("r"), finish("r"))
	if got := b.m.View().Order("a").GetConfirmed(); len(got) != 0 {
		t.Errorf("the host may forget what it has not shown clean: %v", got)
	}
	b.now = t0 + 30e9 // past every deadline
	b.plays("fired later", "d")
	for i := range mostDone + 5 {
		run := fmt.Sprint("later-", i)
		b.must(admit(run, planOf(0, "d")), endRun(run, pb.EndCause_END_CAUSE_UNDO), finish(run))
	}
	if b.m.View().Run("r") != nil {
		t.Fatal("the run is still kept")
	}
	if got := fmt.Sprint(b.left("a", "r"), b.left("b", "r"), b.left("c", "r")); got != "[open web still runs] [] [open]" {
		t.Errorf("a has residue, b is clean, c was not heard from: %s", got)
	}
	for _, k := range b.m.View().Order("a").GetConfirmed() {
		if k.GetRun() == "r" {
			t.Error("the host may forget what it has not shown clean")
		}
	}
	b.must(steps(withResidue("r", "a", 2), withResidue("r", "c", 2)))
	if b.left("a", "r") != nil || b.left("c", "r") != nil {
		t.Errorf("after clean reports: %v, %v", b.left("a", "r"), b.left("c", "r"))
	}
	if n := len(b.m.View().Order("a").GetConfirmed()); n != 1 {
		t.Errorf("%d ends are confirmed to a host that is clean", n)
	}
}

func TestResidueOfAStrayIsKept(t *testing.T) {
	b := newBench(t)
	b.must(hosts("s1", 1, "a"), steps(withResidue("long ago", "a", 1, "a link")))
	if got := fmt.Sprint(b.left("a", "long ago")); got != "[open a link]" {
		t.Errorf("remembers %s", got)
	}
	if n := len(b.m.View().Order("a").GetConfirmed()); n != 0 {
		t.Error("the host may forget it")
	}
	b.must(steps(withResidue("long ago", "a", 2)))
	if b.left("a", "long ago") != nil || len(b.m.View().Order("a").GetConfirmed()) != 1 {
		t.Error("a clean report does not end it")
	}
}

func TestResidueOfOneHostIsBounded(t *testing.T) {
	b := newBench(t)
	b.must(hosts("s1", 1, "a"))
	for i := range maxOpen + 9 {
		b.must(steps(withResidue(fmt.Sprint(i), "a", 1, "a link")))
	}
	if n := len(b.m.View().Host("a").GetOpen()); n != maxOpen {
		t.Errorf("%d are remembered", n)
	}
}

func TestForgottenHostIsGone(t *testing.T) {
	b := holding(t)
	b.refused(forget("nobody"), pb.Refusal_REFUSAL_UNKNOWN)
	b.refused(forget("a"), pb.Refusal_REFUSAL_HOST)
	b.must(lost(1, "a"))
	b.refused(forget("a"), pb.Refusal_REFUSAL_CLAIM)
	b.must(steps(withResidue("r", "a", 1, "web still runs")), forget("a"))
	if b.m.View().Host("a") != nil || len(b.m.View().World().Hosts) != len(b.m.View().Hosts()) {
		t.Error("the host is still there")
	}
	if n := len(b.m.View().Audit()); b.m.View().Audit()[n-1].GetAct() != "forget" {
		t.Errorf("the last act is %v", b.m.View().Audit()[n-1])
	}
	b.must(steps(withResidue("r", "a", 2, "more"))) // a late word of a host that is not known
	b.must(hosts("s1", 9, "a"))
	if b.m.View().Host("a").GetServer() != "s1" {
		t.Error("it can't come back")
	}
}
