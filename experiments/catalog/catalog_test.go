package catalog_test

import (
	"os"
	"testing"
	"time"

	"squall/experiments"
	"squall/experiments/catalog"
	"squall/experiments/plan"
	pb "squall/proto/squall/v1"
)

// fleetOf is the lab in which a scenario runs, and how long it may take there.
var fleetOf = map[string]struct {
	file string
	most time.Duration
}{
	"zone-loss":      {"testdata/lab.yaml", 40 * time.Second},
	"own-zone-loss":  {"testdata/lab.yaml", time.Minute},
	"boot-storm":     {"testdata/lab.yaml", time.Minute},
	"dns-blackhole":  {"testdata/lab.yaml", time.Minute},
	"slow-zone-link": {"testdata/lab.yaml", time.Minute},
	"hung-store":     {"testdata/lab.yaml", time.Minute},
	"zone-loss-etcd": {"testdata/etcd.yaml", time.Minute},
	// Patroni's ttl is real time, and can't be less than 20 s.
	"zone-loss-patroni": {"testdata/patroni.yaml", 90 * time.Second},
}

func hosts(t *testing.T, file string) []*pb.Host {
	t.Helper()
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	fleet, problems := experiments.DecodeFleet(file, src)
	if problems != nil {
		t.Fatal(problems)
	}
	return fleet.GetHosts()
}

func TestScenariosPlanWithoutProblems(t *testing.T) {
	for _, name := range catalog.List() {
		t.Run(name, func(t *testing.T) {
			lab, ok := fleetOf[name]
			if !ok {
				t.Fatal("no lab is named for it")
			}
			e, src, err := catalog.Load(name)
			if err != nil {
				t.Fatal(err)
			}
			p := plan.Make(e, src, plan.World{Hosts: hosts(t, lab.file), Seed: 1})
			for _, problem := range p.GetProblems() {
				t.Error(experiments.FormatProblem(problem))
			}
			for _, warning := range p.GetWarnings() {
				t.Log(experiments.FormatProblem(warning))
			}
			if l := time.Duration(p.GetLengthNanos()); l > lab.most {
				t.Errorf("takes %v, at most %v", l, lab.most)
			}
			if e.GetName() != name {
				t.Errorf("is named %q", e.GetName())
			}
			if len(e.GetProof()) == 0 || len(e.GetExpect()) == 0 || len(e.GetAbort()) == 0 || len(e.GetRevert().GetVerify()) == 0 {
				t.Error("lacks a proof, an expectation, an abort rule or revert.verify")
			}
			if g := e.GetGuardrails().GetEnvironments(); len(g) != 1 || g[0] != "lab" {
				t.Errorf("may touch %v", g)
			}
		})
	}
}

func TestEveryFaultIsUsed(t *testing.T) {
	used := map[string]bool{}
	for _, name := range catalog.List() {
		e, _, err := catalog.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range e.GetTimeline() {
			for _, s := range p.GetFaults() {
				used[experiments.FaultName(s.GetFault())] = true
			}
		}
	}
	for _, fault := range experiments.FaultNames() {
		if !used[fault] {
			t.Errorf("no scenario uses %s", fault)
		}
	}
}

func TestOwnZoneLossAimsAtAServer(t *testing.T) {
	e, src, err := catalog.Load("own-zone-loss")
	if err != nil {
		t.Fatal(err)
	}
	p := plan.Make(e, src, plan.World{
		Hosts: hosts(t, "testdata/lab.yaml"),
		Aim:   map[string]*pb.ZoneRole{"dark": {Zone: []string{"zone-c"}}, "lit": {Zone: []string{"zone-a", "zone-b"}}},
	})
	for _, slot := range p.GetSteps()[0].GetSlots() {
		if slot.GetHost() == "server-c" {
			return
		}
	}
	t.Errorf("server-c is not among %v; problems %v", p.GetSteps()[0].GetSlots(), p.GetProblems())
}

func TestUnknownScenarioNamesThoseThereAre(t *testing.T) {
	if _, err := catalog.Source("zone-los"); err == nil {
		t.Error("found a scenario that there is not")
	}
}
