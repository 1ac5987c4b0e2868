package plan_test

import (
	"math"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"squall/experiments/plan"
	pb "squall/proto/squall/v1"
)

func TestAdmissionHoldsThePlansNumbersToBounds(t *testing.T) {
	good, _ := planned(t, with("", "zone: zone-a", dark), plan.World{})
	if p := plan.Bounded(good); p != nil {
		t.Fatal(p)
	}
	for name, spoil := range map[string]func(*pb.Plan){
		"a lease of twenty years":       func(p *pb.Plan) { p.LeaseNanos = int64(20 * 365 * 24 * time.Hour) },
		"no lease":                      func(p *pb.Plan) { p.LeaseNanos = 0 },
		"a run of ten years":            func(p *pb.Plan) { p.LengthNanos = int64(10 * 365 * 24 * time.Hour) },
		"an end that overflows":         func(p *pb.Plan) { p.Steps[0].Slots[0].EndNanos = math.MaxInt64 },
		"a deadline that overflows":     func(p *pb.Plan) { p.Steps[0].Slots[0].DeadlineNanos = math.MaxInt64 },
		"a last deadline out of reach":  func(p *pb.Plan) { p.DeadlineNanos = math.MaxInt64 },
		"a deadline before the end":     func(p *pb.Plan) { p.Steps[0].Slots[0].DeadlineNanos = 0 },
		"a start before T0":             func(p *pb.Plan) { p.Steps[0].Slots[0].StartNanos = -1 },
		"a boot limit that overflows":   func(p *pb.Plan) { p.Steps[0].BootLimitNanos = math.MaxInt64 },
		"a claim that lasts for ever":   func(p *pb.Plan) { p.Claims[0].EndNanos = math.MaxInt64 },
		"more than the log may take":    func(p *pb.Plan) { p.Defaults = []string{string(make([]byte, 25<<20))} },
		"an end before the start":       func(p *pb.Plan) { p.Steps[0].Slots[0].StartNanos = p.Steps[0].Slots[0].GetEndNanos() + 1 },
		"a deadline after the last one": func(p *pb.Plan) { p.Steps[0].Slots[0].DeadlineNanos = p.GetDeadlineNanos() + 1 },
	} {
		p := proto.CloneOf(good)
		spoil(p)
		if plan.Bounded(p) == nil {
			t.Errorf("%s is let in", name)
		}
	}
}
