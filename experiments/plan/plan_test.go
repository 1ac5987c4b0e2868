package plan_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"squall/experiments"
	"squall/experiments/plan"
	pb "squall/proto/squall/v1"
)

// fleet reads the hosts of a fleet file.
func fleet(t *testing.T, file string) []*pb.Host {
	t.Helper()
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	f, problems := experiments.DecodeFleet(file, src)
	if problems != nil {
		t.Fatal(problems)
	}
	return f.GetHosts()
}

func TestTheSameSeedGivesTheSamePlan(t *testing.T) {
	hosts := fleet(t, "testdata/fleet.yaml")
	for _, name := range []string{"derecho-2012", "seoul-dns-2018"} {
		t.Run(name, func(t *testing.T) {
			src, err := os.ReadFile(filepath.Join("../testdata/examples", name+".yaml"))
			if err != nil {
				t.Fatal(err)
			}
			e, at, problems := experiments.Decode(name+".yaml", src)
			if problems != nil {
				t.Fatal(problems)
			}
			p := plan.Make(e, at, plan.World{Hosts: hosts, Seed: 91})
			again := plan.Make(e, at, plan.World{Hosts: hosts, Seed: 91})
			if d := cmp.Diff(p, again, protocmp.Transform()); d != "" {
				t.Errorf("the same seed gives another plan:\n%s", d)
			}
		})
	}
}
