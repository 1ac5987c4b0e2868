package experiments

import (
	"slices"

	"go.yaml.in/yaml/v3"

	"squall/experiments/internal/spell"
)

// Kinds are the files that the language knows.
var Kinds = []string{"experiment", "fleet", "host", "lab"}

// Kind guesses from its keys what a file is, one of Kinds. What can't be told is an experiment.
func Kind(src []byte) string {
	var doc yaml.Node
	if len(src) > fleetLimits.bytes || yaml.Unmarshal(src, &doc) != nil || len(doc.Content) == 0 {
		return "experiment"
	}
	return kindOf(doc.Content[0])
}

// kindOf is Kind of a file that has been read.
func kindOf(root *yaml.Node) string {
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

// otherKind is the kind of file that knows more of the keys than the one that
// the file is read as; empty where none does. Of several, it is what Kind would say.
func otherKind(root *yaml.Node, as string) string {
	best, most := "", knownKeys(root, as)
	for _, kind := range append([]string{kindOf(root)}, Kinds...) {
		if n := knownKeys(root, kind); n > most {
			best, most = kind, n
		}
	}
	return best
}

// knownKeys counts the keys of a file that its kind has.
func knownKeys(root *yaml.Node, kind string) int {
	if root.Kind != yaml.MappingNode {
		return 0
	}
	n := 0
	for i := 0; i < len(root.Content); i += 2 {
		if spell.ByKey(roots[kind], root.Content[i].Value) != nil {
			n++
		}
	}
	return n
}

// withArticle is a kind of file as a sentence has it.
func withArticle(kind string) string {
	switch kind {
	case "experiment":
		return "an experiment"
	case "host":
		return "a host's config"
	}
	return "a " + kind
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
