package report

import (
	"squall/experiments/plan"
	pb "squall/proto/squall/v1"
	"squall/server/page"
	"squall/server/state"
)

// ListGuards is a page of the guardrails of the cluster, by name, without what
// the clocks of their zones show.
func ListGuards(v *state.View, req *pb.ListGuardsRequest) (*pb.ListGuardsResponse, error) {
	list := page.List[*pb.Guard]{Name: "guards", Key: (*pb.Guard).GetName}
	for _, g := range v.Guards() {
		list.Entries = append(list.Entries, bareGuard(g))
	}
	guards, next, err := list.Cut(req)
	res := &pb.ListGuardsResponse{Guards: guards, NextPageToken: next}
	for _, g := range guards {
		res.Rules = append(res.Rules, plan.GuardRule(g))
	}
	return res, err
}

func bareGuard(g *pb.Guard) *pb.Guard {
	c := g.GetClosed()
	if c == nil {
		return g
	}
	return &pb.Guard{
		Name: g.GetName(), Environments: g.GetEnvironments(), By: g.GetBy(), SetUnixNanos: g.GetSetUnixNanos(), Version: g.GetVersion(),
		Rule: &pb.Guard_Closed{Closed: &pb.GuardClosed{Hours: c.GetHours(), Timezone: c.GetTimezone()}},
	}
}

// ListGuardExceptions is a page of the exceptions that hold at an instant in Unix
// nanoseconds, by digest.
func ListGuardExceptions(v *state.View, now int64, req *pb.ListGuardExceptionsRequest) (*pb.ListGuardExceptionsResponse, error) {
	list := page.List[*pb.GuardException]{Name: "guard exceptions", Key: (*pb.GuardException).GetDigest, Entries: v.Exceptions(now)}
	exceptions, next, err := list.Cut(req)
	return &pb.ListGuardExceptionsResponse{Exceptions: exceptions, NextPageToken: next}, err
}
