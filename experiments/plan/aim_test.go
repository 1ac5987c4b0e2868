package plan_test

import (
	"slices"
	"strings"
	"testing"

	"squall/experiments"
	"squall/experiments/plan"
	pb "squall/proto/squall/v1"
)

// TestAimIsHeldToTheRulesOfFiles: what a role is aimed at comes without a file. A
// role of no zones would select every host of the region.
func TestAimIsHeldToTheRulesOfFiles(t *testing.T) {
	text := strings.Replace(with("", "zone: hit, role: web", dark), "timeline", "zones: { hit: zone-a }\ntimeline", 1)
	e, at, problems := experiments.Decode("aim.yaml", []byte(text))
	if problems != nil {
		t.Fatal(problems)
	}
	hosts := fleet(t, "testdata/fleet.yaml")
	for name, c := range map[string]struct {
		aim  *pb.ZoneRole
		says string
	}{
		"none":              {&pb.ZoneRole{Zone: []string{"zone-b"}}, ""},
		"no zones":          {&pb.ZoneRole{}, `"zone" is missing from "zones.hit"`},
		"nothing":           {nil, `"zone" is missing from "zones.hit"`},
		"a zone twice":      {&pb.ZoneRole{Zone: []string{"zone-b", "zone-b"}}, "stands twice"},
		"no name of a zone": {&pb.ZoneRole{Zone: []string{"Zone B"}}, "can't be the name of a zone"},
	} {
		t.Run(name, func(t *testing.T) {
			p := plan.Make(e, at, plan.World{Hosts: hosts, Seed: 1, Aim: map[string]*pb.ZoneRole{"hit": c.aim}})
			says := func(p *pb.Problem) bool { return strings.Contains(p.GetMessage(), c.says) }
			switch {
			case c.says == "" && len(p.GetProblems()) > 0:
				t.Errorf("refused: %v", p.GetProblems())
			case c.says != "" && !slices.ContainsFunc(p.GetProblems(), says):
				t.Errorf("no %q in %v; slots %v", c.says, p.GetProblems(), p.GetSteps())
			}
		})
	}
}
