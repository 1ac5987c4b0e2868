package host

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// cgroups is the cgroup v2 hierarchy. Paths are relative to its mount point,
// without a leading slash.
type cgroups struct{ mount string }

// openCgroups finds the v2 mount, which need not be the only cgroup mount.
func openCgroups() (cgroups, error) {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return cgroups{}, fmt.Errorf("find cgroup v2: %w", err)
	}
	mount, ok := cgroup2Mount(b)
	if !ok {
		return cgroups{}, fmt.Errorf("find cgroup v2: it is not mounted: %w", ErrUnsupported)
	}
	return cgroups{mount}, nil
}

// cgroup2Mount finds the mount point of the cgroup2 file system in mountinfo; of
// several, the last that shows the hierarchy from its root, which hides what was
// mounted there before. Where all show a part of it, it is the last of those.
func cgroup2Mount(mountinfo []byte) (mount string, ok bool) {
	whole := false
	for line := range bytes.Lines(mountinfo) {
		before, after, found := strings.Cut(string(line), " - ")
		fields := strings.Fields(before)
		if !found || len(fields) < 5 || !strings.HasPrefix(after, "cgroup2 ") {
			continue
		}
		if root := fields[3] == "/"; root || !whole {
			mount, ok, whole = unescape(fields[4]), true, root
		}
	}
	return mount, ok
}

// unescape undoes the octal escapes with which mountinfo writes blanks.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// ownCgroup finds the v2 cgroup in a process's cgroup file.
func ownCgroup(procCgroup []byte) string {
	for line := range bytes.Lines(procCgroup) {
		if path, ok := strings.CutPrefix(string(line), "0::/"); ok {
			return strings.TrimSuffix(path, "\n")
		}
	}
	return ""
}

// own is this process's cgroup.
func (c cgroups) own() string { return cgroupOf("self") }

// cgroupOf is the v2 cgroup of a process, by its name in /proc.
func cgroupOf(process string) string {
	b, _ := os.ReadFile(filepath.Join("/proc", process, "cgroup"))
	return ownCgroup(b)
}

func (c cgroups) path(cgroup string, file ...string) string {
	return filepath.Join(append([]string{c.mount, filepath.Join("/", cgroup)}, file...)...)
}

// check refuses cgroups that must never be killed: the root, and whatever
// holds the agent or process 1, without which the host is no more.
func (c cgroups) check(cgroup string) error { return touchable(cgroup, c.own(), cgroupOf("1")) }

// touchable refuses a cgroup that holds the one of the agent, or of process 1.
func touchable(cgroup, agent, first string) error {
	clean := strings.Trim(filepath.Join("/", cgroup), "/")
	holds := func(inner string) bool { return inner == clean || strings.HasPrefix(inner, clean+"/") }
	switch {
	case clean == "":
		return errors.New("the root cgroup is no workload")
	case holds(agent):
		return fmt.Errorf("cgroup %s holds the agent itself", clean)
	case holds(first):
		return fmt.Errorf("cgroup %s holds process 1, which keeps the host alive", clean)
	}
	return nil
}

// id is the number by which programs in the kernel know a cgroup.
func (c cgroups) id(cgroup string) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Stat(c.path(cgroup), &st); err != nil {
		return 0, fmt.Errorf("find cgroup %s: %w", cgroup, err)
	}
	return st.Ino, nil
}

// ids are those of the cgroups that exist.
func (c cgroups) ids(groups []string) []uint64 {
	var ids []uint64
	for _, cgroup := range groups {
		if id, err := c.id(cgroup); err == nil {
			ids = append(ids, id)
		}
	}
	return ids
}

// populated tells whether a live process is in the cgroup or below it. A
// cgroup that doesn't exist is empty.
func (c cgroups) populated(cgroup string) (bool, error) {
	b, err := os.ReadFile(c.path(cgroup, "cgroup.events"))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
		return false, nil
	}
	return populated(b), wrap(err, "read cgroup %s", cgroup)
}

// populated reads the content of a cgroup.events file.
func populated(events []byte) bool {
	for line := range bytes.Lines(events) {
		if value, ok := strings.CutPrefix(string(line), "populated "); ok {
			return strings.TrimSpace(value) != "0"
		}
	}
	return false
}

