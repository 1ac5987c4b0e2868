package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// orphansCommand is the role of the test's own binary that takes orphans in as a
// host's init does.
const orphansCommand = "orphans"

// takeOrphansIn starts programs that end at once while it takes in orphans that
// end at once, and says which exit code did not come through, or which orphan
// stayed.
func takeOrphansIn() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go reapOrphans(ctx)
	for i := range 60 {
		err := exec.Command("/bin/sh", "-c", "(exit 3 &); exit 7").Run()
		if e := new(exec.ExitError); !errors.As(err, &e) || e.ExitCode() != 7 {
			return fmt.Errorf("program %d ended with %w, want code 7", i, err)
		}
	}
	for end := time.Now().Add(10 * time.Second); len(endedChildren()) > 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("orphans are left: %v", endedChildren())
		}
	}
	return nil
}

// TestExitCodesComeThroughBesideOrphans holds the race of an init: it takes in
// who has lost its parent, and takes nobody from who waits for it, or an exec
// probe ends in "waitid: no child processes".
func TestExitCodesComeThroughBesideOrphans(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", orphansCommand, "-")
	cmd.Env = os.Environ()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, strings.TrimSpace(string(out)))
	}
}
