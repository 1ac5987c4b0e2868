// Package lack skips tests that need what a machine doesn't have: loudly on
// somebody's machine, and as a failure where CI=true, for a gate that skips is
// no gate.
//
// It imports nothing of ours, so that the tests inside a package can use it too.
package lack

import (
	"os"
	"testing"
)

// Of skips a test for a reason, or fails it where CI=true.
func Of(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("can't run, and CI must: %s", why)
	}
	t.Skipf("SKIPPED: %s", why)
}

// OfRoot skips a test that only root can run.
func OfRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		Of(t, "it needs root")
	}
}
