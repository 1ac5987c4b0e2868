package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"squall/agent/host"
	"squall/agent/host/hosttest"
)

// unitHost is a host whose init is a real systemd, in namespaces and a cgroup of
// its own. It keeps an agent and a workload running.
type unitHost struct {
	*desk
	cgroup string // the root of its hierarchy, as the machine sees it
	init   int    // systemd's process, as the machine sees it
}

const (
	systemd = "/lib/systemd/systemd"

	// bootUnits prepares the mounts of a host and becomes its init. The machine's
	// settings are read-only there, its kernel log and its console are elsewhere.
	bootUnits = `set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system
cp *.target *.service /run/systemd/system/
for dir in /etc/systemd/system /etc/systemd/system-generators /lib/systemd/system-generators; do
	[ ! -d $dir ] || mount -t tmpfs tmpfs $dir
done
umount -l /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t proc proc /proc
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
mount --bind /dev/null /dev/kmsg
mount --bind /dev/null /dev/console
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin \
	setpriv --bounding-set=-sys_time,-sys_boot,-sys_module \
	` + systemd + ` --system --unit=alone.target --log-target=console --show-status=no
`
	aloneTarget = "[Unit]\nDefaultDependencies=no\nWants=web.service agent.service\n"

	webUnit = "[Unit]\nDefaultDependencies=no\n[Service]\nExecStart=/bin/sleep 100000\nRestart=always\nRestartSec=100ms\n"

	agentUnit = "[Unit]\nDefaultDependencies=no\n[Service]\nRestart=always\nRestartSec=100ms\nWorkingDirectory=%s\n" +
		"ExecStart=%s agent --standalone --config host.yaml --state state --socket sock\n"

	unitConfig = "name: alone\nzone: zone-a\nworkloads:\n  - { name: web, unit: web.service }\n"
)

func newUnitHost(t *testing.T) *unitHost {
	t.Helper()
	hosttest.RequireProgram(t, systemd, "systemd")
	u := &unitHost{desk: newDesk(t)}
	net, cgroup := hosttest.NewPair(t), hosttest.NewCgroup(t)
	mount, err := host.CgroupMount()
	if err != nil {
		t.Fatal(err)
	}
	u.cgroup = filepath.Join(mount, cgroup)
	squall, err := exec.LookPath("squall")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"alone.target": aloneTarget, "web.service": webUnit, "host.yaml": unitConfig,
		"agent.service": fmt.Sprintf(agentUnit, u.dir, squall), "boot": bootUnits,
	} {
		u.write(t, name, text)
	}
	if err := os.Mkdir(filepath.Join(u.dir, "state"), 0o700); err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf("echo $$ >%s/cgroup.procs; exec unshare --mount --uts --ipc --pid --cgroup --fork --kill-child sh boot", u.cgroup)
	var boot *command
	if err := net.A.Do(func() error { boot = u.startProgram(t, "/bin/sh", "-c", script); return nil }); err != nil {
		t.Fatal(err)
	}
	within(t, 30*time.Second, "systemd has started both", func() bool {
		return len(u.web(t)) == 1 && u.local(t, "status", "--local").code == 0
	})
	for _, p := range processes(t) {
		if p.args[0] == systemd && strings.Contains(p.cgroup, cgroup) {
			u.init = p.pid
		}
	}
	if u.init == 0 {
		t.Fatalf("no systemd among the processes: %s%s", &boot.out, &boot.err)
	}
	return u
}

// web are the processes of the workload.
func (u *unitHost) web(t *testing.T) []int { t.Helper(); return u.pids(t, "web.service") }

// pids are the processes of a unit, none when it has no cgroup.
func (u *unitHost) pids(t *testing.T, unit string) []int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(u.cgroup, "system.slice", unit, "cgroup.procs"))
	if err != nil {
		return nil
	}
	var pids []int
	for _, word := range strings.Fields(string(text)) {
		pid, err := strconv.Atoi(word)
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return pids
}

// active is what systemd says of the workload.
func (u *unitHost) active(t *testing.T) string {
	t.Helper()
	out, _ := exec.CommandContext(t.Context(), "nsenter", "--target", strconv.Itoa(u.init), "--mount", "--pid",
		"systemctl", "is-active", "web.service").Output() // its exit code says the same
	return strings.TrimSpace(string(out))
}

// back waits until the unit runs again, as a process that is none of those before.
func (u *unitHost) back(t *testing.T, before []int) {
	t.Helper()
	within(t, 30*time.Second, "the unit is back", func() bool {
		now := u.web(t)
		return len(now) == 1 && !slices.Contains(before, now[0]) && u.active(t) == "active"
	})
}

// TestUnitsGoDownAndComeBack: systemd starts a unit anew that was killed. It must
// stay down all the same, and run again afterwards, though systemd has given up.
func TestUnitsGoDownAndComeBack(t *testing.T) {
	long(t)
	u := newUnitHost(t)
	t.Run("it is down until the end, whatever systemd does", func(t *testing.T) {
		before := u.web(t)
		r := u.local(t, "inject", "power.off", "--local", "--workload", "web", "--for", "3s")
		r.check(t, 0, "reverted (end)", "0 processes alive", "1 workloads killed", "nothing is left in the kernel")
		if !regexp.MustCompile(`seen: [1-9][0-9]* respawns caught`).MatchString(r.stdout) {
			t.Errorf("no respawn was caught: %v", r)
		}
		u.back(t, before)
	})
	t.Run("both agent processes are killed, and systemd brings the agent back", func(t *testing.T) {
		before := u.web(t)
		u.local(t, "inject", "power.off", "--local", "--workload", "web", "--for", "5m", "--detach").check(t, 0)
		within(t, 10*time.Second, "the unit is down", func() bool {
			return len(u.web(t)) == 0 && u.local(t, "status", "--local").says("held")
		})
		agents := u.pids(t, "agent.service")
		if len(agents) < 2 {
			t.Fatalf("agent processes: %v", agents)
		}
		signal(t, syscall.SIGKILL, agents...)
		u.back(t, before)
		within(t, 30*time.Second, "the agent answers", func() bool { return u.local(t, "status", "--local").code == 0 })
		if r := u.local(t, "status", "--local"); r.says("held") {
			t.Errorf("a step is held again: %v", r)
		}
	})
}
