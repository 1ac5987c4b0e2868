package lab

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// cgroupPrefix marks the cgroups of labs, right under the cgroup2 mount.
const cgroupPrefix = "squall-lab-"

// cgroupMount is where this process sees the cgroup2 hierarchy. Hybrid hosts
// have it in a place of their own, so it is looked up, never assumed.
func cgroupMount() (string, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return "", fmt.Errorf("find cgroup2: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if at, ok := cgroupMountPoint(lines.Text()); ok {
			return at, nil
		}
	}
	return "", errors.Join(lines.Err(), errors.New("find cgroup2: it is not mounted; mount -t cgroup2 none /sys/fs/cgroup"))
}

// cgroupMountPoint is the mount point that a line of mountinfo tells of, if it is a cgroup2.
func cgroupMountPoint(line string) (string, bool) {
	before, after, ok := strings.Cut(line, " - ")
	fields := strings.Fields(before)
	if !ok || len(fields) < 5 || !strings.HasPrefix(after, "cgroup2 ") {
		return "", false
	}
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\134`, `\`).Replace(fields[4]), true
}

// cgroup is a folder of the cgroup2 hierarchy that is ours, with all below it.
type cgroup string

// cgroup is where all of the lab's processes live. Its name tells apart labs of
// one name in different folders.
func (f Folder) cgroup() (cgroup, error) {
	mount, err := cgroupMount()
	sum := sha256.Sum256([]byte(f))
	return cgroup(filepath.Join(mount, fmt.Sprintf("%s%s-%x", cgroupPrefix, f.Name(), sum[:4]))), err
}

func (c cgroup) make() error {
	if err := os.MkdirAll(string(c), 0o755); err != nil {
		return fmt.Errorf("make cgroup: %w", err)
	}
	return nil
}

// kill ends every process in it at one instant. What is not there is dead.
func (c cgroup) kill() error {
	err := os.WriteFile(filepath.Join(string(c), "cgroup.kill"), []byte("1"), 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// remove ends what is in it and takes it away, deepest first. The dead need a
// moment to leave, so it tries until ctx ends.
func (c cgroup) remove(ctx context.Context) error {
	if err := c.kill(); err != nil {
		return fmt.Errorf("end cgroup %s: %w", c, err)
	}
	for {
		err := c.removeOnce()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("remove cgroup %s: %w", c, err)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

func (c cgroup) removeOnce() error {
	var dirs []string
	err := filepath.WalkDir(string(c), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && d.IsDir() {
			dirs = append(dirs, path)
		}
		return err
	})
	for _, dir := range slices.Backward(dirs) {
		if rmErr := os.Remove(dir); !errors.Is(rmErr, fs.ErrNotExist) {
			err = errors.Join(err, rmErr)
		}
	}
	return err
}
