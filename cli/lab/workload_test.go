package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"squall/agent/host/hosttest"
	"squall/experiments"
	pb "squall/proto/squall/v1"
)

// labOfFile is a lab from a lab file's text, in a folder of its own.
func labOfFile(t *testing.T, text string) Folder {
	t.Helper()
	return labUp(t, decodeLab(t, text))
}

func decodeLab(t *testing.T, text string) *pb.Lab {
	t.Helper()
	file, problems := experiments.DecodeLab("lab.yaml", []byte(text))
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	return file
}

// sh runs a line of shell on a host, as a workload where one is named.
func sh(t *testing.T, folder Folder, host, workload, line string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out")
	file, err := os.Create(out)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	c := &Command{Folder: folder, Host: host, Workload: workload, Argv: []string{"/bin/sh", "-c", line}, Stdout: file, Stderr: file}
	code, err := c.Run(t.Context())
	text, readErr := os.ReadFile(out)
	if err := errors.Join(err, readErr); err != nil || code != 0 {
		t.Fatalf("%s: code %d, %v\n%s", line, code, err, text)
	}
	return string(text)
}

const twoUsers = `
version: 1
zones: [{ name: zone-a, server: false }]
hosts:
  - name: app
    zones: zone-a
    instances: 2
    commands: { rows: [/bin/echo, "3"] }
    allow_undeclared_kill: true
    workloads:
      - name: sleeper
        user: nobody
        start: [/bin/sh, -c, 'echo up; cat ${data}/conf/app.yml > ${data}/read; id -un >> ${data}/read; sleep 1000']
        env: { COLOUR: red }
        files:
          - { path: conf/app.yml, content: "host ${host}, plain $${HOME}\n", mode: "0640" }
        ready: { exec: [/usr/bin/test, -s, "${data}/read"] }
`

func TestAWorkloadHasItsAccountFilesAndFolder(t *testing.T) {
	folder := labOfFile(t, twoUsers)
	if got := sh(t, folder, "app-a2", "sleeper", "cat "+string(folder)+"/data/app-a2/sleeper/read; echo $COLOUR $HOME; pwd"); got != "host app-a2, plain ${HOME}\nnobody\nred /nonexistent\n/\n" {
		t.Errorf("it found and is\n%s", got)
	}
	for path, want := range map[string]string{"": "700", "/conf": "700", "/conf/app.yml": "640"} {
		if got := sh(t, folder, "app-a1", "", "stat -c '%a %U' "+string(folder)+"/data/app-a1/sleeper"+path); got != want+" nobody\n" {
			t.Errorf("data%s is %s", path, got)
		}
	}
	// Nothing else of the lab is for its eyes, not even to root.
	if got := sh(t, folder, "app-a1", "", "ls "+string(folder)+" "+string(folder)+"/hosts"); got != string(folder)+":\ndata\nhosts\npki\n\n"+string(folder)+"/hosts:\napp-a1\n" {
		t.Errorf("the host sees of the lab\n%s", got)
	}
	config, err := folder.config("app-a1")
	if err != nil || config.GetCommands()["rows"] == nil || !config.GetAllowUndeclaredKill() || !slices.Equal(config.GetVolatile(), []string{"/dev/shm", "/run", "/tmp"}) {
		t.Errorf("its config is %v, %v", config, err)
	}
}

// TestHostsHaveMemoryOfTheirOwn: what one writes to /tmp, /run or /dev/shm is
// on no other host, and not on the machine.
func TestHostsHaveMemoryOfTheirOwn(t *testing.T) {
	folder := labOfFile(t, twoUsers)
	mark := fmt.Sprint("squall-lab-mark-", os.Getpid())
	for dir, mode := range map[string]string{"/tmp": "1777", "/run": "755", "/dev/shm": "1777"} {
		sh(t, folder, "app-a1", "", "touch "+dir+"/"+mark)
		if got := sh(t, folder, "app-a2", "", "ls "+dir); strings.Contains(got, mark) {
			t.Errorf("another host has it in %s: %s", dir, got)
		}
		if _, err := os.Stat(dir + "/" + mark); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the machine has it in %s", dir)
		}
		if got := sh(t, folder, "app-a1", "", "stat -c %a "+dir); got != mode+"\n" {
			t.Errorf("%s has mode %s", dir, got)
		}
	}
}

