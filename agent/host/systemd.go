package host

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// systemctlTimeout bounds one call of systemctl.
const systemctlTimeout = 10 * time.Second

// startUnit queues the start of a unit. A unit that was killed too often has
// failed for good until it is reset.
func startUnit(ctx context.Context, unit string) error {
	_, _ = systemctl(ctx, "reset-failed", "--", unit)
	_, err := systemctl(ctx, "start", "--no-block", "--", unit)
	return err
}

// unitCgroup asks systemd where a unit runs. A unit that doesn't run has no
// cgroup; it will get the one that units of its kind get.
func unitCgroup(ctx context.Context, unit string) string {
	out, err := systemctl(ctx, "show", "--property=ControlGroup", "--value", "--", unit)
	if cgroup := strings.Trim(strings.TrimSpace(out), "/"); err == nil && cgroup != "" {
		return cgroup
	}
	if !strings.Contains(unit, ".") {
		unit += ".service"
	}
	return "system.slice/" + unit
}

// systemctl runs systemd's client without a shell and returns what it printed.
func systemctl(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, systemctlTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, "systemctl", args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("systemctl %s: %w: %s", args[0], err, strings.TrimSpace(printable(string(out))))
	}
	return printable(string(out)), nil
}
