package plan_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	"squall/experiments"
	"squall/experiments/fault"
	"squall/experiments/fault/faulttest"
	"squall/experiments/plan"
	pb "squall/proto/squall/v1"
)

// TestPlanNarrowsEveryFaultOrRefuses: a target that selects less than whole
// hosts is never planned as the whole host, for no kind of fault.
func TestPlanNarrowsEveryFaultOrRefuses(t *testing.T) {
	parts := (&pb.Target{}).ProtoReflect().Descriptor().Fields()
	for _, kind := range experiments.FaultNames() {
		for i := range parts.Len() {
			part := parts.Get(i)
			if _, ok := fault.ByName(kind).Narrows[string(part.Name())]; !ok {
				continue // it selects whole hosts
			}
			target := &pb.Target{Host: []string{"db-a3"}}
			target.ProtoReflect().Mutable(part).List().Append(protoreflect.ValueOfString("db"))
			p := plan.Make(experiments.AdHoc(faulttest.Example(t, kind), nil, target, 5e9), experiments.Source{}, plan.World{Hosts: region(), Seed: 1})
			if why := fault.ByName(kind).Narrows[string(part.Name())]; why != fault.Narrowed {
				refusedToNarrow(t, p, kind+" can't be narrowed to a "+string(part.Name()))
				continue
			}
			if len(p.GetProblems()) > 0 {
				t.Errorf("%s by %s: %v", kind, part.Name(), experiments.Problems(p.GetProblems()))
			}
			for _, c := range p.GetClaims() {
				if !c.GetShared() && !strings.HasSuffix(c.GetResource(), "/db") {
					t.Errorf("%s by %s takes %s alone", kind, part.Name(), c.GetResource())
				}
			}
		}
	}
}

func refusedToNarrow(t *testing.T, p *pb.Plan, message string) {
	t.Helper()
	for _, problem := range p.GetProblems() {
		if problem.GetRefusal() == pb.Refusal_REFUSAL_UNSUPPORTED && strings.HasPrefix(problem.GetMessage(), message) && problem.GetFix() != "" {
			return
		}
	}
	t.Errorf("no %q in %v", message, experiments.Problems(p.GetProblems()))
}

// TestPlanHoldsMessagesToTheRulesOfFiles: what came without a file is refused
// for what no file could say.
func TestPlanHoldsMessagesToTheRulesOfFiles(t *testing.T) {
	f, _ := experiments.NewFault("net.delay")
	e := experiments.AdHoc(f, nil, &pb.Target{Host: []string{"db-a3"}}, 5e9)
	p := plan.Make(e, experiments.Source{}, plan.World{Hosts: region(), Seed: 1})
	if len(p.GetProblems()) != 1 || !strings.Contains(p.GetProblems()[0].GetMessage(), `"delay" is missing`) ||
		p.GetProblems()[0].GetRefusal() != pb.Refusal_REFUSAL_INVALID {
		t.Errorf("problems %v", experiments.Problems(p.GetProblems()))
	}
}
