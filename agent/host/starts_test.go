package host_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	pb "squall/proto/squall/v1"
)

// TestHangingStartDelaysNoOther starts two workloads around one whose unit
// systemd does not answer for.
func TestHangingStartDelaysNoOther(t *testing.T) {
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "systemctl"), []byte("#!/bin/sh\nexec sleep 60\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	h, base := openHost(t, shell("web", "sleep 60"), &pb.Workload{Name: "mute", Unit: "mute.service"}, shell("db", "sleep 60"))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	began := time.Now()
	go func() { done <- h.Do(ctx, start("web", "mute", "db"), nil) }()
	eventually(t, "both others run", func() bool {
		return processes(t, base, "web") > 0 && processes(t, base, "db") > 0
	})
	select {
	case err := <-done:
		t.Errorf("the start of the mute one ended after %s: %v", time.Since(began), err)
	default:
	}
	cancel()
	if err := <-done; err == nil {
		t.Error("the start of the mute one is no error")
	}
}
