package main

import (
	"io"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestStartIsLight bounds what every command pays before it does anything, in
// allocations, which don't depend on the machine: tables that are compiled or
// computed when a package is loaded, and the flags of commands that nobody asked
// for.
func TestStartIsLight(t *testing.T) {
	t.Run("no package of ours computes much before main", func(t *testing.T) {
		c := exec.Command("squall", "version")
		c.Env = append(c.Environ(), "GODEBUG=inittrace=1")
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		lines := regexp.MustCompile(`(?m)^init (squall/\S+) .* ([0-9]+) allocs$`).FindAllStringSubmatch(string(out), -1)
		if len(lines) == 0 {
			t.Fatalf("the runtime told of no package:\n%s", out)
		}
		for _, line := range lines {
			allocs, _ := strconv.Atoi(line[2])
			if generated := strings.HasPrefix(line[1], "squall/proto/squall/"); !generated && allocs > 200 {
				t.Errorf("%s allocates %d times when it is loaded; compute its tables when they are first asked", line[1], allocs)
			}
		}
	})
	t.Run("a command makes its own flags", func(t *testing.T) {
		for _, args := range [][]string{{"version"}, {"inject", "dns.fail", "--zone", "zone-a", "--for", "20s"}} {
			allocs := testing.AllocsPerRun(3, func() { newRootCmd(&app{args: args, stdout: io.Discard, stderr: io.Discard}) })
			if allocs > 1200 {
				t.Errorf("%v: the commands take %.0f allocations to put together", args, allocs)
			}
		}
	})
}

// TestGroupsAreListed though their commands are made only when they are asked for.
func TestGroupsAreListed(t *testing.T) {
	list := func(args ...string) string {
		out, err := exec.Command("squall", args...).Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	all := list("--help")
	for group, command := range map[string]string{"calendar": "put", "experiment": "put", "schedule": "run-now", "operator": "archive", "notify": "put"} {
		if !strings.Contains(all, "\n  "+group+" ") {
			t.Errorf("the commands leave %s out", group)
		}
		for _, asked := range [][]string{{group, "--help"}, {"help", group}, {"__complete", group, ""}} {
			if !strings.Contains(list(asked...), command) {
				t.Errorf("squall %s leaves %s out", strings.Join(asked, " "), command)
			}
		}
	}
}
