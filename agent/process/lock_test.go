package process

import (
	"log/slog"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestWhoHoldsNoLockIsNotEnded: the number of the lock's holder is another
// process's by the time at which it is opened.
func TestWhoHoldsNoLockIsNotEnded(t *testing.T) {
	bystander := exec.Command("sleep", "60")
	if err := bystander.Start(); err != nil {
		t.Fatal(err)
	}
	defer bystander.Wait()         //nolint:errcheck // killed
	defer bystander.Process.Kill() //nolint:errcheck // it lives
	l := NewJournalLock(filepath.Join(t.TempDir(), "journal.lock"), slog.New(slog.DiscardHandler))
	defer l.Release() //nolint:errcheck // the test's own file
	if gone, err := l.end(t.Context(), bystander.Process.Pid); err != nil || !gone {
		t.Errorf("gone: %v, %v", gone, err)
	}
	var status unix.WaitStatus
	if pid, err := unix.Wait4(bystander.Process.Pid, &status, unix.WNOHANG, nil); pid != 0 || err != nil {
		t.Errorf("the bystander has ended: %v, %v", status, err)
	}
}
