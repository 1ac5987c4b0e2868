package experiments

import (
	"slices"

	"go.yaml.in/yaml/v3"
)

// Kinds are the files that the language knows.
var Kinds = []string{"experiment", "fleet", "host", "lab"}

// Kind guesses from its keys what a file is, one of Kinds. What can't be told is an experiment.
func Kind(src []byte) string {
	var doc yaml.Node
	if len(src) > fleetLimits.bytes || yaml.Unmarshal(src, &doc) != nil || len(doc.Content) == 0 {
		return "experiment"
	}
	root := doc.Content[0]
	var names []string
	for i := 0; i+1 < len(root.Content); i += 2 {
		if key := root.Content[i].Value; key != "zones" || root.Content[i+1].Kind == yaml.SequenceNode {
			names = append(names, key)
		}
	}
	has := func(key string) bool { return slices.Contains(names, key) }
	switch {
	case has("timeline") || has("targets") || has("probes"):
		return "experiment"
	case has("zones"):
		return "lab"
	case has("hosts"):
		return "fleet"
	case has("zone") || has("workloads") || has("squall"):
		return "host"
	}
	return "experiment"
}

// Validate reads a file of that kind and returns what is wrong with it. An
// unknown kind is read as an experiment.
func Validate(kind, file string, src []byte) Problems {
	var problems Problems
	switch kind {
	case "fleet":
		_, problems = DecodeFleet(file, src)
	case "host":
		_, problems = DecodeHostConfig(file, src)
	case "lab":
		_, problems = DecodeLab(file, src)
	default:
		_, _, problems = Decode(file, src)
	}
	return problems
}
