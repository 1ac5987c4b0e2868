package host

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"squall/agent/host/bpf"
	"squall/agent/host/hosttest/lack"
)

func newLoader(t testing.TB) *bpf.Loader {
	t.Helper()
	lack.OfRoot(t)
	loader, err := bpf.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = loader.Close() })
	return loader
}

// TestTryProvesEachProgram: the trials of all operations that rest on programs.
func TestTryProvesEachProgram(t *testing.T) {
	every, loader := programsOf(Abilities()), newLoader(t)
	start := time.Now()
	found := loader.Try(every)
	t.Log("all together took", time.Since(start))
	for name := range every {
		if f := found[name]; f.Err != nil || f.Engine == "" {
			t.Errorf("%s: %q, %v", name, f.Engine, f.Err)
		}
	}
}

// heldObjects counts the programs and maps that this process holds.
func heldObjects(t *testing.T) (n int) {
	t.Helper()
	fds, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if what, _ := os.Readlink(fd); strings.HasPrefix(what, "anon_inode:bpf") {
			n++
		}
	}
	return n
}

// TestTryKeepsNothing: an agent lives for months after its trials.
func TestTryKeepsNothing(t *testing.T) {
	loader := newLoader(t)
	before := heldObjects(t)
	loader.Try(programsOf(Abilities()))
	if after := heldObjects(t); after != before {
		t.Errorf("%d programs, maps and links are held after the trials, %d before", after, before)
	}
}

// BenchmarkTry is what every agent's start costs the machine.
func BenchmarkTry(b *testing.B) {
	every, loader := programsOf(Abilities()), newLoader(b)
	for b.Loop() {
		for name, f := range loader.Try(every) {
			if f.Err != nil {
				b.Fatal(name, f.Err)
			}
		}
	}
}
