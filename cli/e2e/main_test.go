package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestMain builds the binary once, outside the work tree, and puts it first on
// the path: the tests type `squall` as people do. On hosts of the lab the test
// binary itself plays the programs that the tests look through.
func TestMain(m *testing.M) {
	if play, ok := roles[os.Getenv(roleEnv)]; ok {
		os.Exit(play(os.Args[1:]))
	}
	code, err := runAll(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(code)
}

// self is where hosts of the lab find the test binary.
var self string

// showSelf copies the test binary to where hosts of the lab see it.
func showSelf(dir string) error {
	from, err := os.Executable()
	if err != nil {
		return err
	}
	binary, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	self = filepath.Join(dir, "e2e.test")
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // whoever runs programs there passes it
		return err
	}
	return os.WriteFile(self, binary, 0o755)
}

func runAll(m *testing.M) (int, error) {
	// Not in /tmp: hosts of the lab have one of their own.
	dir, err := os.MkdirTemp("/var/tmp", "squall-e2e")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "squall"), "squall/cli")
	if out, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("build squall: %w\n%s", err, out)
	}
	if err := showSelf(dir); err != nil {
		return 0, err
	}
	// Settings of whoever runs the tests are not the tests'.
	for _, name := range []string{"SQUALL_SERVER", "SQUALL_BUNDLE", "SQUALL_CONTEXT", "SQUALL_OUTPUT"} {
		if err := os.Unsetenv(name); err != nil {
			return 0, err
		}
	}
	if err := os.Setenv("PATH", dir+":"+os.Getenv("PATH")); err != nil {
		return 0, err
	}
	return m.Run(), nil
}
