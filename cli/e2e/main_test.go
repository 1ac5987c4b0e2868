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

func runAll(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "squall-e2e")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "squall"), "squall/cli")
	if out, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("build squall: %w\n%s", err, out)
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
