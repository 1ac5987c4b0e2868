package agent

import (
	"os"
	"path/filepath"
	"testing"
)

// A host that has just booted has an empty /run.
func TestFolderOfTheSocketIsMade(t *testing.T) {
	p := &Process{Socket: filepath.Join(t.TempDir(), "run", "squall", "agent.sock")}
	l, err := p.listen()
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for path, want := range map[string]os.FileMode{p.Socket: 0o600, filepath.Dir(p.Socket): 0o700} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want %v", path, info.Mode(), err, want)
		}
	}
}
