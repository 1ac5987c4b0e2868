package sim

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"squall/agent/host/hosttest"
	"squall/proto/parts"
	pb "squall/proto/squall/v1"
)

// smallDisk has a server's archive on a file system with room for some bytes, and
// fills it. empty makes the room.
func smallDisk(t *testing.T, c *control, bytes int) (empty func()) {
	t.Helper()
	hosttest.RequireRoot(t)
	hosttest.OwnMounts(t)
	disk := t.TempDir()
	hosttest.MountMemory(t, disk, bytes)
	filler := filepath.Join(disk, "filler")
	if err := os.WriteFile(filler, make([]byte, 2*bytes), 0o600); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("a small disk is filled with %v", err)
	}
	// The servers' threads have other mounts than this one, and see it by its root.
	root := fmt.Sprintf("/proc/%d/task/%d/root", os.Getpid(), unix.Gettid())
	dir := filepath.Join(c.dir, "archive")
	if err := errors.Join(os.RemoveAll(dir), os.Symlink(filepath.Join(root, disk), dir)); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFullDiskIsToldUntilThereIsRoom: a server's disk is full in the middle of an
// archive. Runs go on, the others archive them, that server says which it lacks
// and why, and has them by itself once there is room.
func TestFullDiskIsToldUntilThereIsRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t, settings{})
		c := r.follower()
		empty := smallDisk(t, c, 64<<10)
		runs := []string{r.run(short)}
		r.passes(runs[0])
		runs = append(runs, r.run(short))
		r.until("a run that nothing holds up", 3*time.Minute, func() bool { return r.done(runs[1]) })
		for _, run := range runs {
			r.until("two archives", time.Minute, func() bool { return len(r.view().Archived(run).GetServers()) == 2 })
		}
		r.until("what is lacking", time.Minute, func() bool { return len(r.lacking(c)) == 2 })
		for run, why := range r.lacking(c) {
			if !strings.Contains(why, "no space left on device") {
				t.Errorf("%s lacks %s since %s", c.id, run, why)
			}
		}
		if _, told, _ := c.ask("/metrics"); !strings.Contains(told, "squall_archive_lacking_runs 2\n") {
			t.Error("its metrics don't say that it lacks two runs")
		}
		empty()
		for _, run := range runs {
			r.until("the third archive", time.Minute, func() bool { return len(r.view().Archived(run).GetServers()) == 3 })
			if e := c.archived(run); e == nil || !bytes.Equal(e.Digest, r.view().Archived(run).GetDigest()) {
				t.Errorf("%s has %v", c.id, e)
			}
		}
		if lacks := r.lacking(c); len(lacks) != 0 {
			t.Errorf("with all of them, it lacks %v", lacks)
		}
	})
}

// lacking is what a server says that its archive lacks, by run.
func (r *region) lacking(c *control) map[string]string {
	r.t.Helper()
	check, err := parts.Ask[pb.ArchiveCheck](r.t.Context(), r.user(c.id).VerifyArchive, &pb.VerifyArchiveRequest{})
	if err != nil {
		r.t.Fatal(err)
	}
	lacks := make(map[string]string)
	for _, s := range check.GetServers() {
		for _, f := range s.GetFaults() {
			if s.GetServer() == c.id && f.GetRun() != "" {
				lacks[f.GetRun()] = f.GetText()
			}
		}
	}
	return lacks
}
