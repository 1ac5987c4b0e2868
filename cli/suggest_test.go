package main

import (
	"strings"
	"testing"
)

// TestWrongWordsAndFlagsAreToldInWords: what a command takes and what it was
// given, and no words of the libraries that read the line.
func TestWrongWordsAndFlagsAreToldInWords(t *testing.T) {
	for line, want := range map[string]string{
		"run":                                    "squall run takes FILE|SCENARIO, and nothing was given",
		"plan a.yaml b.yaml":                     "squall plan takes FILE|SCENARIO, and it was given a.yaml b.yaml",
		"validate":                               "squall validate takes FILE",
		"lab exec web-a1":                        "and it was given web-a1",
		"inject net.delay zone-a":                "squall inject net.delay takes flags alone, and it was given zone-a",
		"inject dns.fial --zone a":               `unknown command "dns.fial" of squall inject; did you mean "dns.fail"?`,
		"inject net.delay --zon a":               "did you mean --zone?",
		"plan zone-loss --seed x":                `--seed: "x" is not what it takes; write a whole number, such as 3`,
		"status --timeout 5":                     `--timeout: "5" is not what it takes; write a number and a unit, such as 5s`,
		"status -w=perhaps":                      `--watch: "perhaps" is not what it takes; write true or false`,
		"catalog show zoneloss":                  `there is none of that name; did you mean "zone-loss"?`,
		"inject dns.fail --zone a,, --for 3s":    "--zone: an entry of the list is empty",
		"inject dns.fail --for 3s --labels =x":   `--labels: "=x" has no key: write key=value`,
		"completion fsh":                         `squall completion knows no shell "fsh"; write one of: bash, fish, powershell, zsh`,
		"completion bash x":                      "squall completion bash takes flags alone, and it was given x",
		"lab stats":                              `unknown command "stats" of squall lab; did you mean "status"?`,
		"config explian timeout":                 `unknown command "explian" of squall config; did you mean "explain"?`,
		"help lab stats":                         `unknown command "stats" of squall lab; did you mean "status"?`,
		"help plna":                              `unknown command "plna" of squall; did you mean "plan"?`,
		"plan zone-loss --aim dark=a, --fleet x": "an entry of the list is empty",
	} {
		code, _, progress := squall(t, "", strings.Fields(line)...)
		if code != 2 || !strings.Contains(progress, want) {
			t.Errorf("squall %s exits with %d: %swant %q", line, code, progress, want)
		}
		for _, foreign := range []string{"arg(s)", "strconv", "invalid syntax", "invalid argument"} {
			if strings.Contains(progress, foreign) {
				t.Errorf("squall %s speaks of %q: %s", line, foreign, progress)
			}
		}
	}
}

// TestGroupsShowTheirHelp: a command that only groups others asks for nothing,
// and needs neither root nor settings.
func TestGroupsShowTheirHelp(t *testing.T) {
	t.Setenv("SQUALL_TIMEOUT", "nonsense")
	for _, line := range []string{"lab", "config", "completion", "help", "help lab exec", "help completion fish"} {
		code, said, _ := squall(t, "", strings.Fields(line)...)
		if code != 0 || !strings.Contains(said, "Usage:") {
			t.Errorf("squall %s exits with %d: %s", line, code, said)
		}
	}
}
