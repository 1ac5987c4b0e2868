package sim

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"squall/server/archive"
)

// archived is a run's entry on a server's disk, nil where it is not there whole.
func (c *control) archived(run string) *archive.Entry {
	a, err := archive.Open(filepath.Join(c.dir, "archive"))
	if err != nil {
		c.region.t.Fatal(err)
	}
	e, err := a.Entry(run)
	if err != nil || a.Verify(run) != nil {
		return nil
	}
	return &e
}

// TestEveryServerArchivesTheSameRun writes a run that is done on every server's
// disk, byte for byte the same, and lets its windows go. A server that was down
// meanwhile, or whose disk is another one, has it after all.
func TestEveryServerArchivesTheSameRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t, settings{})
		run := r.run(short)
		r.holding(run)
		away := r.follower()
		away.kill()
		r.until("the end", 3*time.Minute, func() bool { return r.done(run) })
		r.until("two archives", time.Minute, func() bool { return len(r.view().Archived(run).GetServers()) == 2 })
		for range r.view().WindowsOf(run) {
			t.Fatal("a majority has it, and the state has not let go")
		}
		if away.archived(run) != nil {
			t.Fatal("a server that was down has archived it")
		}
		away.start()
		r.until("the third", 2*time.Minute, func() bool { return len(r.view().Archived(run).GetServers()) == 3 })
		var digests [][]byte
		for _, c := range r.servers {
			e := c.archived(run)
			if e == nil || e.Seal.GetWindows() == 0 || e.Seal.GetLacks() != "" {
				t.Fatalf("%s has %v", c.id, e)
			}
			digests = append(digests, e.Digest)
		}
		if len(slices.CompactFunc(digests, bytes.Equal)) != 1 || !bytes.Equal(digests[0], r.view().Archived(run).GetDigest()) {
			t.Errorf("digests are %x", digests)
		}
		r.losesItsDisk(away, run)
	})
}

// losesItsDisk takes a server's archive from it: it says so, and fetches it.
func (r *region) losesItsDisk(c *control, run string) {
	c.kill()
	time.Sleep(3 * time.Second) // it is over
	if err := os.RemoveAll(filepath.Join(c.dir, "archive")); err != nil {
		r.t.Fatal(err)
	}
	c.start()
	r.until("the copy", 2*time.Minute, func() bool { return c.archived(run) != nil && len(r.view().Archived(run).GetServers()) == 3 })
}

// TestBrokenArchiveHoldsUpNoRun has no server that can archive: runs go on as
// ever, keep their windows, and are archived when that is mended.
func TestBrokenArchiveHoldsUpNoRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t, settings{})
		for _, c := range r.servers { // nothing can be created in it
			if err := os.MkdirAll(filepath.Join(c.dir, "archive", ".writing-run", "in the way"), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		run := r.run(short)
		r.passes(run)
		time.Sleep(time.Minute)
		if a := r.view().Archived(run); a == nil || len(a.GetServers()) != 0 || a.GetReleased() {
			t.Fatalf("with no archive that works, the run is told as %v", a)
		}
		second := r.run(short)
		r.until("a run that nothing holds up", 3*time.Minute, func() bool { return r.done(second) })
		for _, c := range r.servers {
			if err := os.RemoveAll(filepath.Join(c.dir, "archive", ".writing-run")); err != nil {
				t.Fatal(err)
			}
		}
		r.until("the archives", 2*time.Minute, func() bool { return len(r.view().Archived(run).GetServers()) == 3 })
		for _, c := range r.servers {
			if e := c.archived(run); e == nil || e.Seal.GetWindows() == 0 {
				t.Errorf("%s has %v", c.id, e)
			}
		}
	})
}
