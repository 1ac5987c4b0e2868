package main

import (
	"os"
	"strings"
	"testing"

	"squall/experiments"
)

// TestWrongInputEndsWithTwoAndTheFix: whatever is typed wrongly, or stands wrongly
// in a file, ends with 2 before anybody is asked, says in our words what to do,
// and lets nothing through that a terminal obeys.
func TestWrongInputEndsWithTwoAndTheFix(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir()) // no lab of this machine
	t.Chdir(t.TempDir())
	for name, content := range map[string]string{
		"binary.yaml": "\x00\x01", "empty.yaml": "", "cut.json": `{"digest":"x"`, "hollow.json": `{"digest":"x","experiment":{}}`,
		"escape.yaml": "version: 1\nname: \"\x1b[31mred\"\n", "tabs.yaml": "version: 1\n\tname: x\n", "two.yaml": "version: 1\n---\nversion: 1\n",
	} {
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const dns = "inject|dns.fail|--zone|zone-a|--for|3s|"
	for line, says := range map[string]string{
		"inject|dns.fail|--zone||--for|3s":                                   "write a,b or give the flag twice",
		"inject|dns.fail|--zone|a\x1b[2Jb|--for|3s":                          "take them out",
		"inject|dns.fail|--host|w\x1b]0;owned\x07|--for|3s":                  "take them out",
		"inject|dns.fail|--zone|zone-a|--for|-3s":                            "--for",
		"inject|dns.fail|--zone|zone-a|--for|99999999999h":                   "write at most 8760h",
		"inject|dns.fail|--zone|zone-a|--for|1e9s":                           "write a number and a unit",
		"inject|dns.fail|--zone|zone-a|--for|3s|--for|4s":                    "given twice",
		dns + "--share|0%":                                                   "--share",
		dns + "--share|1e400%":                                               "--share",
		dns + "--pick|-1":                                                    "--pick",
		dns + "--labels|tier":                                                "write key=value",
		dns + "--labels|=gold":                                               "write key=value",
		dns + "--lost_contact|\x1b[7m":                                       "use revert or hold",
		dns + "--answer.timeout|140":                                         "write a share as a percentage",
		dns + "--spread|1h":                                                  "let the fault last longer",
		dns + "--at|tomorrow":                                                "write an experiment",
		dns + "--why|x|--detach=perhaps":                                     "write true or false",
		"inject|power.off|--zone|zone-a|--for|3s|--back.never|":              "--back.never",
		"inject|power.off|--zone|zone-a|--for|3s|--mode|loud":                "use silent",
		"inject|net.delay|--zone|zone-a|--for|3s|--delay|2h":                 "write 1ms to 60s",
		"inject|net.delay|--zone|a|--for|3s|--delay|9ms|--to.prefix|::1/999": "fix: write one such as",
		"inject|process.melt|--zone|zone-a|--for|3s":                         "write one of",
		"validate|binary.yaml":                                               "fix: take it out",
		"validate|empty.yaml":                                                "fix: begin with",
		"validate|escape.yaml":                                               "fix: take it out",
		"validate|tabs.yaml":                                                 "fix: ",
		"validate|two.yaml":                                                  "fix: ",
		"validate|missing\x1b[31m.yaml":                                      "no such file",
		"run|cut.json":                                                       "fix: ",
		"plan|hollow.json":                                                   "fix: ",
		"run|.":                                                              "name the files in it",
		"run|":                                                               "write one of",
		"plan|zone-loss|--aim|dark==zone-a":                                  "give the flag twice",
		"plan|zone-loss|--fleet|empty.yaml":                                  "fix: ",
		"plan|zone-loss|--seed|18446744073709551616":                         "write a whole number",
		"get|hosts|--output|xml":                                             "is not one of table",
		"get|hosts|--server|a:1":                                             "--server needs --bundle",
		"undo|\x1b[2J|--all":                                                 "name one run, or give --all",
		"explain|experiment.\x1b[31m":                                        "no such field",
		"completion|csh":                                                     "write one of: bash, fish",
	} {
		code, out, said := squall(t, "", strings.Split(line, "|")...)
		if code != experiments.ExitUsage || !strings.Contains(out+said, says) {
			t.Errorf("squall %q ends with %d, want 2 and %q:\n%s%s", line, code, says, out, said)
		}
		if strings.ContainsAny(out+said, "\x1b\x07\x00") {
			t.Errorf("squall %q lets through what a terminal obeys: %q", line, out+said)
		}
	}
}