func TestACommandHasACleanEnvironmentAndTheRightCgroup(t *testing.T) {
	t.Setenv("SQUALL_SECRET", "mine")
	folder := labOfFile(t, twoUsers)
	for workload, want := range map[string]string{"": "0::/exec\n", "sleeper": "0::/squall.workloads/sleeper\n"} {
		if got := sh(t, folder, "app-a1", workload, "grep 0:: /proc/self/cgroup; env | grep SECRET || true"); got != want {
			t.Errorf("beside %q it is in %s", workload, got)
		}
	}
	_, err := (&Command{Folder: folder, Host: "app-a1", Workload: "nobody", Argv: []string{"/bin/true"}}).Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), `no workload "nobody"`) {
		t.Errorf("a workload that is not there: %v", err)
	}
}

func TestAWorkloadIsStoppedAndStarted(t *testing.T) {
	folder := labOfFile(t, twoUsers)
	runs := func() bool {
		states, err := folder.States(t.Context(), "app-a1")
		if err != nil || len(states) != 1 {
			t.Fatalf("states %v, %v", states, err)
		}
		return states[0].Runs
	}
	if !runs() {
		t.Fatal("it does not run")
	}
	if err := folder.Stop(t.Context(), "app-a1", "sleeper"); err != nil || runs() {
		t.Fatalf("it runs after it was stopped, or %v", err)
	}
	err := folder.CheckAlive(t.Context())
	if err == nil || !strings.Contains(err.Error(), "workload sleeper on host app-a1: it was ready, and has ended\n    up") {
		t.Errorf("a lab without it: %v", err)
	}
	if err := folder.Start(t.Context(), "app-a1", "sleeper"); err != nil || !runs() {
		t.Fatalf("it does not run after it was started, or %v", err)
	}
	if log, err := os.ReadFile(folder.Log("app-a1", "sleeper")); err != nil || string(log) != "up\nup\n" {
		t.Errorf("its log is %q, %v", log, err)
	}
	for _, o := range []order{{doStart, "nobody"}, {"break", "sleeper"}} {
		if _, err := folder.ask(t.Context(), "app-a1", o); err == nil {
			t.Errorf("%v was carried out", o)
		}
	}
}

