package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"squall/experiments"
	pb "squall/proto/squall/v1"
)

// said is a pipe's end at which somebody has said a text and hung up.
func said(t *testing.T, text string) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	go func() {
		defer w.Close()
		_, _ = w.WriteString(text)
	}()
	return r
}

func TestAStartIsFollowedToItsEnd(t *testing.T) {
	for text, want := range map[string]string{
		"a is ready\nb is ready\nready\n":                           "",
		"a is ready\nfailed: \"one\\n    its log\"\n":               "one\n    its log",
		"failed: plain words\n":                                     "plain words",
		"a is ready\n":                                              "the holder ended before it was ready",
		"a is ready\n" + strings.Repeat("x", 100<<10) + "\nready\n": "",
	} {
		var told []string
		err := follow(t.Context(), said(t, text), func(line string) { told = append(told, line) })
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, want %q", text, err, want)
		}
		if strings.HasPrefix(text, "a ") && (len(told) == 0 || told[0] != "a is ready") {
			t.Errorf("%.60q: told %.60q", text, told)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := follow(ctx, said(t, ""), func(string) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("who has given up is told %v", err)
	}
}

func TestAHostSaysHowItsStartWent(t *testing.T) {
	both := []failure{{Host: "h", Workload: "w", Why: "it has ended", Died: true, Said: []string{"no disk"}}, {Host: "h", Workload: "x", Why: "late"}}
	line, err := json.Marshal(both)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string][]failure{
		"ready\n":                nil,
		string(line) + "\n":      both,
		"mount /sys: no\n":       {{Host: "h", Why: "mount /sys: no", Died: true}},
		"[]\n":                   {{Host: "h", Why: "[]", Died: true}},
		"":                       {{Host: "h", Why: "its init ended; init.log in its folder may say why", Died: true}},
		"half a line, then dead": {{Host: "h", Why: "its init ended; init.log in its folder may say why", Died: true}},
	} {
		if diff := cmp.Diff(want, hostReady("h", said(t, text))); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
}

// FuzzDoor: no order breaks a host's init, and each is answered or hung up upon.
func FuzzDoor(f *testing.F) {
	for _, seed := range []string{`{"Do":"tell"}`, `{"Do":"start","Workload":"x"}`, `{"Do":7}`, `null`, "", "\xff"} {
		f.Add([]byte(seed))
	}
	i := &hostInit{host: &Host{Name: "h"}, config: &pb.HostConfig{}}
	f.Fuzz(func(t *testing.T, b []byte) {
		here, there := net.Pipe()
		defer here.Close()
		done := make(chan error, 1)
		go func() { done <- i.serve(context.Background(), there); there.Close() }()
		go func() {
			_, _ = here.Write(append(b, 0)) // which ends whatever it is
			_ = here.SetReadDeadline(time.Now().Add(20 * time.Second))
		}()
		var a answer
		err := json.NewDecoder(here).Decode(&a)
		here.Close()
		_ = <-done // it was hung up upon
		var o order
		if json.Unmarshal(b, &o) == nil && (err != nil || o.Do != doTell && a.Err == "") {
			t.Errorf("%q is answered by %+v, %v", b, a, err)
		}
	})
}

// FuzzHostYAML: what the decoder takes is written so that it reads the same again.
func FuzzHostYAML(f *testing.F) {
	for _, seed := range []string{
		"name: a\nzone: b\n",
		"name: a\nzone: b\nsqualL: never\n",
		"name: a\nzone: b\nsquall: never\nmax_hold: 5m\nmanagement: { prefix: 10.0.0.0/8, port: 22 }\ncommands: { c: [d, e], f: { argv: [g], user: h } }\n",
		"name: a\nzone: b\nvolatile: [/run]\nworkloads:\n  - { name: w, user: u, start: [s, \"${x}: #\"], env: { A: \"1\", B: \"yes\" }, after: v, ready_within: 90s, ready: { exec: [t, -s], timeout: 250ms } }\n  - { name: v, unit: v.service, protect: true, ready: { tcp: { address: \"a:1\", send: \"x\\r\\n\", expect: \"y\" } } }\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		config, problems := experiments.DecodeHostConfig("host.yaml", src)
		if problems != nil {
			return
		}
		text, err := formatYAML(config)
		if err != nil {
			t.Fatal(err)
		}
		again, problems := experiments.DecodeHostConfig("again.yaml", []byte(text))
		if problems != nil {
			t.Fatalf("%v in\n%s", problems, text)
		}
		if diff := cmp.Diff(config, again, protocmp.Transform()); diff != "" {
			t.Errorf("it reads otherwise (-want +got):\n%s\n%s", diff, text)
		}
	})
}

