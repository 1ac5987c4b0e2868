package e2e

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"squall/agent/host"
	"squall/agent/host/hosttest"
)

// deployPackages is where `make packages` has put the package. Its tools are no
// part of `make test`, and so neither is what needs it.
var deployPackages = flag.String("deploy.packages", "", "folder of the package to deploy")

const deployPage = "docs/deploy.md"

// machines are those of the page: each boots a systemd of its own, in namespaces,
// on a copy of this machine's root.
type machines struct {
	*desk
	cgroup string // its machines' cgroups are below, by address
	init   int    // process 1 of their pid namespace, whose network is the reader's
}

// pageMachines are the names and addresses in the page's table.
var pageMachines = []string{
	"s1=10.0.1.10", "s2=10.0.2.10", "s3=10.0.3.10", "web-a1=10.0.1.21", "web-b1=10.0.2.21", "web-c1=10.0.3.21",
}

func newMachines(t *testing.T) *machines {
	t.Helper()
	for program, pkg := range map[string]string{systemd: "systemd", "dpkg": "dpkg", "ip": "iproute2"} {
		hosttest.RequireProgram(t, program, pkg)
	}
	mount, err := host.CgroupMount()
	if err != nil {
		t.Fatal(err)
	}
	m := &machines{desk: newDesk(t), cgroup: filepath.Join(mount, hosttest.NewCgroup(t))}
	scripts, err := filepath.Abs("testdata/machines")
	if err != nil {
		t.Fatal(err)
	}
	disks := filepath.Join(m.dir, "disks")
	if err := os.Mkdir(disks, 0o755); err != nil {
		t.Fatal(err)
	}
	words := append([]string{"--net", "--mount", "--pid", "--fork", "--kill-child", "bash", filepath.Join(scripts, "region.sh"), disks, m.cgroup}, pageMachines...)
	region := m.startProgram(t, "unshare", words...)
	for _, name := range pageMachines {
		within(t, time.Minute, name+" has booted", func() bool { return m.booted(t, address(name)) })
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", region.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	if m.init, err = strconv.Atoi(strings.TrimSpace(string(children))); err != nil {
		t.Fatalf("the machines are not those of one process: %q", children)
	}
	return m
}

func address(machine string) string { _, at, _ := strings.Cut(machine, "="); return at }

// initOf is the process of a machine's systemd, as this machine sees it; 0 while
// there is none.
func (m *machines) initOf(t *testing.T, at string) int {
	t.Helper()
	text, _ := os.ReadFile(filepath.Join(m.cgroup, at, "init.scope", "cgroup.procs"))
	first, _, _ := strings.Cut(string(text), "\n")
	pid, _ := strconv.Atoi(first)
	return pid
}

// booted says that a machine has started all that it starts by itself.
func (m *machines) booted(t *testing.T, at string) bool {
	t.Helper()
	return m.initOf(t, at) != 0 && m.on(t, at, "systemctl is-active multi-user.target").code == 0
}

// on runs a command on a machine.
func (m *machines) on(t *testing.T, at, command string) result {
	t.Helper()
	return m.startProgram(t, "nsenter", "--target", strconv.Itoa(m.initOf(t, at)), "--all",
		"env", "-i", "HOME=/root", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "/bin/sh", "-c", command).end(t)
}

// page runs blocks of the page as its reader does, at a desk with ssh and scp.
func (m *machines) page(t *testing.T, blocks ...string) result {
	t.Helper()
	reader, err := filepath.Abs("testdata/machines/reader.sh")
	if err != nil {
		t.Fatal(err)
	}
	m.write(t, "page.sh", strings.Join(blocks, "\n"))
	c := m.command(t, "nsenter", "--target", strconv.Itoa(m.init), "--net", "/bin/bash", "-ec", ". "+reader+"; . ./page.sh")
	c.Env = append(c.Env, "CG="+m.cgroup, "USER=kim")
	r := c.run(t)
	if r.code != 0 {
		t.Fatalf("the page's commands did not end well: %v", r)
	}
	return r
}

// pageSections are the page's blocks of commands by the words of their headings.
func pageSections(t *testing.T) func(heading string) []string {
	t.Helper()
	text, err := os.ReadFile("../../" + deployPage)
	if err != nil {
		t.Fatal(err)
	}
	return func(heading string) (blocks []string) {
		_, rest, found := strings.Cut(string(text), "\n## "+heading+"\n")
		section, _, _ := strings.Cut(rest, "\n## ")
		for i, part := range strings.Split(section, "\n```") {
			if block, ok := strings.CutPrefix(part, "sh\n"); ok && i%2 == 1 {
				blocks = append(blocks, block)
			}
		}
		if !found || len(blocks) == 0 {
			t.Fatalf("%s has no commands under %q", deployPage, heading)
		}
		return blocks
	}
}

// files lists what is installed and set up on a machine, but for what dpkg and
// logs remember, and for what others change on this machine meanwhile.
func (m *machines) files(t *testing.T, at string) []string {
	t.Helper()
	r := m.on(t, at, `find / -xdev \( -path /work -o -path /root -o -path /home -o -path /var/lib/dpkg -o -path /var/lib/systemd -o -path /var/log -o -path /var/cache \) -prune -o -print | grep -v -E '^/etc/(passwd|group|g?shadow|sub[ug]id)-?$|^/etc/\.pwd\.lock$' | sort`)
	r.check(t, 0, "/etc/systemd/system/web.service")
	return strings.Split(r.stdout, "\n")
}

