package bpf

import (
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
