package host

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Rest gives memory back that an idle process doesn't need: garbage, and the
// pages of the binary itself that only its beginning used. What is needed again
// comes back from the page cache.
func Rest() error {
	collector.collect()
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("give memory back: %w", err)
	}
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return fmt.Errorf("give memory back: %w", err)
	}
	defer maps.Close()
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		if err := forget(lines.Text(), exe); err != nil {
			return fmt.Errorf("give memory back: %w", err)
		}
	}
	return nil
}

// forget drops the pages of one mapping when it is of the binary and can't have
// been written.
func forget(line, exe string) error {
	var from, to uintptr
	var access string
	if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &access); err != nil {
		return err
	}
	if !strings.HasSuffix(line, " "+exe) || strings.Contains(access, "w") {
		return nil
	}
	if _, _, errno := unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED); errno != 0 {
		return errno
	}
	return nil
}
