package lab

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"squall/agent/host/hosttest"
	pb "squall/proto/squall/v1"
)

// TestMain plays the binary's roles: the lab starts its own file again.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 {
		var err error
		switch folder := Folder(os.Args[2]); os.Args[1] {
		case HolderCommand:
			err = Hold(context.Background(), folder)
		case RegionCommand:
			err = RunRegion(context.Background(), folder)
		case HostCommand:
			err = RunHost(context.Background(), folder, os.Args[3])
		case orphansCommand:
			err = takeOrphansIn()
		case "agent":
			time.Sleep(time.Hour) // there is nobody to talk to
		default:
			os.Exit(m.Run())
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// twoHosts is a lab of two zones without servers.
func twoHosts(start ...string) *pb.Lab {
	no := false
	zone := func(name, host string) *pb.LabZone {
		return &pb.LabZone{Name: name, Server: &no, Hosts: []*pb.LabHost{{
			Name: host, Role: []string{"web"}, Workloads: []*pb.Workload{{Name: "sleeper", Start: start}},
		}}}
	}
	return &pb.Lab{Version: 1, Name: "test", Zones: []*pb.LabZone{zone("zone-a", "web-a1"), zone("zone-b", "web-b1")}}
}

// labUp builds a lab in a temporary folder of this test's own.
func labUp(t *testing.T, file *pb.Lab) Folder {
	t.Helper()
	hosttest.RequireRoot(t)
	dir, err := os.MkdirTemp("", "sq") //nolint:usetesting // short: a socket's path has 108 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	t.Setenv("TMPDIR", dir)
	file.Name = fmt.Sprintf("test-%d", os.Getpid())
	folder, err := Up(t.Context(), file, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := Down(context.Background(), folder); err != nil {
			t.Error(err)
		}
	})
	return folder
}

// on runs a command on a host and gives its output.
func on(t *testing.T, folder Folder, host string, argv ...string) string {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	code, err := (&Command{Folder: folder, Host: host, Argv: argv, Stdout: out, Stderr: out}).Run(t.Context())
	text, readErr := os.ReadFile(out.Name())
	if err != nil || readErr != nil || code != 0 {
		t.Fatalf("%s on %s: code %d, %v %v\n%s", strings.Join(argv, " "), host, code, err, readErr, text)
	}
	return string(text)
}

func TestAHostSeesAMachineOfItsOwn(t *testing.T) {
	folder := labUp(t, twoHosts("/bin/sleep", "1000"))
	if got := strings.TrimSpace(on(t, folder, "web-a1", "/bin/hostname")); got != "web-a1" {
		t.Errorf("it is called %q", got)
	}
	if got := on(t, folder, "web-a1", "/bin/cat", "/etc/hosts", "/etc/resolv.conf"); !strings.Contains(got, "10.77.2.11 web-b1") || !strings.Contains(got, "timeout:1") {
		t.Errorf("its names are\n%s", got)
	}
	if got := on(t, folder, "web-a1", "/bin/cat", "/proc/self/cgroup"); !strings.Contains(got, "0::/exec\n") {
		t.Errorf("its cgroups are\n%s", got)
	}
	if got := on(t, folder, "web-a1", "/bin/ls", "/sys/fs/cgroup/squall.workloads"); !strings.Contains(got, "sleeper") {
		t.Errorf("its workloads are\n%s", got)
	}
	if got := on(t, folder, "web-a1", "/bin/ls", "/sys/class/net"); strings.Join(strings.Fields(got), " ") != "eth0 lo" {
		t.Errorf("its interfaces are %q", got)
	}
	code, err := (&Command{Folder: folder, Host: "web-a1", Argv: []string{"/bin/sh", "-c", "exit 7"}}).Run(t.Context())
	if err != nil || code != 7 {
		t.Errorf("a command that ends with 7 gave %d, %v", code, err)
	}
}

func TestHostsReachEachOtherOverARouter(t *testing.T) {
	hosttest.RequireProgram(t, "ping", "iputils-ping")
	hosttest.RequireProgram(t, "ip", "iproute2")
	folder := labUp(t, twoHosts("/bin/sleep", "1000"))
	for _, address := range []string{"10.77.2.11", "fd77:2::11"} {
		if got := on(t, folder, "web-a1", "ping", "-c1", "-W2", address); !strings.Contains(got, "ttl=63") {
			t.Errorf("%s is not one router away:\n%s", address, got)
		}
	}
	if got := on(t, folder, "web-a1", "ip", "neigh"); strings.Count(got, "PERMANENT") != 2 {
		t.Errorf("its router is not a permanent neighbour:\n%s", got)
	}
}

