package notify

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	pb "squall/proto/squall/v1"
)

// strange is a folder of secrets with files in it that must not be read.
func strange(t *testing.T) (dir string, names []string) {
	t.Helper()
	dir = t.TempDir()
	for name, content := range map[string]string{"garbage": "nothing", "large": strings.Repeat("x", mostRoots+1)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/zero", filepath.Join(dir, "device")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir, []string{"garbage", "large", "pipe", "device", "folder", "absent"}
}

// soon ends the test where something does not come to its end.
func soon(t *testing.T, what string, does func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		does()
	}()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatalf("%s takes for ever", what)
	}
}

// TestFilesThatAreNoneHoldNobodyUp, and of one of authorities it is told in the
// same words whatever is wrong, be it kept by a build that took any path.
func TestFilesThatAreNoneHoldNobodyUp(t *testing.T) {
	dir, names := strange(t)
	s := &Sender{Secrets: Secrets{Dir: dir, Env: func(string) (string, bool) { return "", false }}}
	told := make(map[string]bool)
	for _, name := range append(names, filepath.Join(dir, "pipe"), "/etc/passwd", "/proc/self/fd/1", "../passwd") {
		soon(t, name, func() {
			_, err := s.client(&pb.Sink{CaFile: name})
			if err == nil {
				t.Errorf("%s is taken for authorities", name)
				return
			}
			told[strings.ReplaceAll(err.Error(), strconv.Quote(name), "NAME")] = true
			if why := s.Secrets.Missing(&pb.Sink{Url: "https://hooks.test/", CaFile: name}); !strings.HasPrefix(why, err.Error()) {
				t.Errorf("%s: missing is %q", name, why)
			}
		})
	}
	if len(told) != 1 {
		t.Errorf("what is wrong is told as %v", told)
	}
	for _, name := range names[1:] {
		soon(t, name, func() {
			if value, err := s.Secrets.Find(name); err == nil || value != "" {
				t.Errorf("%s is taken for a secret", name)
			}
		})
	}
}

// TestNoFileKeepsALeader: a term ends, whatever file a sink names.
func TestNoFileKeepsALeader(t *testing.T) {
	r := newRig(t)
	r.dir, _ = strange(t)
	for name, file := range map[string]string{"named": "pipe", "old": filepath.Join(r.dir, "pipe")} {
		r.do(&pb.Command{Kind: &pb.Command_PutSink{PutSink: &pb.PutSink{Sink: &pb.Sink{
			Name: name, Kind: pb.SinkKind_SINK_KIND_CLOUDEVENTS, Url: "https://127.0.0.1:1/", CaFile: file, SignSecret: "pipe", Events: []string{"slot.missed"},
		}}}})
	}
	stop := r.lead()
	r.happen(0, 1)
	r.wait("an attempt of each", func() bool { return r.sink("named").GetFailed() > 0 && r.sink("old").GetFailed() > 0 })
	soon(t, "the end of a term", stop)
}
