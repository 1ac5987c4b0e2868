package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// named is a line of docs/promises.md that names a test of a package.
var named = regexp.MustCompile("(?m)^\\| `([a-z/]+)` \\| `(Test[A-Za-z0-9]+)` \\| ([^|]+) \\|$")

// Each promise has tests, and each test that is named for one exists.
func TestPromisesNameTestsThatExist(t *testing.T) {
	text, err := os.ReadFile("../docs/promises.md")
	if err != nil {
		t.Fatal(err)
	}
	_, promises, _ := strings.Cut(string(text), "\n## ")
	sections := strings.Split(promises, "\n## ")
	if len(sections) != 10 {
		t.Errorf("%d promises, want ten", len(sections))
	}
	for i, section := range sections {
		title, body, _ := strings.Cut(section, "\n")
		if !strings.HasPrefix(title, fmt.Sprintf("%d. ", i+1)) {
			t.Errorf("promise %d is %q", i+1, title)
		}
		lines := named.FindAllStringSubmatch(body, -1)
		if rows := strings.Count(body, "\n| `"); len(lines) == 0 || len(lines) != rows {
			t.Errorf("%s: %d lines of %d can be read", title, len(lines), rows)
		}
		for _, line := range lines {
			if !hasTest(t, line[1], line[2]) {
				t.Errorf("%s: package %s has no %s", title, line[1], line[2])
			}
		}
	}
}

// hasTest says that a package has a test of that name.
func hasTest(t *testing.T, pkg, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", pkg, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(source), "\nfunc "+name+"(t *testing.T)") {
			return true
		}
	}
	return false
}
