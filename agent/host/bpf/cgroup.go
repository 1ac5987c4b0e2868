package bpf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// cgroupIDs finds the ids of cgroups, named relative to the v2 mount.
func cgroupIDs(paths []string) ([]uint64, error) {
	if len(paths) == 0 {
		return nil, nil
	}
	mount, err := cgroupMount()
	if err != nil {
		return nil, err
	}
	ids := make([]uint64, 0, len(paths))
	for _, p := range paths {
		var st unix.Stat_t
		if err := unix.Stat(filepath.Join(mount, p), &st); err != nil {
			return nil, fmt.Errorf("find cgroup %s: %w", p, err)
		}
		ids = append(ids, st.Ino)
	}
	return ids, nil
}

// cgroupMount is where this process sees the v2 hierarchy.
func cgroupMount() (string, error) {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", fmt.Errorf("find the cgroup v2 mount: %w", err)
	}
	for line := range strings.Lines(string(b)) {
		before, after, _ := strings.Cut(line, " - ")
		where := strings.Fields(before)
		if strings.HasPrefix(after, "cgroup2 ") && len(where) > 4 {
			return where[4], nil
		}
	}
	return "", fmt.Errorf("find the cgroup v2 mount: %w: cgroup2 is not mounted", ErrUnsupported)
}

// aim scopes programs to cgroups and their descendants.
func aim(spec *ebpf.CollectionSpec, ids []uint64) error {
	sized(spec, holdMapCgroups, len(ids))
	if v, ok := spec.Variables[silenceVarCgroupScoped]; ok {
		return v.Set(flag(len(ids) > 0))
	}
	return nil
}

// errNoCgroup: a hold without cgroups would hold nothing.
var errNoCgroup = errors.New("hold down: no cgroup given")
