package fleet

import (
	"slices"
	"strings"
	"testing"
	"time"

	pb "squall/proto/squall/v1"
)

// TestDamageReachesTheRegistryAndItsConfirmationTheHost holds that what a host
// says of its journal is known to all, cut to what anybody reads, and that the
// confirmation comes with its order.
func TestDamageReachesTheRegistryAndItsConfirmationTheHost(t *testing.T) {
	inBubble(t, func(r *rig) {
		a := r.join("a", func(h *pb.Hello) {
			h.Damage = &pb.Damage{Id: "d1", What: slices.Repeat([]string{strings.Repeat("x", 4096)}, 50), SinceUnixNanos: 7}
		})
		d := r.host("a").GetDamage()
		if d.GetId() != "d1" || d.GetSinceUnixNanos() != 7 || len(d.GetWhat()) > maxDamage || len(d.GetWhat()[0]) > maxLine+8 {
			t.Fatalf("the registry knows %d lines: %v", len(d.GetWhat()), d.GetId())
		}
		r.must(&pb.Command{Kind: &pb.Command_ConfirmDamage{ConfirmDamage: &pb.ConfirmDamage{Host: "a", Id: "d1"}}})
		time.Sleep(time.Second)
		if got := heard(a, orders); len(got) == 0 || got[len(got)-1].GetConfirmedDamage() != "d1" {
			t.Errorf("it is ordered: %v", got)
		}
		a.say(&pb.SessionRequest{Kind: &pb.SessionRequest_Damage{Damage: &pb.Damage{Confirmed: true}}})
		if d := r.host("a").GetDamage(); d != nil {
			t.Errorf("it took that up, and the registry knows %v", d)
		}
	})
}

// TestDamageIsToldAgainUntilTheRegistryKnows holds that a lost command costs
// nothing.
func TestDamageIsToldAgainUntilTheRegistryKnows(t *testing.T) {
	inBubble(t, func(r *rig) {
		a := r.join("a", func(h *pb.Hello) { h.Damage = &pb.Damage{Id: "d1"} })
		r.must(update(&pb.HostUpdate{ // an older word that came late
			Name: "a", Host: &pb.Host{Name: "a", Zone: "zone-a"}, Server: r.host("a").GetServer(),
			Session: r.host("a").GetSession(), Instance: "a",
		}))
		for range 5 {
			time.Sleep(time.Second)
			a.ping(nil)
		}
		if r.host("a").GetDamage().GetId() != "d1" {
			t.Error("the registry takes the host for sound")
		}
	})
}
