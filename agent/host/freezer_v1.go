package host

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// legacyFreezer is the freezer controller of version 1. Processes are moved
// into a folder of ours, which is frozen, and moved back.
type legacyFreezer struct {
	cgroups
	mountV1 string
}

// freezerMount is where the freezer of version 1 is mounted; empty for nowhere. Where
// no process has a place in it, the mounts, which may be thousands, need no look.
func freezerMount() string {
	if own, _ := os.ReadFile("/proc/self/cgroup"); freezerPlace(own) == "" {
		return ""
	}
	b, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range bytes.Lines(b) {
		before, after, _ := strings.Cut(string(line), " - cgroup ")
		fields := strings.Fields(before)
		options := after[strings.LastIndexByte(strings.TrimSpace(after), ' ')+1:]
		if len(fields) >= 5 && strings.Contains(","+strings.TrimSpace(options)+",", ",freezer,") {
			return unescape(fields[4])
		}
	}
	return ""
}

func (legacyFreezer) engine() string { return "the freezer of cgroup v1" }

// folder is ours for a cgroup.
func (l legacyFreezer) folder(cgroup string) string {
	sum := sha256.Sum256([]byte(cgroup))
	return filepath.Join(l.mountV1, fmt.Sprintf("squall-frozen-%x", sum[:8]))
}

func (l legacyFreezer) freeze(cgroup, tag string) error {
	dir := l.folder(cgroup)
	if err := free(l, cgroup, tag); err != nil {
		return err
	}
	origin, err := l.origin(cgroup)
	if err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("freeze cgroup %s: %w", cgroup, err)
	}
	if err := errors.Join(mark(dir, originMark, origin), mark(dir, frozenMark, tag)); err != nil {
		return err
	}
	return errors.Join(l.gather(cgroup, dir), l.state(dir, "FROZEN"), l.gather(cgroup, dir))
}

// origin is where the processes of a cgroup stand in the freezer, which must be
// one place: all go back there.
func (l legacyFreezer) origin(cgroup string) (string, error) {
	if at, err := marked(l.folder(cgroup), originMark); err != nil || at != "" {
		return at, err
	}
	pids, err := l.pids(cgroup)
	if err != nil {
		return "", err
	}
	origin := ""
	for _, pid := range pids {
		at := freezerOfProcess(pid)
		if at != "" && origin != "" && at != origin {
			return "", fmt.Errorf("freeze cgroup %s: its processes stand in %s and %s of the freezer: %w", cgroup, origin, at, ErrUnsupported)
		}
		origin = at
	}
	if origin == "" {
		return "/", nil
	}
	return origin, nil
}

// freezerOfProcess is a process's folder in the freezer; empty when it is gone.
func freezerOfProcess(pid int) string {
	all := threadsOf(pid)
	if len(all) == 0 {
		return ""
	}
	b, _ := os.ReadFile(all[0].dir + "/cgroup") // a first thread that has ended stays where it was
	return freezerPlace(b)
}

// freezerPlace is the folder in the freezer in a process's cgroup file.
func freezerPlace(procCgroup []byte) string {
	for line := range bytes.Lines(procCgroup) {
		parts := strings.SplitN(strings.TrimSpace(string(line)), ":", 3)
		if len(parts) == 3 && strings.Contains(","+parts[1]+",", ",freezer,") {
			return parts[2]
		}
	}
	return ""
}

// gather moves processes into a folder until none is outside: they may fork
// meanwhile, but what they fork inside is inside.
func (l legacyFreezer) gather(cgroup, dir string) error {
	return until("move cgroup "+cgroup+" into the freezer", func() (bool, error) {
		outside, err := l.outside(cgroup)
		for _, pid := range outside {
			err = errors.Join(err, move(pid, dir))
		}
		return len(outside) == 0, err
	})
}

// move puts a process into a folder; one that has ended is no error.
func move(pid int, dir string) error {
	err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return wrap(err, "move process %d", pid)
}

// state freezes or thaws a folder of ours, and waits until it is.
func (l legacyFreezer) state(dir, want string) error {
	file := filepath.Join(dir, "freezer.state")
	return until("make "+dir+" "+want, func() (bool, error) {
		if err := os.WriteFile(file, []byte(want), 0); err != nil {
			return false, err
		}
		is, err := os.ReadFile(file)
		return strings.TrimSpace(string(is)) == want, err
	})
}

func (l legacyFreezer) thaw(cgroup, tag string) error {
	dir := l.folder(cgroup)
	if own, err := l.tag(cgroup); err != nil || own != tag {
		return wrap(err, "thaw cgroup %s", cgroup)
	}
	err := l.dissolve(dir)
	if _, is := os.Stat(dir); errors.Is(is, fs.ErrNotExist) {
		return nil // another of us was faster
	}
	return wrap(err, "thaw cgroup %s", cgroup)
}

// dissolve thaws a folder of ours, lets its processes go back, and removes it.
func (l legacyFreezer) dissolve(dir string) error {
	origin, err := marked(dir, originMark)
	if err == nil {
		err = l.state(dir, "THAWED")
	}
	if err != nil {
		return err
	}
	back := filepath.Join(l.mountV1, origin)
	return until("empty "+dir, func() (bool, error) {
		b, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		for _, pid := range parsePids(b) {
			err = errors.Join(err, move(pid, back))
		}
		if err != nil {
			return false, err
		}
		return unix.Rmdir(dir) == nil, nil
	})
}

func (l legacyFreezer) frozen(cgroup string) (bool, error) {
	b, err := os.ReadFile(filepath.Join(l.folder(cgroup), "freezer.state"))
	if err != nil || strings.TrimSpace(string(b)) != "FROZEN" {
		return false, wrap(err, "read freezer of cgroup %s", cgroup)
	}
	outside, err := l.outside(cgroup)
	return len(outside) == 0, err
}

// outside are the processes of a cgroup that are not in its folder of ours.
func (l legacyFreezer) outside(cgroup string) ([]int, error) {
	inside := strings.TrimPrefix(l.folder(cgroup), l.mountV1)
	pids, err := l.pids(cgroup)
	return slices.DeleteFunc(pids, func(pid int) bool {
		at := freezerOfProcess(pid)
		return at == "" || at == inside
	}), err
}

func (l legacyFreezer) tag(cgroup string) (string, error) {
	return marked(l.folder(cgroup), frozenMark)
}
