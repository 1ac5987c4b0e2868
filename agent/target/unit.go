package target

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// UnitProperties are what Unit reads of a systemd unit, as `systemctl show` names them.
var UnitProperties = []string{
	"Id", "LoadState", "ActiveState", "ControlGroup", "Slice",
	"ExecMainStartTimestampMonotonic", "ActiveEnterTimestampMonotonic",
}

// Unit is a systemd unit as systemd describes it.
type Unit struct {
	// Cgroup is where its processes live, or will when it is started; relative to
	// the v2 mount.
	Cgroup string
	// Coming says that systemd is about to run it: it is starting, or waits between
	// two automatic restarts.
	Coming bool
	// Ran says that it was started at some time since boot.
	Ran bool
}

// ParseUnit reads what `systemctl show` prints of one unit: UnitProperties, a
// line each. It fails where systemd doesn't know the unit, or knows several.
func ParseUnit(shown string) (Unit, error) {
	is := map[string]string{}
	for line := range strings.Lines(shown) {
		name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		if !ok || !slices.Contains(UnitProperties, name) {
			continue
		}
		if _, twice := is[name]; twice {
			return Unit{}, errors.New("systemd knows several units of that name: name one")
		}
		is[name] = value
	}
	u := Unit{
		Coming: is["ActiveState"] == "activating",
		Ran:    began(is["ExecMainStartTimestampMonotonic"]) || began(is["ActiveEnterTimestampMonotonic"]),
	}
	var err error
	u.Cgroup, err = cgroupOf(is)
	return u, err
}

// began tells whether a time of systemd's is set.
func began(timestamp string) bool { return timestamp != "" && timestamp != "0" }

// cgroupOf is the cgroup that a unit has, or else the one that it will get: of
// its own name, in its slice.
func cgroupOf(is map[string]string) (string, error) {
	if has := is["ControlGroup"]; has != "" {
		return relative(has)
	}
	if is["LoadState"] != "loaded" {
		return "", fmt.Errorf("systemd has it as %q, not as loaded", is["LoadState"])
	}
	if is["Slice"] == "" || is["Id"] == "" || strings.Contains(is["Id"], "/") {
		return "", errors.New("systemd names neither its cgroup nor its slice")
	}
	folder, err := sliceFolder(is["Slice"])
	return path.Join(folder, escaped(is["Id"])), err
}

// relative is a path of systemd's, below the v2 mount.
func relative(cgroup string) (string, error) {
	below := strings.TrimPrefix(cgroup, "/")
	if below == "" || path.Join("/", below) != cgroup {
		return "", fmt.Errorf("systemd names %q as its cgroup, which is no path below the root", cgroup)
	}
	return below, nil
}

// sliceFolder is the cgroup of a slice: a-b.slice is below a.slice.
func sliceFolder(slice string) (string, error) {
	name, ok := strings.CutSuffix(slice, ".slice")
	if name == "-" && ok {
		return "", nil
	}
	folder, whole := "", ""
	for i, part := range strings.Split(name, "-") {
		if !ok || part == "" || strings.Contains(part, "/") {
			return "", fmt.Errorf("systemd names %q as its slice, which is none", slice)
		}
		if i > 0 {
			whole += "-"
		}
		whole += part
		folder = path.Join(folder, whole+".slice")
	}
	return folder, nil
}

// controllers have files NAME.* in cgroups, so that no unit may begin like one.
var controllers = []string{
	"cgroup", "cpu", "cpuacct", "cpuset", "io", "blkio", "memory", "devices", "pids", "hugetlb", "rdma", "misc", "dmem",
}

// escaped is a unit's name as systemd writes it into the cgroup file system.
func escaped(unit string) string {
	prefix, _, _ := strings.Cut(unit, ".")
	if strings.HasPrefix(unit, "_") || prefix == "" || slices.Contains(controllers, prefix) {
		return "_" + unit
	}
	return unit
}
