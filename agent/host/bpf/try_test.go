package bpf

import (
	"testing"
	"time"
)

func TestTryProvesEachMechanism(t *testing.T) {
	k := newKit(t)
	for _, name := range []string{"silence", "dns.drop", "delay.line", "hold.exec"} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			engine, err := k.Try(name)
			if err != nil || engine == "" {
				t.Errorf("Try(%q) = %q, %v", name, engine, err)
			}
			t.Log(engine, time.Since(start))
		})
	}
	if _, err := k.Try("magic"); err == nil {
		t.Error("a mechanism that does not exist works")
	}
}
