package server

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"squall/agent/host/hosttest"
)

// TestFrozenDiskStopsTheLeader: the file system of the leader's log stops
// answering, for real. The others go on; it ends by itself and says why; with
// its disk back it is one of them again.
func TestFrozenDiskStopsTheLeader(t *testing.T) {
	hosttest.RequireRoot(t)
	hosttest.RequireProgram(t, "mkfs.ext4", "e2fsprogs")
	hosttest.OwnMounts(t)
	p := startProcesses(t, func(dir string) { hosttest.MountDisk(t, dir, 512<<20) })
	p.settle()
	frozen := p.leader()
	thaw := hosttest.FreezeDisk(t, p.data(frozen))
	began := time.Now()
	p.commitWithout(frozen)
	t.Logf("frozen to next commit: %s", time.Since(began).Round(time.Millisecond))
	if p.leader() == frozen {
		t.Errorf("%s leads without a disk", frozen)
	}
	saysWhy := func() bool {
		log, err := os.ReadFile(filepath.Join(p.dir, frozen+".log"))
		return err == nil && strings.Contains(string(log), "no answer in")
	}
	for end := time.Now().Add(enough); !saysWhy(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("its log does not say that the disk doesn't answer")
		}
	}
	thaw() // a thread inside a frozen file system can't even be killed
	if err := p.running[frozen].Wait(); err == nil {
		t.Error("the server without a disk ended as if nothing had been")
	}
	p.start(frozen)
	p.settle()
}
