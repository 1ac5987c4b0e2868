package undo_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"squall/agent/undo"
	"squall/agent/undo/undotest"
	pb "squall/proto/squall/v1"
)

// What stands in the mirror alone may be missing on a disk that was never read:
// who closes without an error is taken for one whose disk has everything, and
// removes the mirror.
func TestCloseBeforeTheDiskIsReadSaysSo(t *testing.T) {
	onDisk(t, func(t *testing.T, b *bench, d *undotest.Disk) {
		d.Freeze(func(undotest.Op) bool { return true })
		if err := b.runner.Latch(&pb.HaltLatch{Id: "h", Engaged: true, Local: true}); err != nil {
			t.Fatal(err)
		}
		b.die()
		b.open(t)
		if err := b.last.Close(); !errors.Is(err, undo.ErrDisk) {
			t.Errorf("a halt stands in the mirror alone, and closing says %v", err)
		}
	})
}

// A record too long, or of no valid text, must not keep the disk from those
// behind it for ever.
func TestNoRecordKeepsTheNextFromTheDisk(t *testing.T) {
	for name, text := range map[string]string{
		"too long": strings.Repeat("x", 2<<20), "many lines": strings.Repeat("x", 1<<10), "no text": "veth\xff",
	} {
		t.Run(name, func(t *testing.T) {
			onDisk(t, func(t *testing.T, b *bench, _ *undotest.Disk) {
				b.hold(t, "dns.fail")
				residue := []string{text}
				for name == "many lines" && len(residue) < 2000 {
					residue = append(residue, text)
				}
				m := &pb.Mark{Run: "r1", Step: "dark.fault", State: pb.StepState_STEP_STATE_REVERTED, Residue: residue}
				halt := &pb.HaltLatch{Id: "h", Engaged: true, Reason: text}
				if err := errors.Join(b.runner.Mark(m), b.runner.Latch(halt)); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				if left, err := b.runner.Unrecorded(); len(left) > 0 || err != nil {
					t.Fatalf("after a minute %d records are not on disk: %v", len(left), err)
				}
				if s, _ := b.runner.Step("r1", "dark.fault"); len(s.Residue) == 0 || b.runner.Halted().GetId() != "h" {
					t.Errorf("residue %v, halted %v", s.Residue, b.runner.Halted())
				}
			})
		})
	}
}

// What is told of an undo fits a message: who can't send it is cut off.
func TestWhatIsLeftIsToldInAFewWords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.hold(t, "dns.fail")
		b.host.FailOp(1, errors.New(strings.Repeat("no", 1<<20)))
		m, _, err := b.runner.Revert(t.Context(), "r1", "dark.fault", pb.RevertCause_REVERT_CAUSE_END)
		if err != nil || len(m.GetResidue()) == 0 {
			t.Fatalf("%v, %v", m, err)
		}
		if size := proto.Size(m); size > 16<<10 {
			t.Errorf("the mark takes %d bytes", size)
		}
	})
}

// A process that is killed while it writes the mirror leaves a file that nobody
// reads: the next one removes it.
func TestHalfAMirrorIsRemoved(t *testing.T) {
	onDisk(t, func(t *testing.T, b *bench, _ *undotest.Disk) {
		half := b.mirror + ".1234567"
		if err := os.WriteFile(half, make([]byte, 1<<10), 0o600); err != nil {
			t.Fatal(err)
		}
		b.open(t)
		if _, err := os.Stat(half); err == nil {
			t.Error("it is still there")
		}
		if _, err := os.Stat(b.mirror); err != nil {
			t.Error(err)
		}
	})
}

// With a disk that hangs and no room for a mirror of its own, an owner still goes
// by the mirror that it has read.
func TestRevertWithoutRoomForAMirror(t *testing.T) {
	onDisk(t, func(t *testing.T, b *bench, d *undotest.Disk) {
		before := b.host.String()
		b.hold(t, "power.off")
		d.Freeze(func(undotest.Op) bool { return true })
		b.die()
		// A name so long that no file can be written beside it.
		long := filepath.Join(filepath.Dir(b.mirror), strings.Repeat("m", 250))
		if err := os.Rename(b.mirror, long); err != nil {
			t.Fatal(err)
		}
		b.mirror = long
		b.open(t)
		if err := b.runner.Recover(t.Context(), pb.RevertCause_REVERT_CAUSE_CRASH); err != nil {
			t.Error(err)
		}
		if after := b.host.String(); after != before {
			t.Errorf("the host reads\n%s\nand read\n%s", after, before)
		}
		if err := b.runner.Inject(t.Context(), &pb.Intent{Run: "r2", Step: "s"}, nil); !errors.Is(err, undo.ErrDisk) {
			t.Errorf("inject without the disk: %v", err)
		}
	})
}

// A mirror that an owner could not replace, and whose disk has more, stands for
// nothing any more.
func TestMirrorThatIsBehindTheDiskStandsForNothing(t *testing.T) {
	onDisk(t, func(t *testing.T, b *bench, d *undotest.Disk) {
		b.hold(t, "dns.fail")
		b.die()
		long := filepath.Join(filepath.Dir(b.mirror), strings.Repeat("m", 250))
		if err := os.Rename(b.mirror, long); err != nil {
			t.Fatal(err)
		}
		b.mirror = long
		b.open(t)
		if err := b.runner.Latch(&pb.HaltLatch{Id: "h", Engaged: true, Local: true}); err != nil {
			t.Fatal(err)
		}
		if err := b.runner.Recorded(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		b.die()
		d.Freeze(func(undotest.Op) bool { return true })
		j, err := undo.Open(b.dir, undo.Options{BootID: "boot", Size: 512 << 10, Mirror: long, Disk: d})
		if !errors.Is(err, undo.ErrDisk) {
			t.Errorf("a halt stands on disk alone, and it opens without: %v", err)
		}
		if err == nil {
			_ = j.Close()
		}
	})
}
