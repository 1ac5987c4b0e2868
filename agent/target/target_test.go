package target_test

import (
	"context"
	"slices"
	"testing"

	"squall/agent/target"
	pb "squall/proto/squall/v1"
)

// asked is a system that counts what it is asked.
type asked struct{ units, cgroups, processes, ports int }

func (a *asked) Unit(context.Context, string) (string, error) {
	a.units++
	return "LoadState=loaded\nActiveState=active\nControlGroup=/system.slice/db.service\n", nil
}

func (a *asked) Cgroup(string) (uint64, bool, error) {
	a.cgroups++
	return 7, true, nil
}

func (a *asked) Processes(string) ([]target.Process, error) {
	a.processes++
	return []target.Process{{Pid: 11, Started: 22, Net: 1, Mount: 1}}, nil
}

func (a *asked) Ports([]int) []uint32 {
	a.ports++
	return []uint32{8080}
}
func (*asked) Own() (net, mount uint64) { return 1, 1 }

// TestPortsAreLookedForOnDemand holds that who asks for an object without its ports
// has all the rest of it, and that nobody reads descriptors for that.
func TestPortsAreLookedForOnDemand(t *testing.T) {
	a := &asked{}
	r, web := target.New(a, "base"), &pb.Workload{Name: "web"}
	o := r.Object(t.Context(), web, false)
	if a.ports != 0 || len(o.GetPorts()) > 0 {
		t.Errorf("ports were looked for: %v", o)
	}
	if o.GetCgroupId() != 7 || o.GetProcesses() != 1 || o.GetProcess()[0].GetStartTicks() != 22 || !o.GetRuns() {
		t.Errorf("the object lacks its identity: %v", o)
	}
	if o := r.Object(t.Context(), web, true); !slices.Equal(o.GetPorts(), []uint32{8080}) {
		t.Errorf("with its ports it is %v", o)
	}
}

// TestPlacesAskForNoMoreThanTheyTell holds that only units are looked at.
func TestPlacesAskForNoMoreThanTheyTell(t *testing.T) {
	a := &asked{}
	r := target.New(a, "base")
	got, err := r.Places(t.Context(), []*pb.Workload{{Name: "web"}, {Name: "box", Cgroup: "/a/box"}})
	if want := []string{"base/squall.workloads/web", "a/box"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("places %v, %v, want %v", got, err, want)
	}
	if *a != (asked{}) {
		t.Errorf("for what is known: %+v", *a)
	}
	got, err = r.Places(t.Context(), []*pb.Workload{{Name: "db", Unit: "db.service"}})
	if want := []string{"system.slice/db.service"}; err != nil || !slices.Equal(got, want) || a.units != 1 || a.processes != 0 {
		t.Errorf("places %v, %v, want %v, by %+v", got, err, want, *a)
	}
}
