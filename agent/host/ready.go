package host

import (
	"context"
	"errors"

	"squall/proto/probe"
	pb "squall/proto/squall/v1"
)

// ErrNotRunning says that none of a workload's processes runs.
var ErrNotRunning = errors.New("none of its processes runs")

// Ready returns nil when a workload's processes run and its `ready`, if it has
// one, succeeds: one attempt, bounded by its timeout.
func (w *Workloads) Ready(ctx context.Context, workload *pb.Workload) error {
	runs, err := w.Runs(ctx, workload)
	switch {
	case err != nil:
		return err
	case !runs:
		return ErrNotRunning
	case workload.GetReady() == nil:
		return nil
	}
	var r probe.Reading
	if e := workload.GetReady().GetExec(); e != nil {
		r = programOf(workload, e.GetArgv()).Reading(ctx, workload.GetReady())
	} else {
		r = probe.Probe(ctx, workload.GetReady())
	}
	if !r.OK {
		return errors.New(r.Err)
	}
	return nil
}

// Reading runs the program once, as an attempt of a probe: what it prints first
// is the value, if that is a number.
func (p Program) Reading(ctx context.Context, of *pb.Probe) probe.Reading {
	ctx, cancel := context.WithTimeout(ctx, probe.Timeout(of))
	defer cancel()
	return probe.Measure(func() (*float64, error) {
		out, err := p.Output(ctx)
		return probe.OutputValue(out), err
	})
}

// RunCommand runs the command of that name from the host's config, as an attempt
// of a probe. A name that the config doesn't have is a failed attempt.
func RunCommand(ctx context.Context, config *pb.HostConfig, of *pb.Probe) probe.Reading {
	argv := of.GetExec().GetArgv()
	if len(argv) == 1 {
		if c := config.GetCommands()[argv[0]]; c != nil {
			return Program{Argv: c.GetArgv(), User: c.GetUser()}.Reading(ctx, of)
		}
	}
	return probe.Measure(func() (*float64, error) {
		return nil, errors.New("the host's config has no command of that name")
	})
}
