package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"squall/agent/host"
	"squall/agent/host/hosttest"
	pb "squall/proto/squall/v1"
)

// alone is one host without any server: an agent in a network namespace and a
// cgroup of its own, with two workloads, of which one has no way back.
type alone struct {
	*desk
	net    *hosttest.Pair
	cgroup string
	agent  *command
}

const aloneConfig = `name: alone
zone: zone-a
workloads:
  - { name: web, start: [/bin/sleep, "100000"] }
  - { name: batch, cgroup: squall-no-such-cgroup }
`

func newAlone(t *testing.T) *alone {
	t.Helper()
	hosttest.RequireRoot(t)
	a := &alone{desk: newDesk(t), net: hosttest.NewPair(t), cgroup: hosttest.NewCgroup(t)}
	a.write(t, "host.yaml", aloneConfig)
	if err := os.Mkdir(filepath.Join(a.dir, "state"), 0o700); err != nil {
		t.Fatal(err)
	}
	err := a.net.A.Do(func() error {
		return host.Start(t.Context(), a.cgroup, &pb.Workload{Name: "web", Start: []string{"/bin/sleep", "100000"}})
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// begin starts the agent in a mount namespace of its own, after a command there.
func (a *alone) begin(t *testing.T, before string) {
	t.Helper()
	script := before + `exec squall agent --standalone --config host.yaml --state state --socket sock --cgroup ` + a.cgroup
	err := a.net.A.Do(func() error {
		a.agent = a.startProgram(t, "unshare", "--mount", "/bin/sh", "-c", script)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	within(t, 30*time.Second, "the agent answers", func() bool { return a.local(t, "status", "--local").code == 0 })
}

// stop kills both of the agent's processes.
func (a *alone) stop(t *testing.T) {
	t.Helper()
	for _, p := range processes(t) {
		if p.plays("agent", "agent-worker") && slices.Contains(p.args, a.cgroup) {
			signal(t, syscall.SIGKILL, p.pid)
		}
	}
	a.agent.end(t)
	within(t, 10*time.Second, "the agent is dead", func() bool {
		return !slices.ContainsFunc(processes(t), func(p process) bool {
			return p.plays("agent", "agent-worker") && slices.Contains(p.args, a.cgroup)
		})
	})
}

// file is a path as the agent sees it, in its own mounts.
func (a *alone) file(path string) string {
	return filepath.Join("/proc", strconv.Itoa(a.agent.Process.Pid), "root", a.dir, path)
}

// webLives says that the workload has a process.
func (a *alone) webLives(t *testing.T) bool {
	t.Helper()
	return slices.ContainsFunc(processes(t), func(p process) bool {
		return len(p.args) == 2 && p.args[1] == "100000" && strings.Contains(p.cgroup, a.cgroup)
	})
}

func TestAHostAloneRefusesWell(t *testing.T) {
	a := newAlone(t)
	a.begin(t, "mount -t tmpfs none /dev/net && ")
	t.Run("a workload without a way back", func(t *testing.T) {
		a.local(t, "inject", "power.off", "--local", "--for", "5s").check(t, 4, "workload batch", "has no way back", "start")
	})
	t.Run("a fault for which the kernel lacks a piece", func(t *testing.T) {
		a.local(t, "doctor").check(t, 0, "/dev/net/tun")
		a.local(t, "inject", "net.delay", "--local", "--delay", "40ms", "--for", "5s").check(t, 4, "can't do", "/dev/net/tun")
	})
	t.Run("a local halt, until a local resume", func(t *testing.T) {
		a.local(t, "halt", "--local", "--reason", "enough").check(t, 0)
		a.local(t, "inject", "dns.fail", "--local", "--for", "5s").check(t, 4, "this host is halted", "enough", "squall resume --local")
		a.local(t, "resume", "--local").check(t, 0)
	})
	a.stop(t)
}

func TestAFullDiskTakesNoFaultAndUndoesAll(t *testing.T) {
	a := newAlone(t)
	a.begin(t, "mount -t tmpfs -o size=12m none state && ")
	a.local(t, "inject", "power.off", "--local", "--workload", "web", "--for", "5m", "--detach").check(t, 0)
	within(t, 10*time.Second, "the workload is dead", func() bool { return !a.webLives(t) })
	filler, err := os.Create(a.file("state/filler"))
	if err != nil {
		t.Fatal(err)
	}
	defer filler.Close()
	for err == nil {
		_, err = filler.Write(make([]byte, 4096))
	}
	a.local(t, "inject", "dns.fail", "--local", "--for", "5s").check(t, 4, "no space left on device")
	a.local(t, "undo", "--local", "--all").check(t, 0, "reverted")
	within(t, 10*time.Second, "the workload is back", func() bool { return a.webLives(t) })
	a.local(t, "status", "--local").check(t, 0)
	a.stop(t)
}

func TestACorruptedJournalIsUndoneAndSaid(t *testing.T) {
	a := newAlone(t)
	a.begin(t, "")
	a.local(t, "inject", "power.off", "--local", "--workload", "web", "--for", "5m", "--detach").check(t, 0)
	a.local(t, "inject", "dns.fail", "--local", "--for", "5m", "--detach").check(t, 0)
	within(t, 10*time.Second, "the workload is dead", func() bool { return !a.webLives(t) })
	a.stop(t)
	a.corrupt(t)
	a.begin(t, "")
	within(t, 20*time.Second, "the workload is back", func() bool { return a.webLives(t) })
	a.local(t, "status", "--local").check(t, 0)
	a.stop(t)
	if said := a.agent.err.String(); !strings.Contains(said, "damage") {
		t.Errorf("it does not say that its journal was damaged:\n%s", said)
	}
}

// corrupt flips bytes of the newest record, which is behind all that the
// journal needs to know of the workload.
func (a *alone) corrupt(t *testing.T) {
	t.Helper()
	journals, err := filepath.Glob(filepath.Join(a.dir, "state", "journal", "journal.?"))
	if err != nil || len(journals) != 2 {
		t.Fatalf("the journal is %v, %v", journals, err)
	}
	for _, path := range journals {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		end := len(bytes.TrimRight(data, "\x00"))
		if end < 200 {
			continue // it is not in use
		}
		for i := end - 60; i < end-40; i++ {
			data[i] ^= 0xff
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
