package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// put writes a file and the folders above it.
func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestBlameGoesToWhoDied: the others may only have waited for them.
func TestBlameGoesToWhoDied(t *testing.T) {
	if err := failures(nil); err != nil {
		t.Errorf("nothing failed: %v", err)
	}
	err := failures([]failure{
		{Host: "web-b1", Workload: "web", Why: "it is not ready", Said: []string{"waiting for db"}},
		{Host: "web-a1", Why: "its init ended"},
		{Host: "db-a1", Workload: "db", Why: "it exited with 1", Died: true, Said: []string{"no space", "giving up"}},
		{Host: "db-b1", Workload: "db", Why: "it exited with 2", Died: true},
	})
	want := `workload db on host db-a1: it exited with 1
    no space
    giving up
workload db on host db-b1: it exited with 2; it printed nothing
host web-a1: its init ended
workload web on host web-b1: it is not ready
    waiting for db`
	if err == nil || err.Error() != want {
		t.Errorf("it says:\n%v\nwant:\n%s", err, want)
	}
}

// TestLastWordsAreBounded: a few lines from the end, whatever was printed before.
func TestLastWordsAreBounded(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	if got := lastOf(log); got != nil {
		t.Errorf("no log says %q", got)
	}
	put(t, log, "\n  \n")
	if got := lastOf(log); len(got) != 0 {
		t.Errorf("an empty log says %q", got)
	}
	var text strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&text, "line %d\n\n", i)
	}
	put(t, log, text.String()+"the end \xff\n")
	got := lastOf(log)
	if len(got) != lastLines || got[0] != "line 9993" || got[lastLines-1] != "the end ?" {
		t.Errorf("it says %q", got)
	}
	put(t, log, strings.Repeat("x", 1<<20))
	if got := lastOf(log); len(got) != 1 || len(got[0]) != lastBytes {
		t.Errorf("a line without an end gives %d lines", len(got))
	}
}

// TestLogsOutliveTheirLab: all of them, by host, in the place of those of the
// last failure, and not through a link that somebody has planted.
func TestLogsOutliveTheirLab(t *testing.T) {
	f := Folder(filepath.Join(t.TempDir(), "squall-lab-x"))
	put(t, f.path("region.log"), "region")
	put(t, f.path("hosts/a1/agent.log"), "agent")
	put(t, f.path("hosts/a1/logs/web.log"), "web")
	put(t, f.path("hosts/a1/host.yaml"), "no log")
	put(t, filepath.Join(f.Failed(), "old.log"), "of the last failure")
	if err := f.KeepLogs(); err != nil {
		t.Fatal(err)
	}
	var kept []string
	for _, pattern := range []string{"*", "*/*"} {
		found, err := filepath.Glob(filepath.Join(f.Failed(), pattern))
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, found...)
	}
	for i := range kept {
		kept[i] = strings.TrimPrefix(kept[i], f.Failed()+"/")
	}
	if want := []string{"a1", "region.log", "a1/agent.log", "a1/web.log"}; !slices.Equal(kept, want) {
		t.Errorf("kept are %q, want %q", kept, want)
	}
	elsewhere := t.TempDir()
	if err := os.RemoveAll(f.Failed()); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(elsewhere, f.Failed()); err != nil {
		t.Fatal(err)
	}
	if err := f.KeepLogs(); err != nil {
		t.Fatal(err)
	}
	if through, err := os.ReadDir(elsewhere); err != nil || len(through) > 0 {
		t.Errorf("logs went through a link: %v, %v", through, err)
	}
}
