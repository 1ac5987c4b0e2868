package host

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// systemctlTimeout bounds one call of systemctl.
const systemctlTimeout = 5 * time.Second

// startUnit queues the start of a unit. A unit that was killed too often has
// failed for good until it is reset.
func startUnit(ctx context.Context, unit string) error {
	_, _ = systemctl(ctx, "reset-failed", "--", unit)
	_, err := systemctl(ctx, "start", "--no-block", "--", unit)
	return err
}

// systemctl runs systemd's client without a shell and returns what it printed.
func systemctl(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, systemctlTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "systemctl", args...)
	cmd.WaitDelay = outputDelay
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return "", fmt.Errorf("systemctl %s: no answer: %w", args[0], ctx.Err())
	}
	if err != nil {
		return "", fmt.Errorf("systemctl %s: %w: %s", args[0], err, strings.TrimSpace(printable(string(out))))
	}
	return string(out), nil
}
