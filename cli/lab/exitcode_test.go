package lab

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestCommandEndsAsInAShell: a command's own code, 128 and the signal that killed
// it, and the shell's codes for what could not be run.
func TestCommandEndsAsInAShell(t *testing.T) {
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("not a program"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		argv []string
		code int
		says string
	}{
		{[]string{"/bin/sh", "-c", "exit 0"}, 0, ""},
		{[]string{"/bin/sh", "-c", "exit 7"}, 7, ""},
		{[]string{"/bin/sh", "-c", "kill -KILL $$"}, 137, ""},
		{[]string{"/bin/sh", "-c", "kill -TERM $$"}, 143, ""},
		{[]string{"nosuchprog"}, 127, "there is no program nosuchprog"},
		{[]string{"/no/such/prog"}, 127, "there is no program /no/such/prog"},
		{[]string{"/etc/passwd"}, 126, "program /etc/passwd can't be run: permission denied"},
		{[]string{text}, 126, "can't be run: exec format error"},
	} {
		got, err := ended(c.argv[0], exec.Command(c.argv[0], c.argv[1:]...).Run())
		var never *StartError
		if errors.As(err, &never) {
			got = never.Code
		}
		if got != c.code || (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v ends with %d and %v; want %d and %q", c.argv, got, err, c.code, c.says)
		}
	}
}