func TestDownLeavesNothing(t *testing.T) {
	links := machineLinks(t)
	folder := labUp(t, twoHosts("/bin/sleep", "1000"))
	if got := machineLinks(t); !slices.Equal(got, links) {
		t.Errorf("the machine's own links changed: %v, before %v", got, links)
	}
	if err := Down(t.Context(), folder); err != nil {
		t.Fatal(err)
	}
	checkNothingLeft(t, folder)
}

func TestKillingTheHolderEndsEverything(t *testing.T) {
	folder := labUp(t, twoHosts("/bin/sleep", "1000"))
	inside := processes(t, string(folder))
	if len(inside) < 4 {
		t.Fatalf("only %d processes of the lab were found", len(inside))
	}
	for _, p := range inside {
		if strings.Contains(p.line, HolderCommand) {
			if err := unix.Kill(p.pid, unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
	}
	// A process loses its command line before its files, the lock among them.
	for end := time.Now().Add(20 * time.Second); len(processes(t, string(folder))) > 0 || folder.Alive(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still alive: %v; the lab passes for alive: %t", processes(t, string(folder)), folder.Alive())
		}
	}
	swept, err := Sweep(t.Context())
	if err != nil || !slices.Contains(swept, string(folder)) {
		t.Fatalf("swept %v, %v", swept, err)
	}
	checkNothingLeft(t, folder)
}

func TestDownEndsAStoppedHolder(t *testing.T) {
	folder := labUp(t, twoHosts("/bin/sleep", "1000"))
	for _, p := range processes(t, string(folder)) {
		if strings.Contains(p.line, HolderCommand) {
			if err := unix.Kill(p.pid, unix.SIGSTOP); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := Down(t.Context(), folder); err != nil {
		t.Fatal(err)
	}
	checkNothingLeft(t, folder)
}

func TestALabThatCannotStartLeavesNothing(t *testing.T) {
	hosttest.RequireRoot(t)
	dir, err := os.MkdirTemp("", "sq") //nolint:usetesting // short: a socket's path has 108 bytes
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	t.Setenv("TMPDIR", dir)
	file := twoHosts("/nonexistent/program")
	file.Name = fmt.Sprintf("test-bad-%d", os.Getpid())
	folder, err := Up(t.Context(), file, func(string) {})
	if err == nil || !strings.Contains(err.Error(), "workload sleeper") {
		t.Errorf("it started: %v", err)
	}
	if err := Down(t.Context(), folder); err != nil {
		t.Error(err)
	}
	checkNothingLeft(t, folder)
}

func TestTheAgentIsStartedAgain(t *testing.T) {
	folder := labUp(t, twoHosts("/bin/sleep", "1000"))
	agent := func() (found []process) {
		for _, p := range processes(t, filepath.Join(string(folder), "hosts/web-a1/host.yaml")) {
			if strings.Contains(p.line, "\x00agent\x00") {
				found = append(found, p)
			}
		}
		return found
	}
	first := waitFor(t, agent, 0)
	if err := unix.Kill(first, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	waitFor(t, agent, first)
	if took := time.Since(began); took < restartDelay/2 {
		t.Errorf("it was back after %v: too soon for a systemd", took)
	}
}

// waitFor waits for a process that is another than old.
func waitFor(t *testing.T, find func() []process, old int) int {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		for _, p := range find() {
			if p.pid != old {
				return p.pid
			}
		}
	}
	t.Fatal("no such process came")
	return 0
}

func checkNothingLeft(t *testing.T, folder Folder) {
	t.Helper()
	if _, err := os.Lstat(string(folder)); err == nil {
		t.Error("its folder is left")
	}
	group, err := folder.cgroup()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(string(group)); err == nil {
		t.Error("its cgroup is left")
	}
	if left := processes(t, string(folder)); len(left) > 0 {
		t.Errorf("processes are left: %v", left)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || bytes.Contains(mounts, []byte(folder)) {
		t.Errorf("mounts are left (%v)", err)
	}
}

// machineLinks are the interfaces of the machine's own namespace.
func machineLinks(t *testing.T) []string {
	t.Helper()
	links, err := netlink.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, l := range links {
		names = append(names, l.Attrs().Name)
	}
	return names
}

// process is one, with its command line, zeros between the arguments.
type process struct {
	pid  int
	line string
}

// processes are those whose command line names text, but for this one.
func processes(t *testing.T, text string) []process {
	t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	var found []process
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || pid == os.Getpid() {
			continue
		}
		line, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err == nil && strings.Contains(string(line), text) {
			found = append(found, process{pid, string(line)})
		}
	}
	return found
}