func TestLogsAreKeptInThePlaceOfTheLastOnes(t *testing.T) {
	dir := t.TempDir()
	folder := Folder(filepath.Join(dir, folderPrefix+"x"))
	write := func(path, text string) {
		t.Helper()
		path = filepath.Join(string(folder), path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	write("lab.log", "holder")
	write("hosts/a/init.log", "init")
	write("hosts/a/logs/web.log", "web")
	write("hosts/a/host.yaml", "secret")
	write("data/a/web/secret.log", "secret")
	kept := func() (names []string) {
		t.Helper()
		if err := folder.KeepLogs(); err != nil {
			t.Fatal(err)
		}
		for _, pattern := range []string{"*.log", "*/*"} {
			found, _ := filepath.Glob(filepath.Join(folder.Failed(), pattern))
			for _, f := range found {
				names = append(names, strings.TrimPrefix(f, folder.Failed()+"/"))
			}
		}
		return names
	}
	if got := kept(); !slices.Equal(got, []string{"lab.log", "a/init.log", "a/web.log"}) {
		t.Errorf("kept are %q", got)
	}
	os.Remove(filepath.Join(string(folder), "lab.log"))
	if got := kept(); !slices.Equal(got, []string{"a/init.log", "a/web.log"}) {
		t.Errorf("of two failures, kept are %q", got)
	}
	text, err := os.ReadFile(filepath.Join(folder.Failed(), "a/web.log"))
	if err != nil || !bytes.Equal(text, []byte("web")) {
		t.Errorf("it says %q, %v", text, err)
	}
}

// TestALinkIsNotFollowedForLogs: the folder for temporary files is everybody's.
func TestALinkIsNotFollowedForLogs(t *testing.T) {
	dir, theirs := t.TempDir(), t.TempDir()
	folder := Folder(filepath.Join(dir, folderPrefix+"x"))
	file := filepath.Join(theirs, "file")
	if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Symlink(theirs, folder.Failed())); err != nil {
		t.Fatal(err)
	}
	if err := folder.KeepLogs(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Errorf("what the link led to: %v", err)
	}
	if info, err := os.Lstat(folder.Failed()); err != nil || !info.IsDir() {
		t.Errorf("it is still a link: %v, %v", info, err)
	}
}

// TestASweepIsNotStoppedByWhoIsFaster: the holder removes the folder as well.
func TestASweepIsNotStoppedByWhoIsFaster(t *testing.T) {
	folder := Folder(filepath.Join(t.TempDir(), folderPrefix+"x"))
	if removed, err := folder.sweep(t.Context()); removed || err != nil {
		t.Errorf("a folder that is gone: removed %v, %v", removed, err)
	}
}

func TestFoldersThatAreNotOursAreLeft(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	link := filepath.Join(dir, folderPrefix+"link")
	if err := errors.Join(os.Symlink("/", link), os.WriteFile(filepath.Join(dir, folderPrefix+"file"), nil, 0o600), os.Mkdir(filepath.Join(dir, failedPrefix+"x"), 0o700)); err != nil {
		t.Fatal(err)
	}
	found, err := folders()
	if err != nil || len(found) != 0 {
		t.Errorf("they are taken for labs: %v, %v", found, err)
	}
	if FolderOf("link").Alive() {
		t.Error("a link is alive")
	}
	if up, err := Running(); err != nil || len(up) != 0 {
		t.Errorf("up are %v, %v", up, err)
	}
}

func TestWhatWorkloadsAskForIsRefusedByName(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]string{
		`user: no-such-account`:                        `workload web: look up account "no-such-account"`,
		`files: [{ path: a, content: "${nonsense}" }]`: "workload web: file a: ${nonsense} stands for nothing",
		`files: [{ path: a, content: "${ip" }]`:        "${ without }",
		`env: { A: "${ip:nobody}" }`:                   "",
	} {
		src := "version: 1\nzones: [{ name: zone-a, server: false, hosts: [{ name: app, workloads: [{ name: web, start: [web], " + text + " }] }] }]\n"
		file, problems := experiments.DecodeLab("lab.yaml", []byte(src))
		if want == "" {
			if problems == nil || !strings.Contains(problems.Err().Error(), `unknown host "nobody"`) {
				t.Errorf("%s: %v", text, problems)
			}
			continue
		}
		region, err := NewRegion(file)
		if err != nil {
			t.Fatal(err)
		}
		err = words{region: region, host: region.Host("app"), folder: Folder(dir), squall: "/bin/squall"}.write()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestPlacesAreMadeToMountOn(t *testing.T) {
	dir := t.TempDir()
	for path, isDir := range map[string]bool{"a/b": true, "c/d": false} {
		path = filepath.Join(dir, path)
		for range 2 { // what is there will do
			if err := makePlace(path, isDir); err != nil {
				t.Fatal(err)
			}
		}
		if info, err := os.Stat(path); err != nil || info.IsDir() != isDir {
			t.Errorf("%s is %v, %v", path, info, err)
		}
	}
	for path, want := range map[string]bool{"/tmp/x": true, "/tmp": true, "/tmpx": false, "/": false} {
		if within(path, "/tmp") != want {
			t.Errorf("%s lies in /tmp: %v", path, !want)
		}
	}
	if _, err := pickUp([]string{filepath.Join(dir, "absent")}); err == nil {
		t.Error("what is not there was picked up")
	}
}
