package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	kind "squall/experiments/fault"
)

// TestNoOneElseKnowsKindsOfFault: what is said of one kind is said in its two
// files. A switch anywhere else would speak for kinds that it doesn't know.
func TestNoOneElseKnowsKindsOfFault(t *testing.T) {
	var names []string
	arms := kind.Arms().Fields()
	for i := range arms.Len() {
		camel := goName(string(arms.Get(i).Name()))
		names = append(names, "Get"+camel+`\(`, "Fault_"+camel+`\b`)
	}
	mentions := regexp.MustCompile(strings.Join(names, "|"))
	for _, root := range []string{"../agent", "../experiments", "../server", "../cli"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			inside := strings.HasPrefix(path, "../agent/fault/") || strings.HasPrefix(path, "../experiments/fault/")
			if err != nil || inside || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			src, err := os.ReadFile(path)
			if found := mentions.Find(src); found != nil {
				t.Errorf("%s speaks of one kind of fault: %s", path, found)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestNobodyElseResolves: where a workload lives is told by agent/target alone.
// What else of the agent names a slice, a unit's properties or the folder of our
// workloads would find its cgroup by itself. Workloads keep the resolver.
func TestNobodyElseResolves(t *testing.T) {
	mentions := regexp.MustCompile(`ControlGroup|\.slice\b|ParseUnit|WorkloadsFolder|target\.(New|Folder)\b`)
	err := filepath.WalkDir("../agent", func(path string, d fs.DirEntry, err error) error {
		inside := strings.HasPrefix(path, "../agent/target/") || strings.HasPrefix(path, "../agent/host/hosttest/")
		if err != nil || inside || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		src, err := os.ReadFile(path)
		if found := mentions.Find(src); found != nil && path != "../agent/host/workloads.go" {
			t.Errorf("%s finds workloads by itself: %s", path, found)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// goName is a field's name in generated code.
func goName(field string) string {
	var b strings.Builder
	for _, word := range strings.Split(field, "_") {
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return b.String()
}
