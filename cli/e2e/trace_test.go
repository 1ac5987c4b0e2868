package e2e

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"squall/agent/host"
)

// machine is what a lab could change of the machine itself, a line each: links
// and qdiscs of its own network namespace, and names of other namespaces.
func machine(t *testing.T) []string {
	t.Helper()
	links, err := netlink.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, l := range links {
		all = append(all, fmt.Sprintf("link %s %s", l.Type(), l.Attrs().Name))
		qdiscs, err := netlink.QdiscList(l)
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range qdiscs {
			all = append(all, fmt.Sprintf("qdisc %s %s", l.Attrs().Name, q.Type()))
		}
	}
	named, _ := filepath.Glob("/run/netns/*")
	all = append(all, named...)
	slices.Sort(all)
	return all
}

// checkNoTrace fails the test for anything of a folder's labs that is left.
func checkNoTrace(t *testing.T, dir string, before []string) {
	t.Helper()
	if diff := cmp.Diff(before, machine(t)); diff != "" {
		t.Errorf("the machine changed (-before +after):\n%s", diff)
	}
	if left := traces(t, dir); len(left) > 0 {
		t.Errorf("it is left:\n%s", strings.Join(left, "\n"))
	}
}

// traces are what labs in a folder are made of: processes with their
// namespaces, cgroups, mounts and folders.
func traces(t *testing.T, dir string) []string {
	t.Helper()
	var found []string
	for _, p := range processes(t) {
		if p.names(dir) {
			found = append(found, fmt.Sprintf("process %d %v", p.pid, p.args))
		}
	}
	for _, group := range cgroupsOf(t, dir) {
		found = append(found, "cgroup "+group)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, dir) {
			found = append(found, "mount "+line)
		}
	}
	folders, _ := filepath.Glob(filepath.Join(dir, "squall-lab-*"))
	return append(found, folders...)
}

// cgroupsOf are the cgroups of a folder's labs, which carry a digest of their path.
func cgroupsOf(t *testing.T, dir string) []string {
	t.Helper()
	mount, err := host.CgroupMount()
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, name := range []string{"lab", "etcd", "patroni"} {
		sum := sha256.Sum256([]byte(filepath.Join(dir, "squall-lab-"+name)))
		groups, _ := filepath.Glob(filepath.Join(mount, fmt.Sprintf("squall-lab-%s-%x", name, sum[:4])))
		found = append(found, groups...)
	}
	return found
}

// process is one of this machine's.
type process struct {
	pid    int
	args   []string
	cgroup string
}

// processes are all that live, of whatever namespace.
func processes(t *testing.T) []process {
	t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	var all []process
	for _, dir := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		line, err := os.ReadFile(dir + "/cmdline")
		if err != nil || len(line) == 0 {
			continue // it has just ended
		}
		group, _ := os.ReadFile(dir + "/cgroup")
		all = append(all, process{pid, strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00"), string(group)})
	}
	return all
}

// names says that a process has the text on its command line.
func (p process) names(text string) bool {
	return slices.ContainsFunc(p.args, func(arg string) bool { return strings.Contains(arg, text) })
}

// plays says that a process is `squall` in one of the roles.
func (p process) plays(roles ...string) bool {
	return len(p.args) > 1 && slices.Contains(roles, p.args[1])
}
