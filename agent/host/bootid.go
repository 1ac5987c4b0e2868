package host

import (
	"fmt"
	"os"
	"strings"
)

// BootID names this boot of the machine: another one means that everything in
// the kernel is gone.
func BootID() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("read boot id: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}
