package main

import (
	"testing"

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
