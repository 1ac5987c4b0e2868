package plan_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"squall/experiments/plan"
	"squall/experiments/schedule"
	pb "squall/proto/squall/v1"
)

// BenchmarkGuards is one judgement of a plan of a day on three hosts by as many
// guardrails as are kept, each as large as one may be: those that say nothing of
// it, and those of hours that never come. A leader judges each run each second.
func BenchmarkGuards(b *testing.B) {
	offsets, err := schedule.Offsets("Europe/Paris", time.Unix(0, t0))
	if err != nil {
		b.Fatal(err)
	}
	closed := func(i int) *pb.Guard {
		hours := make([]string, schedule.MaxClosed)
		for n := range hours {
			hours[n] = fmt.Sprintf("2001-02-%02d 09:00-17:00", 1+(i+n)%28)
		}
		return &pb.Guard{Rule: &pb.Guard_Closed{Closed: &pb.GuardClosed{Hours: hours, Timezone: "Europe/Paris", Offsets: offsets}}}
	}
	silent := func(int) *pb.Guard {
		return &pb.Guard{Environments: slices.Repeat([]string{strings.Repeat("n", 128)}, 32), Rule: &pb.Guard_MaxZones{MaxZones: 1}}
	}
	p := &pb.Plan{Digest: "d", LengthNanos: int64(24 * time.Hour), Steps: []*pb.PlannedStep{{Id: "s"}}}
	for _, host := range []string{"web-a1", "web-b1", "web-c1"} {
		p.Steps[0].Slots = append(p.Steps[0].Slots, &pb.HostSlot{Host: host, EndNanos: p.LengthNanos, DeadlineNanos: p.LengthNanos})
	}
	for name, guard := range map[string]func(int) *pb.Guard{"silent": silent, "hours": closed} {
		b.Run(name, func(b *testing.B) {
			w := plan.World{Hosts: region(), Registry: plan.NewRegistry(region()), NowUnixNanos: t0}
			for i := range 64 {
				g := guard(i)
				g.Name = fmt.Sprint("g", i)
				w.Guards = append(w.Guards, g)
			}
			for b.Loop() {
				for _, o := range plan.Opinions(p, w) {
					if o.GetStanding() == pb.GuardStanding_GUARD_STANDING_BROKEN {
						b.Fatal(o)
					}
				}
			}
		})
	}
}
