package lab

import (
	"context"
	"errors"

	"squall/agent/host"
	pb "squall/proto/squall/v1"
)

// awaitReady returns when a workload's ready probe succeeds, or, without one,
// when its processes run.
func awaitReady(ctx context.Context, starter *host.Workloads, w *pb.Workload) error {
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	for {
		err := checkReady(ctx, starter, w)
		if err == nil {
			return nil
		}
		if pause(ctx) != nil {
			return notReady(w, err)
		}
	}
}

func checkReady(ctx context.Context, starter *host.Workloads, w *pb.Workload) error {
	runs, err := starter.Runs(ctx, w)
	if err == nil && !runs {
		err = errors.New("none of its processes runs")
	}
	return err
}
