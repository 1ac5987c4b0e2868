package agent

import (
	"time"

	pb "squall/proto/squall/v1"
)

const (
	held     = pb.StepState_STEP_STATE_HELD
	reverted = pb.StepState_STEP_STATE_REVERTED
)

func testConfig() *pb.HostConfig {
	return &pb.HostConfig{
		Name: "web-a1", Zone: "zone-a", AllowHold: true,
		Workloads: []*pb.Workload{{Name: "web", Start: []string{"web"}}},
	}
}

// idle is a supervisor that wants no processor.
type idle struct{}

func (idle) Processor() (wants bool, had time.Duration) { return false, 0 }
