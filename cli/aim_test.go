package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"squall/experiments/catalog"
	pb "squall/proto/squall/v1"
)

func TestAimingAtTheLeaderExchangesZones(t *testing.T) {
	roles := func(dark, lit1, lit2 string) map[string]*pb.ZoneRole {
		return map[string]*pb.ZoneRole{"dark": {Zone: []string{dark}}, "lit": {Zone: []string{lit1, lit2}}}
	}
	file := roles("zone-a", "zone-b", "zone-c")
	if diff := cmp.Diff(roles("zone-c", "zone-b", "zone-a"), exchange(file, "dark", "zone-c"), protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	same := map[string]*pb.ZoneRole{"dark": {Zone: []string{"zone-a"}}}
	if diff := cmp.Diff(same, exchange(file, "dark", "zone-a"), protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
}

func TestAimingAtTheLeaderKeepsTheOtherAims(t *testing.T) {
	c := &client{timeout: time.Second, servers: []server{serverWith(t, &actor{})}} // its leader is in zone-a
	zones := func(names ...string) *pb.ZoneRole { return &pb.ZoneRole{Zone: names} }
	file := map[string]*pb.ZoneRole{"dark": zones("zone-b"), "lit": zones("zone-a", "zone-c")}
	for name, test := range map[string]struct{ aim, want map[string]*pb.ZoneRole }{
		"the leader alone": {
			map[string]*pb.ZoneRole{"dark": zones(leaderZone)},
			map[string]*pb.ZoneRole{"dark": zones("zone-a"), "lit": zones("zone-b", "zone-c")},
		},
		"and another role": {
			map[string]*pb.ZoneRole{"dark": zones(leaderZone), "lit": zones("zone-d")},
			map[string]*pb.ZoneRole{"dark": zones("zone-a"), "lit": zones("zone-d")},
		},
		"not the leader": {
			map[string]*pb.ZoneRole{"dark": zones("zone-c")},
			map[string]*pb.ZoneRole{"dark": zones("zone-c")},
		},
	} {
		t.Run(name, func(t *testing.T) {
			req := &pb.RunRequest{Experiment: &pb.Experiment{Zones: file}, Aim: test.aim}
			if err := aimAtLeader(t.Context(), c, req); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, req.GetAim(), protocmp.Transform()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestOnlyOwnZoneLossIsAboutTheLeader(t *testing.T) {
	for _, name := range catalog.List() {
		e, _, err := catalog.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := ownZone(e); (got != "") != (name == "own-zone-loss") {
			t.Errorf("%s aims servers of %q", name, got)
		}
	}
}
