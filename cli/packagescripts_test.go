package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"squall/agent/host/hosttest"
)

// fakeSystemctl keeps the units that are active as files of a folder.
const fakeSystemctl = `#!/bin/sh
case $1 in
show) for unit; do :; done; [ -e "$ACTIVE/$unit" ] && cat "$ACTIVE/$unit" || echo inactive ;;
stop) shift; (cd "$ACTIVE" && rm -f "$@") ;;
start) echo active >"$ACTIVE/$2" ;;
esac
`

// fakeUndo is a squall that notes what is active while it undoes.
const fakeUndo = `#!/bin/sh
ls "$ACTIVE" >"$DURING"
exit "$UNDO"
`

// TestRefusedRemovalLeavesWhatRan: the package's scripts, as dpkg calls them, stop
// the agent for the undo, and the server after it. Where the undo leaves something,
// what was active is active again, and nothing else.
func TestRefusedRemovalLeavesWhatRan(t *testing.T) {
	hosttest.RequireRoot(t)
	const agent, server = "squall-agent.service", "squall-server.service"
	for name, c := range map[string]struct {
		states        map[string]string
		undo          string
		during, after string
	}{
		"refused with both":                    {map[string]string{agent: "active", server: "active"}, "20", server, agent + " " + server},
		"refused with an agent":                {map[string]string{agent: "active"}, "20", "", agent},
		"refused with one that starts anew":    {map[string]string{agent: "activating"}, "20", "", agent},
		"refused with a server":                {map[string]string{server: "active"}, "20", server, server},
		"refused where an agent fails":         {map[string]string{agent: "failed", server: "active"}, "20", server, server},
		"removed, which stops both":            {map[string]string{agent: "active", server: "active"}, "0", server, ""},
		"refused with neither, starts neither": {nil, "20", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			during, after := removes(t, c.states, c.undo)
			if during != c.during || after != c.after {
				t.Errorf("active are %q during the undo and %q after it, want %q and %q", during, after, c.during, c.after)
			}
		})
	}
}

// removes has the scripts remove a package while units are in some states, and
// tells which of them are active during the undo, and in the end. What they see of
// /run is made for them.
func removes(t *testing.T, states map[string]string, undo string) (during, after string) {
	t.Helper()
	dir := t.TempDir()
	active := filepath.Join(dir, "active")
	writePackageFile(t, filepath.Join(active, ".keep"), "")
	for unit, state := range states {
		writePackageFile(t, filepath.Join(active, unit), state)
	}
	programs := map[string]string{"systemctl": fakeSystemctl, "squall": fakeUndo}
	for _, script := range []string{"prerm", "postinst"} {
		text, err := os.ReadFile("../.packaging/scripts/" + script)
		if err != nil {
			t.Fatal(err)
		}
		programs[script] = string(text)
	}
	for program, text := range programs {
		writePackageFile(t, filepath.Join(dir, "bin", program), text)
		if err := os.Chmod(filepath.Join(dir, "bin", program), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	c := exec.CommandContext(t.Context(), "unshare", "--mount", "sh", "-ec",
		"mount -t tmpfs squall-test /run; mkdir -p /run/systemd/system; prerm remove || postinst abort-remove")
	c.Env = append(os.Environ(), "PATH="+filepath.Join(dir, "bin")+":"+os.Getenv("PATH"), "ACTIVE="+active, "DURING="+filepath.Join(dir, "during"), "UNDO="+undo)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	seen, err := os.ReadFile(filepath.Join(dir, "during"))
	if err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(active, "squall*"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range left {
		left[i] = filepath.Base(left[i])
	}
	return strings.Join(strings.Fields(string(seen)), " "), strings.Join(left, " ")
}
