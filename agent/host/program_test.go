package host

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"squall/agent/host/hosttest/lack"
	pb "squall/proto/squall/v1"
)

func TestAProgramSaysHowItEnded(t *testing.T) {
	for script, want := range map[string]string{
		"echo 42": "", "echo 'it is broken' >&2; exit 3": "exit status 3: it is broken", "kill -9 $$": "killed",
	} {
		out, err := Program{Argv: []string{"/bin/sh", "-c", script}}.Output(t.Context())
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %q, %v", script, out, err)
		}
	}
	if _, err := (Program{Argv: []string{"/no/such"}}).Output(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a program that is not there: %v", err)
	}
	out, err := Program{Argv: []string{"/bin/sh", "-c", "yes | head -c 1000000"}}.Output(t.Context())
	if err != nil || len(out) != maxOutput {
		t.Errorf("%d bytes of its output are kept, %v", len(out), err)
	}
}

// TestAProgramEndsWithItsAttempt: with all that it started.
func TestAProgramEndsWithItsAttempt(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	var pid []byte
	for limit := 200 * time.Millisecond; len(pid) == 0; limit *= 2 { // a busy machine needs longer to begin
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		_, err := Program{Argv: []string{"/bin/sh", "-c", "sleep 100 & echo $! >" + file + "; wait"}}.Output(ctx)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || limit > time.Minute {
			t.Fatalf("with %s it ended with %v", limit, err)
		}
		pid, _ = os.ReadFile(file)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		stat, err := os.ReadFile("/proc/" + strings.TrimSpace(string(pid)) + "/stat")
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("its child lives on: %s", stat)
		}
	}
}

func TestAProgramGetsNothingOfOurs(t *testing.T) {
	t.Setenv("SQUALL_SECRET", "1")
	out, err := Program{Argv: []string{"/usr/bin/env"}, Env: map[string]string{"A": "b", "HOME": "/there"}}.Output(t.Context())
	if err != nil || strings.Contains(string(out), "SECRET") || !strings.Contains(string(out), "A=b\n") || !strings.Contains(string(out), "HOME=/there\n") {
		t.Errorf("%s %v", out, err)
	}
}

func TestAProgramRunsAsItsAccount(t *testing.T) {
	lack.OfRoot(t)
	out, err := Program{Argv: []string{"/bin/sh", "-c", "id -un; id -gn; echo $HOME $LOGNAME"}, User: "nobody"}.Output(t.Context())
	if err != nil || string(out) != "nobody\nnogroup\n/nonexistent nobody\n" {
		t.Errorf("it is %q, %v", out, err)
	}
	if _, err := (Program{Argv: []string{"/bin/true"}, User: "no-such-account"}).Output(t.Context()); err == nil || !strings.Contains(err.Error(), "/etc/passwd has none") {
		t.Errorf("an account that is not there: %v", err)
	}
}

func TestAccountsAreReadFromFiles(t *testing.T) {
	passwd := "root:x:0:0:root:/root:/bin/sh\nbroken:x:y:z:::\nshort:x:1\npg:x:107:114:PostgreSQL,,,:/var/lib/pg:/bin/bash\n"
	a := parseAccount([]byte(passwd), "pg")
	if a == nil || a.UID != 107 || a.GID != 114 || a.Home != "/var/lib/pg" {
		t.Fatalf("account %+v", a)
	}
	if g := parseGroups([]byte("ssl:x:113:pg\nother:x:5:pgx,a\npg:x:114:pg\n"), a); !slices.Equal(g, []uint32{114, 113}) {
		t.Errorf("groups %v", g)
	}
	for _, name := range []string{"broken", "short", "nobody-here", ""} {
		if got := parseAccount([]byte(passwd), name); got != nil {
			t.Errorf("%q is %+v", name, got)
		}
	}
}

func FuzzAccounts(f *testing.F) {
	f.Add("pg:x:107:114:PostgreSQL:/var/lib/pg:/bin/bash\n", "ssl:x:113:pg\n", "pg")
	f.Fuzz(func(t *testing.T, passwd, group, name string) {
		if a := parseAccount([]byte(passwd), name); a != nil && len(parseGroups([]byte(group), a)) == 0 {
			t.Error("an account without a group")
		}
	})
}

// TestACommandIsTheConfigsWord: an experiment names it, and adds nothing.
func TestACommandIsTheConfigsWord(t *testing.T) {
	config := &pb.HostConfig{Commands: map[string]*pb.HostCommand{
		"rows": {Argv: []string{"/bin/echo", "17"}}, "bad": {Argv: []string{"/bin/false"}},
	}}
	reading := func(argv ...string) (bool, *float64, string) {
		r := RunCommand(t.Context(), config, &pb.Probe{Kind: &pb.Probe_Exec{Exec: &pb.ExecProbe{Argv: argv}}})
		return r.OK, r.Value, r.Err
	}
	if ok, value, why := reading("rows"); !ok || value == nil || *value != 17 {
		t.Errorf("rows: %v %v %s", ok, value, why)
	}
	if ok, value, why := reading("bad"); ok || value != nil || !strings.Contains(why, "exit status 1") {
		t.Errorf("bad: %v %v %s", ok, value, why)
	}
	for _, argv := range [][]string{{"/bin/echo"}, {"rows", "18"}, {}, {"nobody"}} {
		if ok, _, why := reading(argv...); ok || !strings.Contains(why, "no command of that name") {
			t.Errorf("%v: %v %s", argv, ok, why)
		}
	}
}

// TestAPowerCutEmptiesMemoryAlone: no disk, nothing that is mounted below, nothing of ours.
func TestAPowerCutEmptiesMemoryAlone(t *testing.T) {
	lack.OfRoot(t)
	dir := t.TempDir()
	disk := filepath.Join(dir, "disk")
	memory := filepath.Join(dir, "memory")
	for _, d := range []string{disk, memory} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	mountTmpfs(t, memory)
	if err := os.MkdirAll(filepath.Join(memory, "deep/mounted"), 0o755); err != nil {
		t.Fatal(err)
	}
	mountTmpfs(t, filepath.Join(memory, "deep/mounted"))
	kept := []string{filepath.Join(disk, "kept"), filepath.Join(memory, "deep/mounted/kept")}
	gone := []string{filepath.Join(memory, "gone"), filepath.Join(memory, "deep/gone")}
	for _, f := range append(kept, gone...) {
		if err := os.WriteFile(f, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(disk, filepath.Join(memory, "link")); err != nil {
		t.Fatal(err)
	}
	err := sparing(nil).volatile([]string{disk, memory, filepath.Join(memory, "absent")})
	if err == nil || !strings.Contains(err.Error(), disk+": it is not a tmpfs") {
		t.Errorf("it says %v", err)
	}
	for _, f := range kept {
		if _, err := os.Stat(f); err != nil {
			t.Error(err)
		}
	}
	for _, f := range append(gone, filepath.Join(memory, "link")) {
		if _, err := os.Lstat(f); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left (%v)", f, err)
		}
	}
}

func mountTmpfs(t *testing.T, dir string) {
	t.Helper()
	if err := unix.Mount("squall-test", dir, "tmpfs", 0, "size=1m"); err != nil {
		lack.Of(t, "no tmpfs can be mounted here: "+err.Error())
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
}
