package bpf

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestTryProvesEachMechanism(t *testing.T) {
	k := newKit(t)
	names := []string{"silence", "dns.drop", "delay.line", "hold.exec"}
	start := time.Now()
	found := k.Try(names...)
	t.Log("all together took", time.Since(start))
	for _, name := range names {
		if f := found[name]; f.Err != nil || f.Engine == "" {
			t.Errorf("%s: %q, %v", name, f.Engine, f.Err)
		}
	}
}

// heldObjects counts the programs and maps that this process holds.
func heldObjects(t *testing.T) (n int) {
	t.Helper()
	fds, err := filepath.Glob("/proc/self/fd/*")
	must(t, err)
	for _, fd := range fds {
		if what, _ := os.Readlink(fd); strings.HasPrefix(what, "anon_inode:bpf") {
			n++
		}
	}
	return n
}

// TestTryKeepsNothing: an agent lives for months after its trials.
func TestTryKeepsNothing(t *testing.T) {
	k := newKit(t)
	before := heldObjects(t)
	k.Try(Mechanisms()...)
	if after := heldObjects(t); after != before {
		t.Errorf("%d programs, maps and links are held after the trials, %d before", after, before)
	}
}

func TestTryKnowsNoOtherMechanism(t *testing.T) {
	if f := newKit(t).Try("magic")["magic"]; f.Err == nil {
		t.Error("a mechanism that does not exist works")
	}
}

// BenchmarkTry is what every agent's start costs the machine.
func BenchmarkTry(b *testing.B) {
	k := newKit(b)
	for b.Loop() {
		for name, f := range k.Try("silence", "dns.drop", "delay.line", "hold.exec") {
			if f.Err != nil {
				b.Fatal(name, f.Err)
			}
		}
	}
}
