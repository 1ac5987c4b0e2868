package session

import (
	"context"
	"time"

	"squall/agent/host"
	"squall/agent/step"
	"squall/proto/probe"
	pb "squall/proto/squall/v1"
)

// Attempt makes one attempt of a probe, bounded by ctx.
type Attempt func(ctx context.Context, p *pb.Probe) probe.Reading

// plannedAttempt makes one attempt of a probe of a plan, bounded by ctx.
type plannedAttempt func(ctx context.Context, p *pb.PlannedProbe) probe.Reading

// attemptsOf makes the attempts of this host: it counts whether its own workloads
// run, and runs no commands but those of its config.
func attemptsOf(e *step.Engine, attempt Attempt, config *pb.HostConfig) plannedAttempt {
	if attempt == nil {
		attempt = probe.Probe
	}
	return func(ctx context.Context, p *pb.PlannedProbe) probe.Reading {
		switch {
		case p.GetProbe() == nil:
			return countAlive(ctx, e.Host(), p.GetWorkload())
		case p.GetProbe().GetExec() != nil:
			return host.RunCommand(ctx, config, p.GetProbe())
		}
		return attempt(ctx, p.GetProbe())
	}
}

// newMeasurer runs the probes of orders. A closed window goes to the outbox.
func newMeasurer(e *step.Engine, attempt plannedAttempt, config *pb.HostConfig, windows *outbox) *probe.Runner {
	return probe.NewRunner(probe.Options{
		Zone:    config.GetZone(),
		Now:     e.ClusterNow,
		Closed:  func(w *pb.Window) { windows.add(w) },
		Attempt: attempt,
	})
}

// countAlive reads whether the named workloads, or all, run.
func countAlive(ctx context.Context, h host.Host, workloads []string) probe.Reading {
	r := probe.Reading{Start: time.Now()}
	running, err := h.Running(ctx, workloads...)
	if err != nil {
		r.Err = err.Error()
		return r
	}
	r.Duration, r.OK = time.Since(r.Start), step.Alive(running, workloads)
	return r
}
