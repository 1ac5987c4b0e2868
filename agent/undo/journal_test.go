package undo

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	pb "squall/proto/squall/v1"
)

func openJournal(t *testing.T, dir string, o Options) *Journal {
	t.Helper()
	if o.Size == 0 {
		o.Size = 512 << 10
	}
	j, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

func intent(run, step string) *pb.Record {
	return &pb.Record{Kind: &pb.Record_Intent{Intent: &pb.Intent{Run: run, Step: step}}}
}

func mark(run, step string, state pb.StepState) *pb.Record {
	return &pb.Record{Kind: &pb.Record_Mark{Mark: &pb.Mark{Run: run, Step: step, State: state}}}
}

func states(j *Journal) string {
	var b bytes.Buffer
	for _, s := range j.memory.all() {
		fmt.Fprintf(&b, "%s/%s %s\n", s.Run, s.Step, s.State)
	}
	return b.String()
}

func TestJournalRemembersAcrossOpens(t *testing.T) {
	dir := t.TempDir()
	j := openJournal(t, dir, Options{})
	for _, r := range []*pb.Record{intent("r1", "a"), intent("r1", "b"), mark("r1", "a", pb.StepState_STEP_STATE_REVERTED)} {
		if err := j.append("test", r); err != nil {
			t.Fatal(err)
		}
	}
	want := states(j)
	j.Close()
	again := openJournal(t, dir, Options{})
	if got := states(again); got != want {
		t.Errorf("after reopening:\n%swant:\n%s", got, want)
	}
	if again.Damaged() {
		t.Error("a journal that was closed well reads as damaged")
	}
}

// Every record that was acknowledged survives a power cut at any byte of the
// one being written, and what is cut off is never taken for a record.
func TestAcknowledgedRecordsSurviveATornWrite(t *testing.T) {
	dir := t.TempDir()
	j := openJournal(t, dir, Options{})
	if err := j.append("test", intent("r1", "kept")); err != nil {
		t.Fatal(err)
	}
	from := j.slots[j.active].end
	path := j.slots[j.active].file.Name()
	if err := j.append("test", intent("r1", "torn")); err != nil {
		t.Fatal(err)
	}
	to := j.slots[j.active].end
	j.Close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := from; cut < to; cut++ {
		image := slices.Clone(whole)
		clear(image[cut:])
		if err := os.WriteFile(path, image, 0o600); err != nil {
			t.Fatal(err)
		}
		j := openJournal(t, dir, Options{})
		if got := states(j); got != "r1/kept STEP_STATE_ARMED\n" {
			t.Fatalf("cut at byte %d: journal holds\n%s", cut-from, got)
		}
		if damaged := cut > from; j.Damaged() != damaged {
			t.Errorf("cut at byte %d: damaged = %t", cut-from, j.Damaged())
		}
		j.Close()
		os.Remove(filepath.Join(dir, "journal.b"))
	}
}

// Whatever byte rots, the loss is noticed, and the undos around it are kept.
func TestRotIsNoticedAndTheRestIsRead(t *testing.T) {
	dir := t.TempDir()
	j := openJournal(t, dir, Options{Size: 300 << 10})
	for _, step := range []string{"a", "b", "c"} {
		if err := j.append("test", intent("r1", step)); err != nil {
			t.Fatal(err)
		}
	}
	path, end := j.slots[j.active].file.Name(), j.slots[j.active].end
	other := j.slots[1-j.active].file.Name()
	j.Close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := headerSize; at < end; at++ {
		image := slices.Clone(whole)
		image[at] ^= 0x40
		if err := errors.Join(os.WriteFile(path, image, 0o600), os.WriteFile(other, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
		j := openJournal(t, dir, Options{Size: 300 << 10})
		if !j.Damaged() {
			t.Fatalf("a flip at byte %d went unnoticed", at)
		}
		if n := len(j.memory.steps); n != 2 {
			t.Fatalf("a flip at byte %d left %d of 3 steps, want 2", at, n)
		}
		j.Close()
	}
}

func TestJournalNeverAsksTheDiskForRoom(t *testing.T) {
	dir := t.TempDir()
	j := openJournal(t, dir, Options{Size: 320 << 10, Sync: func(*os.File) error { return nil }})
	before := diskUse(t, dir)
	for i := range 5000 {
		step := fmt.Sprint("s", i)
		for _, r := range []*pb.Record{
			intent("r1", step), mark("r1", step, pb.StepState_STEP_STATE_REVERTED),
			{Kind: &pb.Record_Forget{Forget: &pb.Forget{Run: "r1", Step: step}}},
		} {
			if err := j.append("test", r); err != nil {
				t.Fatalf("record of step %d: %v", i, err)
			}
		}
	}
	if after := diskUse(t, dir); after != before {
		t.Errorf("the journal grew from %d to %d bytes", before, after)
	}
	if j.slots[j.active].generation < 2 {
		t.Errorf("generation %d: the journal was never compacted", j.slots[j.active].generation)
	}
}

func diskUse(t *testing.T, dir string) (total int64) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		total += info.Size()
	}
	return total
}

// A journal that fills up refuses faults while there is still room to end them.
func TestFullJournalRefusesNewFaultsAndStillTakesMarks(t *testing.T) {
	j := openJournal(t, t.TempDir(), Options{Size: 320 << 10})
	var admitted []string
	for i := range 100 {
		step := fmt.Sprint("s", i)
		err := j.admit(intent("r1", step))
		if errors.Is(err, ErrFull) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		admitted = append(admitted, step)
	}
	if len(admitted) == 0 || len(admitted) == 100 {
		t.Fatalf("%d steps were admitted", len(admitted))
	}
	for _, step := range admitted {
		for _, state := range []pb.StepState{pb.StepState_STEP_STATE_HELD, pb.StepState_STEP_STATE_REVERTED} {
			if err := j.append("mark", mark("r1", step, state)); err != nil {
				t.Fatalf("mark of %s: %v", step, err)
			}
		}
	}
}

// A crash between any two durable writes of a compaction loses nothing.
func TestCompactionMayBeCutAnywhere(t *testing.T) {
	for cut := 1; cut <= 2; cut++ {
		dir := t.TempDir()
		writes := 0
		j := openJournal(t, dir, Options{})
		for _, step := range []string{"a", "b"} {
			if err := j.append("test", intent("r1", step)); err != nil {
				t.Fatal(err)
			}
		}
		want := states(j)
		j.options.Sync = func(*os.File) error {
			if writes++; writes == cut {
				return errors.New("power cut")
			}
			return nil
		}
		if err := j.compact(); err == nil {
			t.Fatal("the compaction was not cut")
		}
		j.Close()
		if got := states(openJournal(t, dir, Options{})); got != want {
			t.Errorf("cut at write %d: journal holds\n%swant\n%s", cut, got, want)
		}
	}
}

func FuzzDecodeFrames(f *testing.F) {
	whole, _ := appendFrame(nil, 7, intent("r1", "a"))
	f.Add(append(whole, endMark...), uint64(7))
	f.Add([]byte(marker+"\xff\xff\xff\xff...."), uint64(1))
	f.Add(bytes.Repeat([]byte(marker), 100), uint64(1))
	f.Fuzz(func(t *testing.T, b []byte, generation uint64) {
		records, end, damaged := decodeFrames(b, generation)
		if end > len(b) {
			t.Fatalf("end %d of %d bytes", end, len(b))
		}
		if len(b) >= len(endMark) && len(records) == 0 && !damaged && !bytes.HasPrefix(b, endMark) {
			t.Fatal("garbage passes for an empty log")
		}
	})
}