// pids lists the processes of a cgroup and of those below it.
func (c cgroups) pids(cgroup string) ([]int, error) {
	var all []int
	err := c.walk(cgroup, func(dir string) error {
		b, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		all = append(all, parsePids(b)...)
		return err
	})
	return all, wrap(err, "list processes of cgroup %s", cgroup)
}

// parsePids reads numbers, one a line. Processes of other pid namespaces, which
// the kernel writes as 0, are left out.
func parsePids(b []byte) []int {
	var pids []int
	for line := range bytes.Lines(b) {
		if pid, err := strconv.Atoi(strings.TrimSpace(string(line))); err == nil && pid > 0 {
			pids = append(pids, pid)
		}
	}
	return pids
}

// walk visits a cgroup and those below it, parents first. What vanishes
// meanwhile is passed over.
func (c cgroups) walk(cgroup string, visit func(dir string) error) error {
	root := c.path(cgroup)
	// Whether there are some below is asked after the visit: who moves down
	// meanwhile is found there.
	if err := there(visit(root)); err != nil || c.leaf(cgroup) {
		return err
	}
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && path != root {
			err = visit(path)
		}
		return there(err)
	})
}

// leaf tells whether there is no cgroup below one: its folder has a link for each,
// beside its own two. Most have none, and fifty files that need not be listed.
func (c cgroups) leaf(cgroup string) bool {
	var st unix.Stat_t
	return unix.Stat(c.path(cgroup), &st) == nil && st.Nlink == 2
}

// there passes over what has vanished.
func there(err error) error {
	if vanished(err) {
		return nil
	}
	return err
}

// kill sends SIGKILL to everything in the cgroup and below, forks in flight
// included. The cgroup is then unfit for new children: see renew.
func (c cgroups) kill(cgroup string) error {
	_, err := c.killThere(cgroup)
	return err
}

// killThere kills, and tells whether there was a cgroup to kill.
func (c cgroups) killThere(cgroup string) (there bool, err error) {
	if err := c.check(cgroup); err != nil {
		return false, err
	}
	f, err := c.openKill(cgroup)
	if f == nil {
		return false, err
	}
	defer f.Close()
	_, err = f.WriteString("1")
	return true, wrap(err, "kill cgroup %s", cgroup)
}

// openKill opens the file that kills; nil where there is no cgroup, since
// nothing runs there.
func (c cgroups) openKill(cgroup string) (*os.File, error) {
	f, err := os.OpenFile(c.path(cgroup, "cgroup.kill"), os.O_WRONLY, 0)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return f, wrap(err, "kill cgroup %s", cgroup)
	}
	if c.exists(cgroup) {
		return nil, fmt.Errorf("kill cgroup %s: no cgroup.kill (Linux 5.14): %w", cgroup, ErrUnsupported)
	}
	return nil, nil
}

func (c cgroups) exists(cgroup string) bool {
	_, err := os.Stat(c.path(cgroup))
	return err == nil
}

// renew makes an empty cgroup anew. After cgroup.kill the kernel kills every
// child that is born into a cgroup, for good; a new folder of the same name is
// sound.
func (c cgroups) renew(cgroup string) error {
	if err := c.check(cgroup); err != nil {
		return err
	}
	if err := c.remove(cgroup); err != nil {
		return err
	}
	return wrap(os.MkdirAll(c.path(cgroup), 0o755), "make cgroup")
}

// remove removes a cgroup and those below it. It fails when one has processes.
func (c cgroups) remove(cgroup string) error {
	var dirs []string
	err := c.walk(cgroup, func(dir string) error {
		dirs = append(dirs, dir)
		return nil
	})
	for i := len(dirs) - 1; i >= 0 && err == nil; i-- {
		if err = unix.Rmdir(dirs[i]); errors.Is(err, unix.ENOENT) {
			err = nil
		}
	}
	return wrap(err, "remove cgroup %s", cgroup)
}

// CgroupMount is where the cgroup v2 hierarchy is mounted.
func CgroupMount() (string, error) {
	c, err := openCgroups()
	return c.mount, err
}
