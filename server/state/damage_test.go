package state

import (
	"strings"
	"testing"

	pb "squall/proto/squall/v1"
)

// says is a word of a host, in its session, about its journal.
func says(session uint64, host string, damage *pb.Damage) *pb.Command {
	c := hosts("s1", session, host)
	c.GetUpdateHosts().Hosts[0].Damage = damage
	return c
}

func confirmDamage(host, id string) *pb.Command {
	return &pb.Command{
		Kind: &pb.Command_ConfirmDamage{ConfirmDamage: &pb.ConfirmDamage{Host: host, Id: id}},
		By:   &pb.Principal{Name: "ada", Role: pb.Role_ROLE_USER},
	}
}

// TestDamagedHostIsBarredUntilItKnowsThatSomebodyConfirmed holds the whole way:
// told, refused with what to do, confirmed by its id on the record, ordered, and
// let go of when the host has said so.
func TestDamagedHostIsBarredUntilItKnowsThatSomebodyConfirmed(t *testing.T) {
	b := newBench(t)
	d := &pb.Damage{Id: "d1", What: []string{"journal.a: neither header can be read"}, SinceUnixNanos: 7}
	b.must(says(1, "a", d))
	if p := b.refused(admit("r", planOf(0, "a")), pb.Refusal_REFUSAL_HOST); !strings.Contains(p.GetFix(), "squall confirm damage a") {
		t.Errorf("says %v", p)
	}
	b.must(admit("elsewhere", planOf(0, "d")))
	b.refused(confirmDamage("a", "d0"), pb.Refusal_REFUSAL_INVALID)
	b.refused(confirmDamage("d", "d1"), pb.Refusal_REFUSAL_INVALID)
	b.refused(confirmDamage("nobody", "d1"), pb.Refusal_REFUSAL_UNKNOWN)
	mark := b.m.View().Mark("a").GetIndex()
	b.must(confirmDamage("a", "d1"))
	last := b.m.View().Audit()[len(b.m.View().Audit())-1]
	if last.GetAct() != "confirm damage" || last.GetObject() != "a" || last.GetBy().GetName() != "ada" || last.GetResult() != "done" {
		t.Errorf("the record says %v", last)
	}
	if o := b.m.View().Order("a"); o.GetConfirmedDamage() != "d1" || o.GetIndex() == mark {
		t.Errorf("the order says %v", o)
	}
	b.must(says(2, "a", d)) // it comes back and has not heard of it yet
	if o := b.m.View().Order("a"); o.GetConfirmedDamage() != "d1" {
		t.Errorf("a new session lost the confirmation: %v", o)
	}
	b.refused(admit("r", planOf(0, "a")), pb.Refusal_REFUSAL_HOST)
	b.must(says(2, "a", nil), admit("r", planOf(0, "a")))
	if o := b.m.View().Order("a"); o.GetConfirmedDamage() != "" {
		t.Errorf("the order goes on saying %v", o)
	}
	b.must(says(3, "a", &pb.Damage{Id: "d2"}))
	b.refused(admit("again", planOf(0, "a")), pb.Refusal_REFUSAL_HOST)
}

func TestDamageOutlivesTheLossOfItsHostAndASnapshot(t *testing.T) {
	b := newBench(t)
	b.must(says(1, "a", &pb.Damage{Id: "d1"}),
		&pb.Command{Kind: &pb.Command_UpdateHosts{UpdateHosts: &pb.UpdateHosts{Hosts: []*pb.HostUpdate{{Name: "a", Session: 1}}}}})
	if b.m.View().Host("a").GetDamage().GetId() != "d1" {
		t.Error("a lost host is taken for a sound one")
	}
}

// TestDamageWithoutAnIdIsDamage: a host that leaves it out is not taken to be sound.
func TestDamageWithoutAnIdIsDamage(t *testing.T) {
	b := newBench(t)
	b.must(says(1, "a", &pb.Damage{What: []string{"journal.a: neither header can be read"}}))
	b.refused(admit("r", planOf(0, "a")), pb.Refusal_REFUSAL_HOST)
	b.must(says(1, "a", nil), admit("r", planOf(0, "a")))
}
