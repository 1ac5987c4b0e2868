package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// volatile are the folders that each host has for itself, in memory. A power
// cut empties them.
var volatile = map[string]os.FileMode{"/dev/shm": 0o777 | fs.ModeSticky, "/run": 0o755, "/tmp": 0o777 | fs.ModeSticky}

// hostMounts shows the host its own processes, network, cgroups and memory, its
// own names and resolver settings, and of the lab's folder what is its own.
func hostMounts(folder Folder, p *place) error {
	if err := ownMounts(); err != nil {
		return err
	}
	const plain = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if err := unix.Mount("sysfs", "/sys", "sysfs", plain, ""); err != nil {
		return fmt.Errorf("mount /sys: %w", err)
	}
	if err := unix.Mount("cgroup2", "/sys/fs/cgroup", "cgroup2", plain, ""); err != nil {
		return fmt.Errorf("mount cgroup2: %w", err)
	}
	// What the host is to see of other places is picked up before they are covered.
	seen, err := pickUp(p.visible(folder))
	if err != nil {
		return err
	}
	defer seen.close()
	for dir, mode := range volatile {
		if err := mountMemory(dir, mode); err != nil {
			return err
		}
	}
	// The lab's folder is root's alone, and a workload's own folder is not.
	if err := mountMemory(string(folder), 0o755); err != nil {
		return err
	}
	if err := seen.putDown(); err != nil {
		return err
	}
	for _, name := range []string{"hosts", "resolv.conf"} {
		if err := bindFile(filepath.Join(folder.Host(p.Host.Name), name), "/etc/"+name); err != nil {
			return err
		}
	}
	return nil
}

// visible are the paths of the machine that a host needs, and might not see.
func (p *place) visible(folder Folder) []string {
	name := p.Host.Name
	paths := []string{folder.Host(name), folder.Data(name), folder.Bundle("agent-" + name), p.Squall}
	if p.Host.IsServer() {
		paths = append(paths, folder.Bundle("server-"+name))
	}
	return paths
}

// mountMemory covers a folder, made if need be, with memory of this host's own.
func mountMemory(dir string, mode os.FileMode) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("mount memory on %s: %w", dir, err)
	}
	if err := unix.Mount("squall-lab", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, ""); err != nil {
		return fmt.Errorf("mount memory on %s: %w", dir, err)
	}
	return os.Chmod(dir, mode)
}

// pickedUp are places of the machine, by the paths at which they are put down.
type pickedUp map[string]int

// pickUp takes hold of places before something is mounted over them.
func pickUp(paths []string) (pickedUp, error) {
	picked := pickedUp{}
	for _, path := range paths {
		fd, err := unix.OpenTree(unix.AT_FDCWD, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
		if err != nil {
			picked.close()
			return nil, fmt.Errorf("show %s to the host: %w", path, err)
		}
		picked[path] = fd
	}
	return picked, nil
}

// putDown shows the places again, as they were.
func (p pickedUp) putDown() error {
	for path, fd := range p {
		if err := putDown(path, fd); err != nil {
			return fmt.Errorf("show %s to the host: %w", path, err)
		}
	}
	return nil
}

func putDown(path string, fd int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if err := makePlace(path, st.Mode&unix.S_IFMT == unix.S_IFDIR); err != nil {
		return err
	}
	return unix.MoveMount(fd, "", unix.AT_FDCWD, path, unix.MOVE_MOUNT_F_EMPTY_PATH)
}

// makePlace makes what something can be mounted on, unless it is there.
func makePlace(path string, dir bool) error {
	if dir {
		return os.MkdirAll(path, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY, 0o644)
	if err != nil {
		return err
	}
	return f.Close()
}

func (p pickedUp) close() {
	for _, fd := range p {
		unix.Close(fd)
	}
}

// bindFile shows from at the place of to. Where to is a link, as resolv.conf
// often is, the file that it leads to is covered, or made where it lay in memory.
func bindFile(from, to string) error {
	target, err := filepath.EvalSymlinks(to)
	if errors.Is(err, fs.ErrNotExist) {
		if target, err = os.Readlink(to); err == nil && !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(to), target)
		}
		if err == nil {
			err = makePlace(target, false)
		}
	}
	if err == nil {
		err = unix.Mount(from, target, "", unix.MS_BIND, "")
	}
	if err != nil {
		return fmt.Errorf("bind %s: %w", to, err)
	}
	return nil
}

// within reports whether a path lies in a folder.
func within(path, dir string) bool { return strings.HasPrefix(path+"/", dir+"/") }

// reachable names a folder on the way to path that nobody but root can pass on
// a host; empty is none. What lies in the host's own memory is made anew there.
func reachable(path string) (barred string) {
	for dir := filepath.Dir(path); dir != "/"; dir = filepath.Dir(dir) {
		for own := range volatile {
			if within(dir, own) {
				return ""
			}
		}
		if info, err := os.Stat(dir); err == nil && info.Mode().Perm()&0o001 == 0 {
			barred = dir
		}
	}
	return barred
}
