package sweep

import (
	"bytes"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"

	"squall/agent/host"
)

// process is one process of this machine.
type process struct {
	pid          int
	state, netns string
	// lane is the folder of the agent that it belongs to; empty for others. A
	// process's namespace is that of its first thread, which may be elsewhere.
	lane string
	// part is what the process plays in an agent; empty for others.
	part string
	args string
}

func processes() []process {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	var all []process
	for _, d := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(d))
		stat, err := os.ReadFile(d + "/stat")
		line, _ := os.ReadFile(d + "/cmdline")
		if err != nil {
			continue
		}
		netns, _ := os.Readlink(d + "/ns/net")
		args := strings.Split(strings.TrimRight(string(line), "\x00"), "\x00")
		_, after, _ := strings.Cut(string(stat), ") ")
		p := process{pid: pid, state: after[:1], netns: netns, args: strings.Join(args, " ")}
		if p.lane = laneOf(d); p.lane != "" && len(args) > 1 {
			p.part = parts[args[1]]
		}
		all = append(all, p)
	}
	return all
}

// laneEnv is in the environment of an agent's processes and of their helpers.
const laneEnv = "SQUALL_SWEEP_LANE"

func laneOf(proc string) string {
	env, _ := os.ReadFile(proc + "/environ")
	for _, v := range strings.Split(string(env), "\x00") {
		if dir, ok := strings.CutPrefix(v, laneEnv+"="); ok {
			return dir
		}
	}
	return ""
}

// threads says whether any thread of a process still lives.
func threads(pid int) bool {
	stats, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	return slices.ContainsFunc(stats, func(path string) bool {
		stat, err := os.ReadFile(path)
		_, after, found := strings.Cut(string(stat), ") ")
		return err == nil && found && after[0] != 'Z' && after[0] != 'X'
	})
}

var parts = map[string]string{"agent": "supervisor", "agent-worker": "worker", "helper": "helper"}

// netns names the lane's namespace.
func (l *lane) netns() string {
	name, _ := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", l.pair.A.File().Fd()))
	return name
}

// snapshot is everything on the lane's host that a fault might have changed,
// a line each.
func (l *lane) snapshot() []string {
	var all []string
	err := l.pair.A.Do(func() error {
		all = append(all, network()...)
		all = append(all, sysctls()...)
		return nil
	})
	if err != nil {
		l.t.Fatal(err)
	}
	all = append(all, l.cgroups()...)
	all = append(all, l.living()...)
	all = append(all, mounts()...)
	all = append(all, l.files()...)
	slices.Sort(all)
	return all
}

// network is links, qdiscs, filters, programs and rules of this namespace.
func network() []string {
	var all []string
	links, _ := netlink.LinkList()
	for _, l := range links {
		a := l.Attrs()
		all = append(all, fmt.Sprintf("link %s %s mtu %d up %v", a.Name, l.Type(), a.MTU, a.Flags&net.FlagUp != 0))
		qdiscs, _ := netlink.QdiscList(l)
		for _, q := range qdiscs {
			all = append(all, fmt.Sprintf("qdisc %s %s", a.Name, q))
		}
		for _, parent := range []uint32{netlink.HANDLE_MIN_INGRESS, netlink.HANDLE_MIN_EGRESS} {
			filters, _ := netlink.FilterList(l, parent)
			for _, f := range filters {
				all = append(all, fmt.Sprintf("filter %s %s", a.Name, f))
			}
		}
		all = append(all, programs(a.Name, a.Index)...)
	}
	if out, err := exec.Command("nft", "list", "ruleset").Output(); err == nil {
		all = append(all, "nft "+string(out))
	}
	return all
}

func programs(name string, index int) []string {
	var all []string
	for _, where := range []ebpf.AttachType{ebpf.AttachTCXIngress, ebpf.AttachTCXEgress} {
		result, err := link.QueryPrograms(link.QueryOptions{Target: index, Attach: where})
		if err != nil {
			continue
		}
		for _, p := range result.Programs {
			all = append(all, fmt.Sprintf("program %d on %s %s", p.ID, name, where))
		}
	}
	return all
}

