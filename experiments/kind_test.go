package experiments

import (
	"strings"
	"testing"
)

// TestFileOfAnotherKindIsToldOnce: a lab given as a host's config is one
// mistake, and not one for each of its keys.
func TestFileOfAnotherKindIsToldOnce(t *testing.T) {
	texts := map[string]string{
		"experiment": "version: 1\nname: x\ntargets: { all: { zone: a } }\ntimeline: [{ phase: p, faults: [dns.fail: { target: all, for: 5s }] }]\n",
		"fleet":      "version: 1\nhosts: [{ name: a, zone: b }]\n",
		"host":       "name: a\nzone: b\nworkloads: [{ name: w, unit: w.service }]\n",
		"lab":        "version: 1\nname: l\nzones: [{ name: a }]\nhosts: [{ name: h, zones: a }]\n",
	}
	for is, text := range texts {
		for as := range texts {
			problems := Validate(as, "f.yaml", []byte(text))
			if is == as && len(problems) > 0 {
				t.Errorf("%s: %v", is, problems.Error())
			}
			if is == as || len(problems) == 1 && strings.Contains(problems[0].GetMessage(), "the file is a") && problems[0].GetFix() != "" {
				continue
			}
			if is == "fleet" && as == "lab" {
				continue // every key of it is a lab's, too
			}
			t.Errorf("%s as %s:\n%v", is, as, problems.Error())
		}
	}
}