// TestWorkloadsStartInOrder: the second can only start with what the first has
// made by the time at which it is ready.
func TestWorkloadsStartInOrder(t *testing.T) {
	folder := labOfFile(t, `
version: 1
zones:
  - name: zone-a
    server: false
    hosts:
      - name: app
        workloads:
          - { name: web, after: db, start: [/bin/sh, -c, "test -e /run/db && sleep 1000"] }
          - { name: db, start: [/bin/sh, -c, "sleep 0.3; touch /run/db; sleep 1000"], ready: { exec: [/usr/bin/test, -e, /run/db] } }
`)
	if err := folder.CheckAlive(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestALabSaysWhoIsToBlame: who has ended is named before who waited for it, with
// its last words, at once, and all logs are kept.
func TestALabSaysWhoIsToBlame(t *testing.T) {
	hosttest.RequireRoot(t)
	dir, err := os.MkdirTemp("", "sq") //nolint:usetesting // short: a socket's path has 108 bytes
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	t.Setenv("TMPDIR", dir)
	file := decodeLab(t, `
version: 1
zones: [{ name: zone-a, server: false }, { name: zone-b, server: false }]
hosts:
  - { name: aaa, zones: [zone-a, zone-b], workloads: [{ name: web, start: [/bin/sleep, "1000"], ready: { tcp: "${ip:zdb-b1}:5432" } }] }
  - { name: zdb, zones: zone-b, workloads: [{ name: db, start: [/bin/sh, -c, "echo the disk is full; sleep 0.2; exit 1"], ready: { tcp: "${ip}:5432" } }] }
`)
	file.Name = fmt.Sprintf("blame-%d", os.Getpid())
	began := time.Now()
	folder, err := Up(t.Context(), file, func(string) {})
	took := time.Since(began)
	if downErr := Down(context.Background(), folder); downErr != nil {
		t.Error(downErr)
	}
	if err == nil || !strings.Contains(err.Error(), "workload db on host zdb-b1: it has ended\n    the disk is full") || strings.Contains(err.Error(), "aaa") {
		t.Errorf("it says %v", err)
	}
	if took > 10*time.Second {
		t.Errorf("it took %v to see that a process has ended", took)
	}
	if log, err := os.ReadFile(filepath.Join(folder.Failed(), "zdb-b1", "db.log")); err != nil || string(log) != "the disk is full\n" {
		t.Errorf("the log that is kept: %q, %v", log, err)
	}
	checkNothingLeft(t, folder)
}

func TestALateWorkloadIsCalledLate(t *testing.T) {
	failed := failures([]failure{
		{Host: "b", Workload: "late", Why: "it is not ready after 1s: refused", Said: []string{"waiting"}},
		{Host: "c", Workload: "dead", Why: "it has ended", Died: true},
		{Host: "a", Why: "its init ended", Died: true},
	})
	want := "host a: its init ended\nworkload dead on host c: it has ended; it printed nothing\nworkload late on host b: it is not ready after 1s: refused\n    waiting"
	if failed == nil || failed.Error() != want {
		t.Errorf("it says\n%v\nwant\n%s", failed, want)
	}
	if failures(nil) != nil {
		t.Error("no failure is one")
	}
}

// TestOrphansAreTakenIn: nobody stays a zombie. That none is taken from who waits
// for it holds TestExitCodesComeThroughBesideOrphans.
func TestOrphansAreTakenIn(t *testing.T) {
	folder := labOfFile(t, twoUsers)
	sh(t, folder, "app-a1", "", "for i in 1 2 3; do (sleep 0.01 &) ; done; sleep 0.1")
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		left := sh(t, folder, "app-a1", "", `grep -l 'State:.Z' /proc/[0-9]*/status || true`)
		if left == "" {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("zombies are left: %s", left)
		}
	}
}

func TestLastWordsAreFew(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(log, []byte(strings.Repeat("long ago\n", 10_000)+"\n\xff last\n\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := lastOf(log); len(got) != lastLines || got[lastLines-1] != "? last" {
		t.Errorf("its last words are %q", got)
	}
	if got := lastOf(log + "x"); got != nil {
		t.Errorf("no log says %q", got)
	}
}

func TestFilesComeFromBesideTheLabFile(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("app.sh", "#!/bin/sh\necho ${host}\n")
	write("lab.yaml", `
version: 1
zones: [{ name: zone-a, server: false, hosts: [{ name: app, workloads: [{ name: web, start: ["${data}/app.sh"], files: [{ path: app.sh, from: app.sh, mode: "0755" }] }] }] }]
`)
	file, err := Load(filepath.Join(dir, "lab.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	region, err := NewRegion(file)
	if err != nil {
		t.Fatal(err)
	}
	folder := Folder(filepath.Join(dir, "lab"))
	v := words{region: region, host: region.Host("app"), folder: folder, squall: "/bin/squall"}
	if err := v.write(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(folder.Data("app"), "web/app.sh"))
	if err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("it is %v, %v", info, err)
	}
	text, err := os.ReadFile(filepath.Join(folder.Data("app"), "web/app.sh"))
	if err != nil || string(text) != "#!/bin/sh\necho ${host}\n" {
		t.Errorf("its bytes are not as they were: %q, %v", text, err)
	}
	os.Remove(filepath.Join(dir, "app.sh"))
	if _, err := Load(filepath.Join(dir, "lab.yaml")); err == nil || !strings.Contains(err.Error(), "file app.sh") {
		t.Errorf("a file that is not there: %v", err)
	}
}

func TestHostsThatAreAlikeAreSeveral(t *testing.T) {
	file := decodeLab(t, `
version: 1
zones: [{ name: zone-a, hosts: [{ name: web-a1 }] }, { name: zone-b }]
hosts:
  - { name: etcd, zones: [zone-a, zone-b], instances: 2, role: [etcd], workloads: [{ name: etcd, start: [etcd, "${host}", "${ip:etcd-b2}"] }] }
`)
	region, err := NewRegion(file)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, h := range region.Hosts {
		got = append(got, h.Name+" "+h.Link.V4.String())
	}
	want := []string{
		"server-a 10.77.1.5", "web-a1 10.77.1.11", "etcd-a1 10.77.1.12", "etcd-a2 10.77.1.13",
		"server-b 10.77.2.5", "etcd-b1 10.77.2.11", "etcd-b2 10.77.2.12",
	}
	if !slices.Equal(got, want) {
		t.Errorf("hosts %q, want %q", got, want)
	}
	config, err := words{region: region, host: region.Host("etcd-a2"), folder: "/lab"}.config()
	if err != nil || !slices.Equal(config.GetWorkloads()[0].GetStart(), []string{"etcd", "etcd-a2", "10.77.2.12"}) {
		t.Errorf("its config is %v, %v", config, err)
	}
}

func TestAFolderThatNobodyCanPassIsNamed(t *testing.T) {
	if got := reachable("/tmp/x/lab"); got != "" {
		t.Errorf("in the host's own memory, %s is in the way", got)
	}
	dir, err := os.MkdirTemp("/var/tmp", "squall-lab-test") //nolint:usetesting // not below /tmp
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if got := reachable(dir + "/lab"); got != dir {
		t.Errorf("%q is in the way, want %s", got, dir)
	}
}