// attached counts the programs on the lane's links.
func (l *lane) attached() int {
	n := 0
	_ = l.pair.A.Do(func() error {
		for _, line := range network() {
			if strings.HasPrefix(line, "program ") {
				n++
			}
		}
		return nil
	})
	return n
}

// volatile sysctls change by themselves.
var volatile = []string{"nf_conntrack_count", "ipfrag", "/neigh/", "/route/flush", "stat_refresh", "random"}

func sysctls() []string {
	var all []string
	_ = filepath.WalkDir("/proc/sys/net", func(path string, d fs.DirEntry, _ error) error {
		if d == nil || d.IsDir() || slices.ContainsFunc(volatile, func(v string) bool { return strings.Contains(path, v) }) {
			return nil
		}
		if b, err := os.ReadFile(path); err == nil {
			all = append(all, "sysctl "+path+" "+string(bytes.TrimSpace(b)))
		}
		return nil
	})
	return all
}

// cgroups is the lane's tree with how many live in each.
func (l *lane) cgroups() []string {
	mount, err := host.CgroupMount()
	if err != nil {
		l.t.Fatal(err)
	}
	var all []string
	_ = filepath.WalkDir(filepath.Join(mount, l.cgroup), func(path string, d fs.DirEntry, _ error) error {
		if d == nil || !d.IsDir() {
			return nil
		}
		procs, _ := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		frozen, _ := os.ReadFile(filepath.Join(path, "cgroup.freeze"))
		all = append(all, fmt.Sprintf("cgroup %s lives %d frozen %s", strings.TrimPrefix(path, mount),
			len(bytes.Fields(procs)), bytes.TrimSpace(frozen)))
		for _, pid := range bytes.Fields(procs) {
			line, _ := os.ReadFile("/proc/" + string(pid) + "/cmdline")
			all = append(all, fmt.Sprintf("workload %s in %s", bytes.ReplaceAll(line, []byte{0}, []byte{' '}), path))
		}
		return nil
	})
	return all
}

// living is what runs in the lane's namespace, without its numbers.
func (l *lane) living() []string {
	var all []string
	here := l.netns()
	for _, p := range processes() {
		if (p.netns == here || p.lane == l.dir) && p.state != "Z" {
			all = append(all, "process "+liveliness(p.state)+" "+p.args)
		}
	}
	return all
}

// liveliness tells a stopped or traced process from one that goes on, which may
// be at work at this instant, asleep, or at the disk.
func liveliness(state string) string {
	if strings.Contains("RSDI", state) {
		return "alive"
	}
	return state
}

// mounts leaves out what other tests on this machine mount.
func mounts() []string {
	b, _ := os.ReadFile("/proc/self/mountinfo")
	var all []string
	for _, line := range strings.Split(string(b), "\n") {
		if strings.Contains(line, "squall") {
			all = append(all, "mount "+line)
		}
	}
	return all
}

// files is the lane's folder without the journal, the log and the socket.
func (l *lane) files() []string {
	var all []string
	_ = filepath.WalkDir(l.dir, func(path string, d fs.DirEntry, _ error) error {
		rel, _ := filepath.Rel(l.dir, path)
		first, _, _ := strings.Cut(rel, "/")
		if d != nil && !slices.Contains([]string{"state", "log", "sock", "stopped", "stopped.go", "points"}, first) {
			all = append(all, "file "+rel)
		}
		return nil
	})
	resolv, _ := os.ReadFile("/etc/resolv.conf")
	return append(all, "resolv.conf "+string(resolv))
}

// diff is what has come and what has gone.
func diff(before, after []string) []string {
	var found []string
	counts := map[string]int{}
	for _, line := range after {
		counts[line]++
	}
	for _, line := range before {
		counts[line]--
	}
	for line, n := range counts {
		switch {
		case n > 0:
			found = append(found, "+ "+line)
		case n < 0:
			found = append(found, "- "+line)
		}
	}
	slices.Sort(found)
	return found
}
