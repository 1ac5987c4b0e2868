// Package plan resolves an experiment against a registry: who, what and when
// in real time, with every choice made.
//
// It is pure and deterministic: the same experiment, world and seed give the
// same plan, byte for byte. What it says of a run's limits is judged again, by
// the same functions, when the run is admitted.
package plan

import (
	pb "squall/proto/squall/v1"
)

// World is what a plan is made against.
type World struct {
	// Hosts is the registry, or a fleet file.
	Hosts []*pb.Host
	// Aim puts other zones in the place of a role of the file's `zones`.
	Aim map[string]*pb.ZoneRole
	// Guardrails are the cluster-wide ones, which outrank the file's; nil where there are none.
	Guardrails *pb.Guardrails
	// Active are the other runs that have not ended.
	Active []Active
	// NowUnixNanos is the cluster time at which the plan is made or admitted.
	NowUnixNanos int64
	// Seed is taken where the experiment gives none.
	Seed uint64
}

// Active is another run that has not ended.
type Active struct {
	Run  string
	Plan *pb.Plan
	// T0UnixNanos is when it fired, in cluster time; 0 until then.
	T0UnixNanos int64
}

// Source places a problem in the experiment's file. experiments.Source is one.
type Source interface {
	Problem(path, message, fix string) *pb.Problem
}
