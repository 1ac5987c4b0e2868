package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"squall/cli/lab"
	"squall/experiments"
	"squall/experiments/catalog"
	"squall/experiments/plan"
	pb "squall/proto/squall/v1"
)

const (
	shopFleet = "../experiments/catalog/testdata/lab.yaml"
	zonesFile = "../experiments/plan/testdata/fleet.yaml"
	derecho   = "../experiments/testdata/examples/derecho-2012.yaml"
)

func TestPlanOfflineSaysWhatWouldHappen(t *testing.T) {
	code, out, progress := squall(t, "", "plan", "zone-loss", "--fleet", shopFleet)
	if code != 0 || !strings.Contains(out, "power.off silent") || !strings.Contains(out, "checks     ok") {
		t.Errorf("exits with %d: %s%s", code, out, progress)
	}
}

func TestPlanExitCodes(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"this build lacks a fault", []string{derecho, "--fleet", zonesFile}, 4, "this build has no fault load.flood"},
		{"a zone that does not exist", []string{"zone-loss", "--fleet", shopFleet, "--aim", "dark=zone-x"}, 2, `aimed at "zone-x", and there is no such zone`},
		{"a role that does not exist", []string{"zone-loss", "--fleet", shopFleet, "--aim", "drak=zone-b"}, 2, `did you mean "dark"?`},
		{"the leader of a file of hosts", []string{"zone-loss", "--fleet", shopFleet, "--aim", "dark=leader"}, 2, "a fleet file has no leader"},
		{"no such file or scenario", []string{"zone-los", "--fleet", shopFleet}, 2, "nor such a scenario"},
		{"no such fleet", []string{"zone-loss", "--fleet", "nowhere.yaml"}, 2, "read fleet"},
		{"a guardrail", []string{"zone-loss", "--fleet", shopFleet, "--aim", "dark=zone-a,zone-b"}, 4, "guardrail max_zones"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, out, progress := squall(t, "", append([]string{"plan"}, c.args...)...)
			if code != c.code || !strings.Contains(out+progress, c.says) {
				t.Errorf("exits with %d, want %d with %q:\n%s%s", code, c.code, c.says, out, progress)
			}
		})
	}
}

func TestSavedPlanIsTheRequestThatRunsIt(t *testing.T) {
	file := filepath.Join(t.TempDir(), "plan.json")
	if code, _, progress := squall(t, "", "plan", "boot-storm", "--fleet", shopFleet, "--out", file); code != 0 {
		t.Fatalf("exits with %d: %s", code, progress)
	}
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	req, ok := savedPlan(src)
	if !ok {
		t.Fatalf("not a saved plan: %s", src)
	}
	hosts, err := readFleet(shopFleet)
	if err != nil {
		t.Fatal(err)
	}
	again := plan.Make(req.GetExperiment(), experiments.Source{}, plan.World{Hosts: hosts, Aim: req.GetAim(), Seed: 7})
	if again.GetDigest() != req.GetDigest() {
		t.Error("planned again on the same fleet, the digest is another")
	}
	gone := plan.Make(req.GetExperiment(), experiments.Source{}, plan.World{Hosts: hosts[1:], Aim: req.GetAim()})
	changed := plan.Make(req.GetExperiment(), experiments.Source{}, plan.World{Hosts: hosts[:5], Aim: req.GetAim()})
	if gone.GetDigest() != req.GetDigest() || changed.GetDigest() == req.GetDigest() {
		t.Error("the digest is not over the hosts that take part, or over others too")
	}
}

func TestScenariosPlanInTheirLab(t *testing.T) {
	for _, name := range catalog.List() {
		t.Run(name, func(t *testing.T) {
			e, src, err := catalog.Load(name)
			if err != nil {
				t.Fatal(err)
			}
			labName := lab.Default
			if strings.HasSuffix(name, "-etcd") {
				labName = "etcd"
			}
			file, err := lab.Load(labName)
			if err != nil {
				t.Fatal(err)
			}
			fleet, err := lab.Fleet(file)
			if err != nil {
				t.Fatal(err)
			}
			p := plan.Make(e, src, plan.World{Hosts: fleet.GetHosts(), Seed: 1})
			for _, problem := range p.GetProblems() {
				t.Error(experiments.FormatProblem(problem))
			}
		})
	}
}

// TestExamplesKeepTheirOwnGuardrails: whatever this build lacks, a fleet that
// fits an example does not break the limits that stand in it. Scenarios of the
// catalog have no problem at all in their own labs.
func TestExamplesKeepTheirOwnGuardrails(t *testing.T) {
	files := map[string]string{}
	for pattern, fleet := range map[string]string{
		"../experiments/testdata/examples/*.yaml": zonesFile, "templates/*.yaml": shopFleet,
	} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) < 2 {
			t.Fatalf("%s has %v, %v", pattern, found, err)
		}
		for _, file := range found {
			files[file] = fleet
		}
	}
	for file, fleet := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			e, at, problems := experiments.Decode(file, []byte(strings.Replace(string(src), "name: NAME", "name: it", 1)))
			if problems != nil {
				t.Fatal(problems)
			}
			hosts, err := readFleet(fleet)
			if err != nil {
				t.Fatal(err)
			}
			p := plan.Make(e, at, plan.World{Hosts: hosts, Seed: 1})
			for _, problem := range p.GetProblems() {
				if problem.GetRefusal() != pb.Refusal_REFUSAL_UNSUPPORTED {
					t.Error(experiments.FormatProblem(problem))
				}
			}
			for _, h := range p.GetHeadroom() {
				if h.GetExceeded() {
					t.Errorf("guardrail %s: %s", h.GetGuardrail(), h.GetUsed())
				}
			}
		})
	}
}

func TestCatalogShowsWhatItLists(t *testing.T) {
	_, out, _ := squall(t, "", "catalog", "-o", "name")
	for _, name := range strings.Fields(out) {
		if code, text, _ := squall(t, "", "catalog", "show", name); code != 0 || !strings.Contains(text, "name: "+name+"\n") {
			t.Errorf("show %s exits with %d", name, code)
		}
	}
	if code, _, progress := squall(t, "", "catalog", "show", "nothing"); code != 2 || !strings.Contains(progress, "zone-loss") {
		t.Errorf("exits with %d: %s", code, progress)
	}
}