// TestDeploy follows the page as a new user would, from nothing to a drill that is
// scheduled, an upgrade, a lost server, and a removal that leaves nothing.
func TestDeploy(t *testing.T) {
	hosttest.RequireRoot(t)
	if *deployPackages == "" {
		t.Skip("it needs the package: make packages-check makes it, and runs this")
	}
	m, section := newMachines(t), pageSections(t)
	m.have(t)
	before := m.files(t, "10.0.1.21")
	for _, heading := range []string{"1. The package and the certificates", "2. The servers", "3. The hosts", "4. The first drill"} {
		began := time.Now()
		r := m.page(t, pageStart+strings.Join(section(heading), "\n"))
		t.Logf("%s: %v", heading, time.Since(began).Round(time.Second))
		switch {
		case strings.HasPrefix(heading, "3.") && (!r.says("cgroup.kill    ok") || r.says("missing")):
			t.Errorf("an agent with its unit's capabilities can't do all: %v", r)
		case strings.HasPrefix(heading, "4."):
			r.check(t, 0, "PASS", "RESIDUE  0", "10:00")
		}
	}
	t.Run("servers and agents go before others", m.goFirst)
	t.Run("a host that lost its power is undone as it boots", m.powerCut)
	follow := func(heading string) {
		began := time.Now()
		m.page(t, pageStart+strings.Join(section(heading), "\n"))
		t.Logf("%s: %v", heading, time.Since(began).Round(time.Second))
	}
	follow("Upgrade")
	follow("A server that is lost")
	t.Run("a removal that is refused leaves what ran", m.refusedRemoval)
	follow("Removal")
	if diff := cmp.Diff(before, m.files(t, "10.0.1.21")); diff != "" {
		t.Errorf("a host isn't as it was before (-before +after):\n%s", diff)
	}
	m.on(t, "10.0.1.21", "pgrep squall || systemctl --no-legend --plain list-units --all 'squall*' | grep .").check(t, 1)
	m.on(t, "10.0.1.21", "getent passwd squall").check(t, 0, "Squall control server")
}

// pageStart is what holds for each of the page's blocks.
const pageStart = "export PATH=$PWD/bin:$PATH\n"

// have puts what `make build packages` makes where the page looks for it.
func (m *machines) have(t *testing.T) {
	t.Helper()
	built, err := filepath.Abs(*deployPackages)
	if err != nil {
		t.Fatal(err)
	}
	squall, err := exec.LookPath("squall")
	if err != nil {
		t.Fatal(err)
	}
	m.startProgram(t, "/bin/sh", "-ec", "mkdir bin && ln -s "+squall+" bin/squall && ln -s "+built+" bin/packages").end(t).check(t, 0)
}

// goFirst looks at what systemd gives to a server, and to an agent.
func (m *machines) goFirst(t *testing.T) {
	m.on(t, "10.0.1.10", "systemctl show --property=CPUWeight squall-server && ps -o ni= -p $(systemctl show --property=MainPID --value squall-server)").check(t, 0, "CPUWeight=500", "-5")
	m.on(t, "10.0.1.21", "systemctl show --property=Slice squall-agent && systemctl show --property=CPUWeight squall.slice").check(t, 0, "Slice=squall.slice", "CPUWeight=1000")
}

// refusedRemoval removes the package where the undo says that something is left.
func (m *machines) refusedRemoval(t *testing.T) {
	const leftover = "#!/bin/sh\n[ \"$1 $2\" != \"agent undo\" ] || exit 20\nexec /usr/bin/squall.real \"$@\"\n"
	for at, unit := range map[string]string{"10.0.1.10": "squall-server", "10.0.1.21": "squall-agent"} {
		m.on(t, at, "mv /usr/bin/squall /usr/bin/squall.real && printf '"+leftover+"' >/usr/bin/squall && chmod 755 /usr/bin/squall").check(t, 0)
		m.on(t, at, "dpkg --remove squall").check(t, 1, "the package stays")
		m.on(t, at, "systemctl is-active "+unit+" && mv /usr/bin/squall.real /usr/bin/squall").check(t, 0)
	}
}

// powerCut takes a host's power while it holds a fault.
func (m *machines) powerCut(t *testing.T) {
	const at = "10.0.3.21"
	m.page(t, pageStart+`squall inject power.off --host web-c1 --workload web --for 5m --detach`)
	m.on(t, at, "systemctl is-active web.service").check(t, 3)
	was := m.initOf(t, at)
	signal(t, syscall.SIGKILL, was)
	within(t, time.Minute, "it boots, and its workload runs", func() bool {
		now := m.initOf(t, at)
		return now != was && m.booted(t, at) && m.on(t, at, "systemctl is-active web.service && systemctl is-active squall-agent.service").code == 0
	})
	m.on(t, at, "systemctl show --property=ActiveState,Result,ExecMainStatus squall-undo.service").check(t, 0, "ActiveState=active", "Result=success", "ExecMainStatus=0")
	within(t, time.Minute, "its agent has told that the reboot ended the fault", func() bool {
		return m.page(t, pageStart+"squall logs $(squall get runs -o name | tail -1)").says("(reboot)")
	})
	m.page(t, pageStart+"squall status").check(t, 0, "RESIDUE   0", "3 of 3 connected")
}
