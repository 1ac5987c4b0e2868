package lab

import (
	"context"
	"errors"

	"squall/agent/host"
	"squall/proto/probe"
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
	switch {
	case err != nil:
		return err
	case !runs:
		return errors.New("none of its processes runs")
	case w.GetReady() == nil:
		return nil
	}
	if r := probe.Probe(ctx, w.GetReady()); !r.OK {
		return errors.New(r.Err)
	}
	return nil
}
