package experiments

import (
	"slices"
	"strings"
	"testing"

	"squall/experiments/fault"
)

// TestDocsDecode reads every whole file that the docs show, as a reader would who copies it.
func TestDocsDecode(t *testing.T) {
	for file, least := range map[string]int{"docs/experiment-file.md": 4, "README.md": 1, "cli/lab/README.md": 1} {
		blocks := strings.Split(string(read(t, "../"+file)), "```")
		decoded := 0
		for i := 1; i < len(blocks); i += 2 {
			src, ok := strings.CutPrefix(blocks[i], "yaml\n")
			if !ok || strings.HasPrefix(src, "# a part") {
				continue
			}
			decoded++
			if problems := Validate(Kind([]byte(src)), file, []byte(src)); problems != nil {
				t.Errorf("%v\nin\n%s", problems, src)
			}
		}
		if decoded < least {
			t.Errorf("%s shows %d whole files", file, decoded)
		}
	}
}

// TestDocsNameEveryFaultAndSection keeps the reference whole, and free of what
// this build lacks.
func TestDocsNameEveryFaultAndSection(t *testing.T) {
	docs := string(read(t, "../docs/experiment-file.md"))
	for _, name := range append(FaultNames(), keys(roots["experiment"])...) {
		if !strings.Contains(docs, "`"+name+"`") {
			t.Errorf("docs/experiment-file.md does not name `%s`", name)
		}
	}
	for _, name := range fault.All() {
		if !slices.Contains(FaultNames(), name) && strings.Contains(docs, name) {
			t.Errorf("docs/experiment-file.md offers %s, which this build lacks", name)
		}
	}
}
