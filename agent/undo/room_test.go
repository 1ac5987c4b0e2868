package undo

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"squall/agent/host/hosttest"
)

// TestDiskThatBecameReadOnlyHasNoRoom: there is space, and nothing is taken.
func TestDiskThatBecameReadOnlyHasNoRoom(t *testing.T) {
	hosttest.RequireRoot(t)
	hosttest.OwnMounts(t)
	dir := t.TempDir()
	hosttest.MountMemory(t, dir, 256<<20)
	room := func() error { return realDisk{}.Room(filepath.Join(dir, "room"), 1<<16) }
	if err := room(); err != nil {
		t.Errorf("with 256 MiB free: %v", err)
	}
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if err := room(); !errors.Is(err, syscall.EROFS) {
		t.Errorf("read-only: %v", err)
	}
}
