package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"golang.org/x/sys/unix"

	"squall/agent/target"
)

// machine is what targets are resolved from.
type machine struct{ cgroups }

var _ target.System = machine{}

// Unit implements target.System.
func (machine) Unit(ctx context.Context, name string) (string, error) {
	return systemctl(ctx, "show", "--property="+strings.Join(target.UnitProperties, ","), "--", name)
}

// Cgroup implements target.System.
func (m machine) Cgroup(cgroup string) (id uint64, populated bool, err error) {
	id, err = m.id(cgroup)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, false, nil
	}
	if err == nil {
		populated, err = m.populated(cgroup)
	}
	return id, populated, err
}

// Processes implements target.System.
func (m machine) Processes(cgroup string) ([]target.Process, error) {
	pids, err := m.pids(cgroup)
	var all []target.Process
	for _, pid := range pids {
		all = append(all, identify(pid))
	}
	return all, err
}

// Ports implements target.System.
func (machine) Ports(pids []int) []uint32 { return listening(pids) }

// Own implements target.System.
func (machine) Own() (net, mount uint64) {
	// A thread of ours may be in a namespace of its own, and asks for itself.
	return inode("/proc/thread-self/ns/net"), inode("/proc/thread-self/ns/mnt")
}

// identify reads what tells a process from others.
func identify(pid int) target.Process {
	s, _ := processOf(pid)
	return target.Process{
		Pid: pid, Started: s.started,
		Net: inode(fmt.Sprintf("/proc/%d/ns/net", pid)), Mount: inode(fmt.Sprintf("/proc/%d/ns/mnt", pid)),
	}
}

// inode is a file's number; 0 where there is none.
func inode(path string) uint64 {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return 0
	}
	return st.Ino
}
