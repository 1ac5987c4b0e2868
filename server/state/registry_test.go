package state

import (
	"testing"

	pb "squall/proto/squall/v1"
)

func TestLateLossDoesNotHideANewerSession(t *testing.T) {
	b := newBench(t)
	b.must(hosts("s1", 1, "a"), hosts("s2", 2, "a"), lost(1, "a"))
	if h := b.m.View().Host("a"); h.GetServer() != "s2" || h.GetHost().GetPresence() != pb.Presence_PRESENCE_CONNECTED {
		t.Errorf("the host is %v", h)
	}
	b.must(hosts("s1", 1, "a"))
	if h := b.m.View().Host("a"); h.GetServer() != "s2" {
		t.Errorf("a late greeting moved the host to %s", h.GetServer())
	}
	b.must(lost(2, "a"))
	if h := b.m.View().Host("a"); h.GetServer() != "" || h.GetHost().GetPresence() != pb.Presence_PRESENCE_LOST || h.GetHost().GetZone() == "" {
		t.Errorf("the lost host is %v", h)
	}
}

func TestLossOfAnUnknownHostIsNothing(t *testing.T) {
	b := newBench(t)
	b.must(lost(9, "ghost"))
	if b.m.View().Host("ghost") != nil {
		t.Error("a host came to be by its loss")
	}
}

func TestRunHearsOfItsLostHosts(t *testing.T) {
	b := holding(t)
	b.must(lost(1, "a"), lost(1, "a"), hosts("s2", 2, "a"))
	var said []string
	for _, e := range b.m.View().Events("r", 0) {
		if e.GetKind() == pb.EventKind_EVENT_KIND_HOST {
			said = append(said, e.GetText())
		}
	}
	if len(said) != 2 || said[0] != "a is lost" || said[1] != "a is connected" {
		t.Errorf("the run heard %q", said)
	}
}

func TestHostKeepsItsDescription(t *testing.T) {
	b := newBench(t)
	b.must(hosts("s1", 1, "a"))
	b.must(&pb.Command{Kind: &pb.Command_UpdateHosts{UpdateHosts: &pb.UpdateHosts{
		Hosts: []*pb.HostUpdate{{Name: "a", Server: "s2", Session: 2, RoundTripNanos: 7}},
	}}})
	if h := b.m.View().Host("a"); h.GetHost().GetZone() != "zone-a" || h.GetRoundTripNanos() != 7 {
		t.Errorf("the host is %v", h)
	}
}
