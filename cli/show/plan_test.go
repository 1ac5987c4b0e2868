package show_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"squall/cli/show"
	"squall/experiments"
	"squall/experiments/plan"
	pb "squall/proto/squall/v1"
)

var update = flag.Bool("update", false, "write golden files")

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

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s differs (-want +got); run with -update if that is meant:\n%s", file, d)
	}
}

func TestPlansReadAsTheyDid(t *testing.T) {
	hosts := fleet(t, "../../experiments/plan/testdata/fleet.yaml")
	for _, name := range []string{"derecho-2012", "seoul-dns-2018"} {
		t.Run(name, func(t *testing.T) {
			src, err := os.ReadFile(filepath.Join("../../experiments/testdata/examples", name+".yaml"))
			if err != nil {
				t.Fatal(err)
			}
			e, at, problems := experiments.Decode(name+".yaml", src)
			if problems != nil {
				t.Fatal(problems)
			}
			p := plan.Make(e, at, plan.World{Hosts: hosts, Seed: 91})
			golden(t, filepath.Join("testdata", name+".golden"), show.Plan(p, e))
		})
	}
}
