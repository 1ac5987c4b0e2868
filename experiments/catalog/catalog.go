// Package catalog holds scenarios: experiments that run in the lab as they
// are, and that replay what has happened to others.
//
// Every scenario proves that its fault bit, expects something of the system
// under test, says when to stop early, and touches no environment but the lab.
package catalog

import (
	"embed"
	"fmt"
	"slices"
	"strings"

	"squall/experiments"
	"squall/experiments/near"
	pb "squall/proto/squall/v1"
)

//go:embed *.yaml
var files embed.FS

// List names all scenarios, sorted.
func List() []string {
	entries, _ := files.ReadDir(".") // the folder is part of the binary
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = strings.TrimSuffix(e.Name(), ".yaml")
	}
	slices.Sort(names)
	return names
}

// Source is a scenario as it is written. The error names the scenarios that there are.
func Source(name string) ([]byte, error) {
	src, err := files.ReadFile(name + ".yaml")
	if err != nil {
		return nil, fmt.Errorf("find scenario %q: there is none of that name; %s", name, near.Fix(name, "scenario", List()))
	}
	return src, nil
}

// Load decodes a scenario. Scenarios decode without problems, which a test holds.
func Load(name string) (*pb.Experiment, experiments.Source, error) {
	src, err := Source(name)
	if err != nil {
		return nil, experiments.Source{}, err
	}
	e, at, problems := experiments.Decode(name+".yaml", src)
	return e, at, problems.Err()
}
