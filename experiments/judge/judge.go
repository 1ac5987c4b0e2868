// Package judge evaluates the expressions of an experiment over windows of
// readings, and gives the verdict.
//
// It is pure: the same plan, windows and instant give the same answer, so a
// new leader goes on where the old one stopped. A value that is missing is
// never taken for a good one.
package judge

import (
	pb "squall/proto/squall/v1"
)

// Source places problems in the experiment's file. experiments.Source is one.
type Source interface {
	Problem(path, message, fix string) *pb.Problem
}

// Readings are what probes have measured, as the machine holds it.
type Readings interface {
	// Window is the closed window of a second of cluster time, nil where there
	// is none. The zone "" is the servers.
	Window(probe, zone string, second int64) *pb.Window
	// Zones lists the zones from which a probe has windows.
	Zones(probe string) []string
	// Residue counts what reverts could not show clean.
	Residue() int
}

// Judge holds an experiment's compiled expressions.
type Judge struct {
	experiment *pb.Experiment
}
