package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"squall/experiments"
	kind "squall/experiments/fault"
	"squall/experiments/judge"
)

// squall carries out one command line in this process.
func squall(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, progress bytes.Buffer
	code = run(args, strings.NewReader(stdin), &out, &progress)
	return code, out.String(), progress.String()
}

// TestTemplatesAreSafeToBegin: every template is legal under a new name, and
// ends by itself when people are hurt.
func TestTemplatesAreSafeToBegin(t *testing.T) {
	for _, name := range templateNames() {
		text, err := fillTemplate("game-day", name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		e, src, problems := experiments.Decode(name, []byte(text))
		if len(problems) > 0 || len(e.GetAbort()) == 0 || len(e.GetExpect()) == 0 {
			t.Errorf("%s has problems, no abort rule or no expectation: %v", name, problems)
		}
		if _, problems := judge.Compile(e, src); len(problems) > 0 {
			t.Errorf("%s: %v", name, problems)
		}
		if e.GetName() != "game-day" || strings.Contains(strings.ReplaceAll(text, "NAME.yaml", ""), "NAME") {
			t.Errorf("%s is called %q", name, e.GetName())
		}
	}
}

func TestInitValidateAndExplain(t *testing.T) {
	t.Chdir(t.TempDir())
	if code, out, _ := squall(t, "", "init", "game-day", "--template", "dns"); code != 0 || out != "game-day.yaml\n" {
		t.Fatalf("init exits with %d and prints %q", code, out)
	}
	if code, _, progress := squall(t, "", "init", "game-day"); code != 2 || !strings.Contains(progress, "the file exists") {
		t.Errorf("a second init exits with %d: %s", code, progress)
	}
	if code, _, progress := squall(t, "", "init", "../game"); code != 2 || !strings.Contains(progress, "is not one for an experiment") {
		t.Errorf("init with a path for a name exits with %d: %s", code, progress)
	}
	if code, out, _ := squall(t, "", "validate", "game-day.yaml"); code != 0 || out != "game-day.yaml: ok (experiment)\n" {
		t.Errorf("validate exits with %d and prints %q", code, out)
	}
	if code, out, _ := squall(t, "", "explain", "power.off"); code != 0 || !strings.Contains(out, "goes dark") {
		t.Errorf("explain exits with %d and prints %q", code, out)
	}
	if code, _, progress := squall(t, "", "explain", "timelin"); code != 2 || !strings.Contains(progress, "did you mean") {
		t.Errorf("explain of a misspelt path exits with %d: %s", code, progress)
	}
}

func TestValidateTellsEveryProblem(t *testing.T) {
	src, err := os.ReadFile("../experiments/testdata/mistakes/experiment-several-at-once.yaml")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "x.yaml")
	if err := os.WriteFile(file, src, 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, _ := squall(t, "", "validate", file)
	if code != 2 || strings.Count(out, "fix: ") != 4 || !strings.Contains(out, file+":17:75: unknown phase \"drak\"") {
		t.Errorf("validate exits with %d and prints\n%s", code, out)
	}
	if code, out, _ := squall(t, "", "validate", "-o", "json", file); code != 2 || strings.Count(out, `"fix":`) != 4 {
		t.Errorf("validate -o json exits with %d and prints\n%s", code, out)
	}
	if code, out, _ := squall(t, "hosts: []\n", "validate", "-"); code != 2 || !strings.Contains(out, "-:1:") {
		t.Errorf("validate of standard input exits with %d and prints\n%s", code, out)
	}
	if code, _, progress := squall(t, "", "validate", "no-such-file.yaml"); code != 2 || !strings.Contains(progress, "read file") {
		t.Errorf("validate of no file exits with %d: %s", code, progress)
	}
	if code, _, _ := squall(t, "", "validate", "--kind", "novel", file); code != 2 {
		t.Errorf("validate of an unknown kind exits with %d", code)
	}
}

func TestValidateFindsMisspeltProbesInExpressions(t *testing.T) {
	text, err := fillTemplate("x", "blank")
	if err != nil {
		t.Fatal(err)
	}
	code, out, _ := squall(t, strings.ReplaceAll(text, "users.age", "usres.age"), "validate", "-")
	if code != 2 || !strings.Contains(out, "usres") {
		t.Errorf("validate exits with %d and prints\n%s", code, out)
	}
}

// TestInjectNamesTheFlagThatIsMissing: nothing is guessed on the command line
// either, and nobody is asked before it is whole.
func TestInjectNamesTheFlagThatIsMissing(t *testing.T) {
	for _, c := range []struct{ args, says string }{
		{"net.delay --zone zone-b --for 20s", "--delay is missing: give a length of time"},
		{"net.delay --zone zone-b --for 20s --delay 40", `--delay: "40" has no unit`},
		{"dns.fail --zone zone-b", "--for is missing: every fault has an end"},
		{"dns.fail --zone zone-b --for 10", `--for: "10" has no unit: write a unit, such as 10s or 10m`},
		{"dns.fail --zone zone-b --for 0s", `--for: "0s" is no time at all`},
		{"dns.fail --for 20s", "no target"},
		{"dns.fail --local --for 20s --zone zone-b", "--zone means nothing with --local"},
		{"dns.fail --local --for 20s --spread 5s", "--spread means nothing with --local"},
		{"net.delay --local --for 20s", "--delay is missing"},
	} {
		code, _, progress := squall(t, "", append([]string{"inject"}, strings.Fields(c.args)...)...)
		if code != 2 || !strings.Contains(progress, c.says) {
			t.Errorf("inject %s exits with %d: %s", c.args, code, progress)
		}
	}
}

// TestInjectOffersWhatThisBuildHas: help and completion list no fault and no
// word that this build would refuse.
func TestInjectOffersWhatThisBuildHas(t *testing.T) {
	_, help, _ := squall(t, "", "inject", "--help")
	_, listed, _ := squall(t, "", "get", "faults")
	_, completed, _ := squall(t, "", "__complete", "inject", "")
	for _, name := range kind.All() {
		offered := kind.ByName(name) != nil
		for where, text := range map[string]string{"inject --help": help, "get faults": listed, "completion": completed} {
			if strings.Contains(text, name) != offered {
				t.Errorf("%s names %s: %t, this build has it: %t", where, name, !offered, offered)
			}
		}
	}
	_, modes, _ := squall(t, "", "__complete", "inject", "power.off", "--mode", "")
	if !strings.Contains(modes, "silent") || strings.Contains(modes, "reset") {
		t.Errorf("--mode completes to %s", modes)
	}
	if _, flags, _ := squall(t, "", "inject", "dns.fail", "--help"); strings.Contains(flags, "servfail") || strings.Contains(flags, "--names") {
		t.Errorf("inject dns.fail offers\n%s", flags)
	}
}
