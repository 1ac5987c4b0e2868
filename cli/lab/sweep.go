package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// sweepLimit is how long the dead may take to leave their cgroups.
const sweepLimit = 5 * time.Second

// Sweep removes what killed labs left: folders whose lock nobody holds, and
// cgroups of labs that have no folder. It names what it removed.
func Sweep(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, sweepLimit)
	defer cancel()
	all, err := folders()
	if err != nil {
		return nil, fmt.Errorf("sweep labs: %w", err)
	}
	var swept []string
	var errs []error
	for _, f := range all {
		removed, err := f.sweep(ctx)
		errs = append(errs, err)
		if removed {
			swept = append(swept, string(f))
		}
	}
	orphans, err := sweepCgroups(ctx)
	return append(swept, orphans...), errors.Join(append(errs, err)...)
}

// sweep removes the lab if nobody holds it. The lock is kept meanwhile, so
// that two sweeps, or a sweep and a start, never meet.
func (f Folder) sweep(ctx context.Context) (bool, error) {
	lock, err := f.lock()
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil // its holder was faster
	}
	if err != nil || lock == nil {
		return false, err
	}
	defer lock.Close()
	if err := f.remove(ctx); err != nil {
		return false, fmt.Errorf("sweep lab %s: %w", f.Name(), err)
	}
	return true, nil
}

// strayAge is how old an empty cgroup must be to be taken for a stray: a lab
// that is just starting has an empty one too.
const strayAge = 30 * time.Second

// sweepCgroups removes empty cgroups that labs left whose folder somebody else
// has removed. One that has processes is a lab elsewhere.
func sweepCgroups(ctx context.Context) ([]string, error) {
	mount, err := cgroupMount()
	if err != nil {
		return nil, err
	}
	found, err := filepath.Glob(filepath.Join(mount, cgroupPrefix+"*"))
	if err != nil {
		return nil, err
	}
	var swept []string
	var errs []error
	for _, dir := range found {
		info, err := os.Stat(dir)
		if err != nil || time.Since(info.ModTime()) < strayAge || populated(dir) {
			continue
		}
		errs = append(errs, cgroup(dir).remove(ctx))
		swept = append(swept, dir)
	}
	return swept, errors.Join(errs...)
}

// populated reports whether any process is in the cgroup or below it. What
// can't be read is taken for populated.
func populated(dir string) bool {
	events, err := os.ReadFile(filepath.Join(dir, "cgroup.events"))
	return err != nil || !strings.Contains(string(events), "populated 0")
}
