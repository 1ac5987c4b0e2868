package undo_test

import (
	"testing"
	"testing/synctest"
	"time"

	"squall/agent/undo/undotest"
	pb "squall/proto/squall/v1"
)

// syncs counts how often the disk was asked to make something durable.
func syncs(d *undotest.Disk) (n int) {
	for _, o := range d.Ops() {
		if o.Kind == "sync" {
			n++
		}
	}
	return n
}

// TestOneSyncTakesWhatNobodyWaitsFor holds that orders reach the disk with the
// intent that follows them, and marks with what follows those, soon all the same.
func TestOneSyncTakesWhatNobodyWaitsFor(t *testing.T) {
	onDisk(t, func(t *testing.T, b *bench, d *undotest.Disk) {
		synctest.Wait()
		before := syncs(d)
		b.accept(t, 1)
		b.accept(t, 2)
		b.hold(t, "dns.fail")
		if n := syncs(d) - before; n != 1 {
			t.Errorf("two orders and an intent took %d syncs", n)
		}
		b.accept(t, 3)
		b.revert(t, pb.RevertCause_REVERT_CAUSE_ORDER)
		synctest.Wait()
		if n := syncs(d) - before; n != 1 {
			t.Errorf("what nobody waits for took %d syncs at once", n-1)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if lacks, err := b.runner.Unrecorded(); syncs(d)-before != 2 || len(lacks) > 0 || err != nil {
			t.Errorf("a second later the disk lacks %v, after %d syncs: %v", lacks, syncs(d)-before, err)
		}
	})
}

// TestWhoWaitsForTheDiskHasItAtOnce holds that a halt, and whoever asks, waits for
// the disk alone, and that nothing lingers where no mirror has it.
func TestWhoWaitsForTheDiskHasItAtOnce(t *testing.T) {
	onDisk(t, func(t *testing.T, b *bench, _ *undotest.Disk) {
		b.accept(t, 1)
		atOnce(t, "a record that somebody waits for", func() {
			if err := b.runner.Recorded(t.Context()); err != nil {
				t.Error(err)
			}
		})
		if err := b.runner.Latch(&pb.HaltLatch{Id: "h", Engaged: true}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if lacks, _ := b.runner.Unrecorded(); len(lacks) > 0 {
			t.Errorf("a halt lingers: %v", lacks)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		b := newBenchOn(t, undotest.NewDisk(), "")
		b.accept(t, 1)
		synctest.Wait()
		if lacks, _ := b.runner.Unrecorded(); len(lacks) > 0 {
			t.Errorf("without a mirror an order lingers: %v", lacks)
		}
	})
}

func (b *bench) accept(t *testing.T, index uint64) {
	t.Helper()
	if err := b.runner.Accept(&pb.OrderMark{Epoch: 1, Index: index}); err != nil {
		t.Fatal(err)
	}
}
