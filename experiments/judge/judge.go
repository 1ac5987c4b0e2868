// Package judge evaluates the expressions of an experiment over windows of
// readings, and gives the verdict.
//
// It is pure: the same plan, windows and instant give the same answer, so a
// new leader goes on where the old one stopped. A value that is missing is
// never taken for a good one.
package judge

import (
	"maps"
	"slices"
	"time"

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

// Judge holds an experiment's compiled expressions. It may be used by several
// goroutines at once.
type Judge struct {
	experiment *pb.Experiment
	steady     []*expression
	proof      []*expression
	expect     []*expression
	abort      []*expression
	verify     []*expression
	skip       []*expression
}

// Targets are the targets whose hosts expressions count, sorted.
func (j *Judge) Targets() []string { return j.used(func(x *expression) []string { return x.targets }) }

// Roles are the roles of zones whose hosts expressions count, sorted.
func (j *Judge) Roles() []string { return j.used(func(x *expression) []string { return x.roles }) }

// ProbesIn are the probes that one of the experiment's expressions names.
func (j *Judge) ProbesIn(text string) []string {
	for _, x := range j.all() {
		if x.text == text {
			return x.probes
		}
	}
	return nil
}

func (j *Judge) used(names func(*expression) []string) []string {
	set := map[string]bool{}
	for _, x := range j.all() {
		for _, name := range names(x) {
			set[name] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// all are the expressions that compiled.
func (j *Judge) all() []*expression {
	all := slices.Concat(j.steady, j.proof, j.expect, j.abort, j.verify, j.skip)
	return slices.DeleteFunc(all, func(x *expression) bool { return x == nil })
}

// Verdict judges a run from its beginning; see Track.Verdict.
func (j *Judge) Verdict(run *pb.Run, r Readings, now time.Time) (pb.Verdict, []*pb.Finding) {
	return j.Track().Verdict(run, r, now)
}

// Abort judges the abort rules of a run; see Track.Abort.
func (j *Judge) Abort(run *pb.Run, r Readings, now time.Time) *pb.Finding {
	return j.Track().Abort(run, r, now)
}

// Verify judges what must hold after the revert; see Track.Verify.
func (j *Judge) Verify(run *pb.Run, r Readings, now time.Time) (bool, []*pb.Finding) {
	return j.Track().Verify(run, r, now)
}

// Steady judges the steady state; see Track.Steady.
func (j *Judge) Steady(run *pb.Run, r Readings, now time.Time) (bool, []*pb.Finding) {
	return j.Track().Steady(run, r, now)
}
