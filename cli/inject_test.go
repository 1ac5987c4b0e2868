package main

import (
	"strings"
	"testing"

	"squall/experiments"
	kind "squall/experiments/fault"
)

// TestInjectShowsAnExampleOfEachKind that is right as it stands: whoever types it
// is told of nothing but the control plane that is missing.
func TestInjectShowsAnExampleOfEachKind(t *testing.T) {
	_, help, _ := squall(t, "", "inject", "--help")
	for _, name := range experiments.FaultNames() {
		line := "squall inject " + name + " " + kind.ByName(name).Example
		if _, own, _ := squall(t, "", "inject", name, "--help"); !strings.Contains(help, line) || !strings.Contains(own, line) {
			t.Errorf("help does not show %q", line)
		}
		t.Setenv("TMPDIR", t.TempDir()) // no lab of this machine
		if code, _, said := squall(t, "", strings.Fields(line)[1:]...); code != experiments.ExitUnreachable {
			t.Errorf("%s ends with %d: %s", line, code, said)
		}
	}
}

// TestInjectHelpListsTheWordsThatFlagsTake, and what else they take.
func TestInjectHelpListsTheWordsThatFlagsTake(t *testing.T) {
	_, help, _ := squall(t, "", "inject", "net.delay", "--help")
	for _, want := range []string{
		"Which way: out or in or both (default out)", "lease runs out: revert or hold (default revert)",
		"a length of time, such as 250ms or 1h06m (required)", "a count or a share, such as 3 or 40%", "key=value",
	} {
		if !strings.Contains(help, want) {
			t.Errorf("help lacks %q", want)
		}
	}
	if strings.Contains(help, "zones section") {
		t.Error("help speaks of a section that a command line has not")
	}
}
