package state

import (
	"testing"

	pb "squall/proto/squall/v1"
)

// speaks is a session of an agent process of a host.
func speaks(server string, session uint64, host, instance string) *pb.Command {
	c := hosts(server, session, host)
	c.GetUpdateHosts().Hosts[0].Instance = instance
	return c
}

func TestTwoMachinesOfOneNameGetNothing(t *testing.T) {
	b := newBench(t)
	b.must(speaks("s1", 1, "a", "one"), speaks("s1", 2, "a", "restarted"), admit("r", planOf(0, "a")))
	if h := b.m.View().Host("a"); h.GetConflict() != nil {
		t.Fatalf("a restart is taken for a second machine: %v", h)
	}
	if n := len(b.m.View().Order("a").GetTasks()); n != 1 {
		t.Fatalf("%d tasks", n)
	}
	mark := b.m.View().Mark("a").GetIndex()
	b.must(speaks("s2", 3, "a", "other"), speaks("s1", 4, "a", "restarted"))
	if b.m.View().Host("a").GetConflict() == nil || len(b.m.View().Order("a").GetTasks()) != 0 || b.m.View().Mark("a").GetIndex() == mark {
		t.Errorf("both are given tasks: %v", b.m.View().Order("a"))
	}
	p := b.refused(admit("second", planOf(0, "a")), pb.Refusal_REFUSAL_HOST)
	if p.GetFix() == "" {
		t.Errorf("says %v", p)
	}
	b.must(admit("elsewhere", planOf(0, "d")))
}

func TestConflictEndsAMinuteAfterTheSecondMachineWasHeardOf(t *testing.T) {
	b := newBench(t)
	again := func(session uint64) *pb.Command { return speaks("s1", session, "a", "one") }
	b.must(again(1), speaks("s1", 2, "a", "two"), again(3))
	b.now += 50e9
	told := &pb.Command{Kind: &pb.Command_UpdateHosts{UpdateHosts: &pb.UpdateHosts{Hosts: []*pb.HostUpdate{
		{Name: "a", Session: 3, Conflict: &pb.HostConflict{Instance: "two", Server: "s2"}},
	}}}}
	b.must(told)
	b.now += 50e9
	b.must(again(3))
	if b.m.View().Host("a").GetConflict() == nil {
		t.Error("it was heard of fifty seconds ago, and the conflict is over")
	}
	b.now += 10e9
	b.must(again(3))
	if h := b.m.View().Host("a"); h.GetConflict() != nil || h.GetServer() != "s1" {
		t.Errorf("the conflict goes on: %v", h)
	}
	b.must(admit("r", planOf(0, "a")))
}
