package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// guardFiles are the files that the page on guardrails speaks of.
const guardFiles = `
-- region.yaml --
version: 1
name: region
title: Both zones
targets: { all: { zone: [zone-a, zone-b] } }
guardrails: { environments: [lab], allow_region_wide: true }
timeline:
  - { at: T+0s, phase: dark, until: T+10s, faults: [ dns.fail: { target: all, for: 5s } ] }
-- one.yaml --
version: 1
name: one
title: One zone
targets: { some: { zone: zone-a } }
guardrails: { environments: [lab] }
timeline:
  - { at: T+0s, phase: dark, until: T+10s, faults: [ dns.fail: { target: some, for: 5s } ] }
`

// TestGuardrailsPageIsRun runs the console blocks of the page on guardrails, one
// after another, and holds what is printed against what stands there.
func TestGuardrailsPageIsRun(t *testing.T) {
	page, err := os.ReadFile("../docs/guardrails.md")
	if err != nil {
		t.Fatal(err)
	}
	script := "cluster 2027-03-01T11:00:00Z web-a1=zone-a web-b1=zone-b\n"
	blocks := regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	if len(blocks) < 5 {
		t.Fatalf("the page has %d blocks", len(blocks))
	}
	for _, b := range blocks {
		script += asScript(t, b[1])
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "page.txtar"), []byte(script+guardFiles), 0o600); err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, scripts(dir))
}

// asScript is a block of commands and what they print as lines of a script. A
// comment says which code a command exits with; what is printed for a mistake of
// the caller's is on stderr. Three dots stand for anything, a space for some.
func asScript(t *testing.T, block string) (script string) {
	t.Helper()
	stream := ""
	for line := range strings.Lines(block) {
		line = strings.TrimSpace(line)
		command, is := strings.CutPrefix(line, "$ squall ")
		if !is {
			words := strings.Join(strings.Fields(regexp.QuoteMeta(line)), " +")
			words = strings.ReplaceAll(strings.ReplaceAll(words, "…", ".*"), "'", "''")
			script += fmt.Sprintf("%s '%s'\n", stream, words)
			continue
		}
		command, code, comment := strings.Cut(command, "    # exits ")
		if stream = "stdout"; code == "2" {
			stream = "stderr"
		}
		if !comment {
			code = "0"
		}
		script += "exits " + code + " " + command + "\n"
	}
	return script
}
